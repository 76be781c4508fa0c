//! Passwords, tokens and seeds: they come by the environment or from files, and no line shows them.

use std::{os::unix::fs::PermissionsExt, path::Path};

use nkeys::KeyPair;

use crate::support::{Issuer, NatsServer, Shop, listen, private_postgres::let_in};

/// What every secret has in it, and nothing else.
const MARK: &str = "Hush";

/// With everything that an address, a file or a line could take for something else.
const PASSWORD: &str = "Hush é:/?#[]@!$&'()*+,;=% \"\\{}";
const TOKEN: &str = "Hush token";

/// As part of an address.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// What no line may have: no secret in any form in which a line could have it.
fn forbidden(issued: &str, seed: &str) -> Vec<String> {
    let blocks = issued.lines().filter(|line| !line.starts_with('-') && !line.is_empty());
    let mut all = vec![MARK.to_owned(), encoded(MARK), seed.to_owned()];
    all.extend(blocks.map(str::to_owned));
    assert_eq!(all.len(), 3 + 2, "a JWT and a seed: {issued}");
    all
}

struct Servers {
    users: NatsServer,
    tokens: NatsServer,
    keys: NatsServer,
    issued: NatsServer,
}

impl Servers {
    async fn start(folder: &Path, issuer: &Issuer, key: &KeyPair) -> Self {
        let user = serde_json::json!({"user": "ada", "password": PASSWORD});
        let start = async |name: &str, login: String| {
            let folder = folder.join(name);
            let store = format!("store_dir: \"{}\", max_file_store: 16GB", folder.display());
            let conf = format!("listen: \"127.0.0.1:-1\"\njetstream {{ {store} }}\n{login}\n");
            NatsServer::start(&folder, &conf, []).await
        };
        Self {
            users: start("users", format!("authorization {{ users: [ {user} ] }}")).await,
            tokens: start("tokens", format!("authorization {{ token: \"{TOKEN}\" }}")).await,
            keys: start(
                "keys",
                format!("authorization {{ users: [ {{ nkey: {} }} ] }}", key.public_key()),
            )
            .await,
            issued: start("issued", issuer.configuration()).await,
        }
    }
}

/// A file that nobody else may read.
fn file(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    file.to_str().unwrap().to_owned()
}

