//! What a start says about a database that will not do.

use std::io::Write as _;

use crate::support::Shop;

async fn refusal(shop: &Shop, url: &str, args: &[&str]) -> String {
    let output = shop.run(&[args, &["--database-url", url]].concat()).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
    // The role's log lines may come before it; what it ends with is one line.
    error.lines().last().unwrap().to_owned()
}

/// Waiting mends none of these: the process ends, and says why.
#[tokio::test]
async fn a_wrong_database_role_or_password_is_no_reason_to_wait() {
    let shop = Shop::closed().await;
    sqlx::query("create role careful login password 'right'").execute(&shop.pool).await.unwrap();
    let hba = shop.folder.path().join("postgres/data/pg_hba.conf");
    let trusting = std::fs::read_to_string(&hba).unwrap();
    let mut file = std::fs::File::create(&hba).unwrap();
    write!(file, "host all careful 127.0.0.1/32 scram-sha-256\n{trusting}").unwrap();
    sqlx::query("select pg_reload_conf()").execute(&shop.pool).await.unwrap();
    let url = shop.local.database_url();
    let nobody = url.replace("amends@", "nobody@");
    let nowhere = format!("{}/nowhere", url.rsplit_once('/').unwrap().0);
    let wrong = url.replace("amends@", "careful:wrong@");
    let cases: [(&str, &str); 3] = [
        (&nobody, "role \"nobody\" does not exist"),
        (&nowhere, "database \"nowhere\" does not exist"),
        (&wrong, "password authentication failed for user \"careful\""),
    ];
    for role in [&["migrate"] as &[&str], &["orchestrator"], &["worker", "payment"]] {
        for (url, words) in cases {
            let line = refusal(&shop, url, role).await;
            let clear = line.starts_with("amends: Postgres at 127.0.0.1:") && line.contains(words);
            assert!(clear && line.contains("check user, password and database"), "{line}");
            assert!(!line.contains("wrong@"), "{line}");
        }
    }
}

/// A program that was deployed before its migration waits for it.
#[tokio::test]
async fn an_orchestrator_waits_for_a_newer_schema() {
    let mut shop = Shop::closed().await;
    let hide = "update amends._migrations set version = -version
        where version = (select max(version) from amends._migrations)";
    sqlx::query(hide).execute(&shop.pool).await.unwrap();
    shop.start("orchestrator", &["orchestrator"]);
    shop.says("orchestrator", "run `migrate` of this program").await;
    assert!(!shop.log_of("orchestrator").contains("orchestrator runs"));
    let show = "update amends._migrations set version = -version where version < 0";
    sqlx::query(show).execute(&shop.pool).await.unwrap();
    shop.says("orchestrator", "orchestrator runs").await;
}

/// Migrations only add: a program that was there before one still runs, and may start again.
#[tokio::test]
async fn an_orchestrator_runs_on_a_schema_newer_than_itself() {
    let mut shop = Shop::closed().await;
    let later = "insert into amends._migrations
        (version, description, success, checksum, execution_time)
        values (9999, 'from later', true, '', 0)";
    sqlx::query(later).execute(&shop.pool).await.unwrap();
    shop.start("orchestrator", &["orchestrator"]);
    shop.says("orchestrator", "newer than this program").await;
    shop.says("orchestrator", "orchestrator runs").await;
}