/// At the most talkative level, with each way to log in, right and wrong, and without a server.
#[tokio::test]
async fn no_line_shows_a_secret() {
    let mut shop = Shop::closed().await;
    let folder = shop.folder.path().to_owned();
    let (issuer, file) = (Issuer::new(), |name: &str, text: &str| file(&folder, name, text));
    let credentials = issuer.credentials(None);
    let key = KeyPair::new_user();
    let seed = key.seed().unwrap();
    let forbidden = forbidden(&credentials, &seed);
    let nats = Servers::start(&folder, &issuer, &key).await;
    let create = format!("create role keeper superuser login password $p${PASSWORD}$p$");
    sqlx::query(sqlx::AssertSqlSafe(create)).execute(&shop.pool).await.unwrap();
    let_in(&shop.pool, "host all keeper 127.0.0.1/32 scram-sha-256").await;

    let place = shop.local.database_url().split_once('@').unwrap().1.to_owned();
    let (named, bare) = (
        format!("postgres://keeper:{}@{place}", encoded(PASSWORD)),
        format!("postgres://keeper@{place}"),
    );
    let host = place.split_once(':').unwrap().0;
    let escaped = PASSWORD.replace('\\', "\\\\").replace(':', "\\:");
    // The first line is no line of such a file.
    let lines = format!("Hush alone\n{host}:*:amends:keeper:{escaped}\n");
    let passwords = file("pgpass", &lines);
    let (password, token) = (file("password", PASSWORD), file("token", TOKEN));
    let seed = file("seed", &format!("{seed}\n"));
    let token_url = format!("nats://{}@{}", encoded(TOKEN), nats.tokens.address);
    let creds = file("creds", &credentials);
    let user = format!("nats://ada:{}@{}", encoded(PASSWORD), nats.users.address);

    let cases: [(&str, &[(&str, &str)]); 6] = [
        ("token", &[("DATABASE_URL", &named), ("NATS_URL", &token_url)]),
        ("nkey", &[("DATABASE_URL", &named), ("NATS_URL", &nats.keys.url()), ("NATS_NKEY", &seed)]),
        ("addresses", &[("DATABASE_URL", &named), ("NATS_URL", &user)]),
        (
            "files",
            &[
                ("DATABASE_URL", &bare),
                ("PGPASSFILE", &passwords),
                ("NATS_URL", &nats.users.url()),
                ("NATS_USER", "ada"),
                ("NATS_PASSWORD_FILE", &password),
            ],
        ),
        (
            "variables",
            &[
                ("DATABASE_URL", &bare),
                ("PGPASSWORD", PASSWORD),
                ("NATS_URL", &nats.tokens.url()),
                ("NATS_TOKEN_FILE", &token),
            ],
        ),
        (
            "credentials",
            &[("DATABASE_URL", &named), ("NATS_URL", &nats.issued.url()), ("NATS_CREDS", &creds)],
        ),
    ];
    let mut all = String::new();
    for (name, login) in cases {
        let variables = [&[("RUST_LOG", "trace")], login].concat();
        let roles = [format!("{name}-orchestrator"), format!("{name}-worker")];
        let flags = ["--http", "127.0.0.1:0"];
        shop.start_with(&roles[0], &[&["orchestrator"], &flags[..]].concat(), &variables);
        shop.start_with(&roles[1], &[&["worker", "payment"], &flags[..]].concat(), &variables);
        for role in &roles {
            let probe = super::traces::address(&shop, role).await;
            crate::support::eventually("readiness", async || {
                (super::traces::get(&probe, "/readyz").await.0 == 200).then_some(())
            })
            .await;
            let line =
                std::fs::read_to_string(format!("/proc/{}/cmdline", shop.pid(role))).unwrap();
            assert!(line.contains("amends"), "{line}");
            all += &line;
        }
        for command in [&["list"][..], &["migrate"], &["orchestrator", "--help"]] {
            let output =
                shop.command(command).envs(variables.iter().copied()).output().await.unwrap();
            assert!(
                output.status.success(),
                "{command:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            all += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
        }
        for role in &roles {
            assert_eq!(shop.terminate(role).await, Some(0));
            let log = shop.log_of(role);
            assert!(log.contains("TRACE") && log.contains("write operation"), "no trace: {log}");
            all += &log;
        }
    }

    // Wrong ones, and nobody who could tell.
    let wrong = encoded("Hush wrong");
    let wrong_file = file("wrong", "Hush wrong");
    let wrong_database = format!("postgres://keeper:{wrong}@{place}?sslpassword={wrong}");
    let wrong_nats = format!("nats://ada:{wrong}@{}", nats.users.address);
    let nobody = listen([127, 0, 0, 1].into()).await.local_addr().unwrap();
    let (no_database, no_nats) = (
        format!("postgres://keeper:{wrong}@{nobody}/amends"),
        format!("nats://ada:{wrong}@{nobody}"),
    );
    let refusals: [(&[(&str, &str)], &str); 4] = [
        (&[("NATS_URL", &wrong_nats)], "NATS refuses the login"),
        (
            &[
                ("NATS_URL", &nats.users.url()),
                ("NATS_USER", "ada"),
                ("NATS_PASSWORD_FILE", &wrong_file),
            ],
            "NATS refuses the login",
        ),
        (&[("NATS_URL", &no_nats)], "NATS does not answer"),
        (&[("DATABASE_URL", &no_database)], "Postgres does not answer"),
    ];
    for (at, (login, words)) in refusals.into_iter().enumerate() {
        let variables = [&[("RUST_LOG", "trace"), ("NATS_LOGIN_TIMEOUT", "1s")], login].concat();
        for role in [&["orchestrator"][..], &["worker", "payment"]] {
            let name = format!("refused-{at}-{}", role[0]);
            shop.start_with(&name, role, &variables);
            shop.says(&name, words).await;
            drop(shop.take(&name));
            all += &shop.log_of(&name);
        }
    }
    for command in [&["list"][..], &["migrate"], &["orchestrator"]] {
        let output = shop
            .command(command)
            .env("RUST_LOG", "trace")
            .env("DATABASE_URL", &wrong_database)
            .output()
            .await
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && error.contains("password authentication failed"),
            "{error}"
        );
        all += &error;
    }

    for line in all.lines() {
        let shown = forbidden.iter().find(|secret| line.contains(&***secret));
        assert!(shown.is_none(), "{line}");
    }
}
