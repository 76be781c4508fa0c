//! TLS to NATS and Postgres: whom roles believe, whom they are, and what they say where there is none.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use async_nats::{ConnectOptions, jetstream};

use crate::support::{
    Authority, NatsServer, SERVICES, Shop, order,
    private_postgres::{let_in, speak_tls},
};

/// Until a process ends that NATS refuses for a second: with a drain, and some for a slow machine.
const REFUSED: Duration = Duration::from_secs(1 + 10 + 10);

fn configuration(folder: &Path, listen: &str, rest: &str) -> String {
    let store = format!("store_dir: \"{}\", max_file_store: 16GB", folder.display());
    format!("listen: \"{listen}\"\njetstream {{ {store} }}\n{rest}\n")
}

/// What a server at `localhost` needs to speak TLS, and to ask for certificates that this authority issued.
fn tls(folder: &Path, authority: &Authority, name: &str, clients: Option<&Path>) -> String {
    let [certificate, key] = authority.certify("localhost").save(folder, name);
    let verify = clients.map(|file| format!("ca_file: {file:?}, verify: true"));
    format!(
        "tls {{ cert_file: {certificate:?}, key_file: {key:?}, {} }}",
        verify.unwrap_or_default()
    )
}

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file
}

/// By its name, which its certificate has.
fn url(server: &NatsServer) -> String {
    format!("nats://{}", server.address.replace("127.0.0.1", "localhost"))
}

/// An orchestrator and all services, until an order is completed.
async fn runs_an_order(shop: &mut Shop, key: &str) {
    shop.start("orchestrator", &["orchestrator"]);
    let stock = shop.stock();
    shop.start("services", &[&["worker"], &SERVICES[..], &["--seed-stock", &stock]].concat());
    shop.listening().await;
    shop.publish_order(&order(key)).await;
    assert_eq!(shop.fate(key).await, "completed");
    shop.audit().await;
}

/// The server asks for a certificate of its own authority; later all are issued by another authority, and the files
/// renewed, and nobody restarts a role.
#[tokio::test]
async fn nats_and_roles_know_each_other_by_certificates() {
    let mut shop = Shop::closed().await;
    let folder = shop.folder.path().to_owned();
    let own = [folder.join("own.crt"), folder.join("own.key")];
    let mut listen = "127.0.0.1:-1".to_owned();
    for (at, name) in ["first", "second"].into_iter().enumerate() {
        let authority = Authority::new(name);
        let root = file(&folder, "root.crt", &authority.certificate());
        authority.certify("amends").save(&folder, "own");
        let data = folder.join(name);
        let conf = configuration(&data, &listen, &tls(&folder, &authority, name, Some(&root)));
        let mut server = NatsServer::start(&data, &conf, []).await;
        listen.clone_from(&server.address);
        let options = ConnectOptions::new().add_root_certificates(root.clone());
        let options = options.add_client_certificate(own[0].clone(), own[1].clone());
        shop.jetstream = jetstream::new(options.connect(url(&server)).await.unwrap());
        if at == 0 {
            shop.set("NATS_URL", url(&server));
            for (variable, file) in
                [("NATS_CA", &root), ("NATS_CERT", &own[0]), ("NATS_KEY", &own[1])]
            {
                shop.set(variable, file.to_str().unwrap());
            }
            runs_an_order(&mut shop, "o-1").await;
        } else {
            shop.listening().await;
            shop.publish_order(&order("o-2")).await;
            assert_eq!(shop.fate("o-2").await, "completed");
        }
        server.stop().await;
    }
    shop.audit().await;
}

/// With one sentence on what to do, and no message before.
#[tokio::test]
async fn nats_without_trust_ends_the_process_with_a_sentence() {
    let mut shop = Shop::closed().await;
    shop.set("NATS_LOGIN_TIMEOUT", "1s");
    let folder = shop.folder.path().to_owned();
    let (authority, other) = (Authority::new("right"), Authority::new("wrong"));
    let right = file(&folder, "right.crt", &authority.certificate());
    let wrong = file(&folder, "wrong.crt", &other.certificate());
    let junk =
        file(&folder, "junk.crt", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    let start = async |name: &str, rest: &str| {
        let data = folder.join(name);
        NatsServer::start(&data, &configuration(&data, "127.0.0.1:-1", rest), []).await
    };
    let open = start("open", &tls(&folder, &authority, "open", None)).await;
    let strict = start("strict", &tls(&folder, &authority, "strict", Some(&right))).await;
    let plain = start("plain", "").await;
    let [certificate, key] = other.certify("amends").save(&folder, "own");
    let [right, wrong, junk, certificate, key] =
        [&right, &wrong, &junk, &certificate, &key].map(|file| file.to_str().unwrap());
    let named = url(&open);
    let asks = named.replace("nats://", "tls://");
    let (by_number, strict, plain) = (open.url(), url(&strict), url(&plain));
    let untrusted = "the certificate of NATS cannot be trusted";
    let cases: [(&[&str], &str); 9] = [
        (&["--nats-url", &named, "--nats-ca", wrong], untrusted),
        (&["--nats-url", &named], untrusted),
        (&["--nats-url", &asks], untrusted),
        (&["--nats-url", &by_number, "--nats-ca", right], untrusted),
        (&["--nats-url", &plain, "--nats-ca", right], "NATS speaks no TLS, which is asked for"),
        (&["--nats-url", &strict, "--nats-ca", right], "NATS refuses the TLS connection"),
        (
            &[
                "--nats-url",
                &strict,
                "--nats-ca",
                right,
                "--nats-cert",
                certificate,
                "--nats-key",
                key,
            ],
            "NATS refuses the TLS connection",
        ),
        (&["--nats-url", &named, "--nats-ca", "/nowhere/ca"], "/nowhere/ca) cannot be used: "),
        (&["--nats-url", &named, "--nats-ca", junk], "cannot be used: could not load certificates"),
    ];
    for (args, words) in cases {
        let args = [&["orchestrator"], args].concat();
        let output = tokio::time::timeout(REFUSED, shop.run(&args));
        let output = output.await.expect("an end within its bound");
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {log}");
        let last = log.lines().next_back().unwrap_or_default();
        assert!(last.starts_with("amends: ") && last.contains(words), "{args:?}: {log}");
        assert!(last.contains("at every try for 1s: "), "{args:?}: {log}");
    }
}

/// As a user who may subscribe to subjects of its own only.
#[tokio::test]
async fn answers_of_nats_come_under_a_prefix() {
    let mut shop = Shop::closed().await;
    let data = shop.folder.path().join("private");
    let rights = "publish: \">\", subscribe: \"_INBOX_shop.here.>\"";
    let users = format!(
        "authorization {{ users: [ {{ user: ada, password: s3cret, permissions: {{ {rights} }} }},
         {{ user: admin, password: s3cret }} ] }}"
    );
    let conf = configuration(&data, "127.0.0.1:-1", &users);
    let server = NatsServer::start(&data, &conf, []).await;
    let admin = ConnectOptions::with_user_and_password("admin".into(), "s3cret".into());
    shop.jetstream = jetstream::new(admin.connect(&server.address).await.unwrap());
    shop.set("NATS_URL", format!("nats://ada:s3cret@{}", server.address));
    shop.start("without", &["orchestrator"]);
    shop.says("without", "Permissions Violation for Subscription").await;
    shop.kill("without").await;
    shop.set("NATS_INBOX_PREFIX", "_INBOX_shop.here");
    runs_an_order(&mut shop, "o-1").await;
    let log = shop.log_of("orchestrator") + &shop.log_of("services");
    assert!(!log.contains("Permissions Violation"), "{log}");
}

/// Sessions are in TLS, and only with a server that the authority vouches for.
#[tokio::test]
async fn postgres_is_believed_by_its_certificate() {
    let mut shop = Shop::closed().await;
    let folder = shop.folder.path().to_owned();
    let (authority, other) = (Authority::new("right"), Authority::new("wrong"));
    let right = file(&folder, "right.crt", &authority.certificate());
    let wrong = file(&folder, "wrong.crt", &other.certificate());
    let [right, wrong] = [&right, &wrong].map(|file| file.to_str().unwrap());
    let server = authority.certify("localhost");
    sqlx::query("create role secretive superuser login").execute(&shop.pool).await.unwrap();
    speak_tls(&shop.pool, &server.certificate, &server.key, &authority.certificate()).await;
    let_in(&shop.pool, "hostssl all secretive all trust").await;
    let port = shop.local.database_url().split([':', '/']).nth(4).unwrap().to_owned();
    let url =
        |host: &str, query: &str| format!("postgres://secretive@{host}:{port}/amends?{query}");

    let full = url("localhost", &format!("sslmode=verify-full&sslrootcert={right}"));
    shop.set("DATABASE_URL", full.clone());
    shop.set("AMENDS_REQUIRE_TLS", "1");
    runs_an_order(&mut shop, "o-1").await;
    const PLAIN: &str = "select count(*) from pg_stat_ssl s join pg_stat_activity a using (pid)
        where a.usename = 'secretive' and not s.ssl";
    const PRIVATE: &str = "select count(*) from pg_stat_ssl s join pg_stat_activity a using (pid)
        where a.usename = 'secretive' and s.ssl";
    assert_eq!(shop.number(PLAIN).await, 0);
    assert!(shop.number(PRIVATE).await > 0);

    let root = |mode: &str, file: &str| format!("sslmode={mode}&sslrootcert={file}");
    for (host, query, words) in [
        ("localhost", "sslmode=require".to_owned(), None),
        ("localhost", root("require", right), None),
        ("127.0.0.1", root("verify-ca", right), None),
        ("localhost", root("require", wrong), Some("UnknownIssuer")),
        ("localhost", root("verify-ca", wrong), Some("UnknownIssuer")),
        ("localhost", "sslmode=verify-full".to_owned(), Some("UnknownIssuer")),
        ("127.0.0.1", root("verify-full", right), Some("not valid for name")),
        ("localhost", root("require", "/nowhere"), Some("`sslrootcert`, /nowhere, cannot be read")),
    ] {
        let url = url(host, &query);
        for command in ["list", "migrate"] {
            let args = [command, "--database-url", &url];
            let output = shop.run(&args).await;
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.success(), words.is_none(), "{args:?}: {error}");
            let last = error.lines().next_back().unwrap_or_default();
            assert!(words.is_none_or(|words| last.contains(words)), "{args:?}: {error}");
        }
    }
    // One that has no TLS to give.
    sqlx::query("alter system set ssl = off").execute(&shop.pool).await.unwrap();
    let_in(&shop.pool, "host all secretive all trust").await;
    let output = shop.run(&["migrate", "--database-url", &full]).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("cannot be spoken to by TLS"), "{error}");
    assert!(error.contains("server does not support TLS"), "{error}");
}

/// Addresses of a network that exists in documents only.
const ELSEWHERE: &str = "192.0.2.1";

#[tokio::test]
async fn plain_text_to_other_hosts_is_told_once_and_refused_on_request() {
    let mut shop = Shop::closed().await;
    let (database, nats) =
        (format!("postgres://u:pw@{ELSEWHERE}/d"), format!("nats://u:pw@{ELSEWHERE}:4222"));
    let (to_database, to_nats) = (
        format!("Postgres at {ELSEWHERE}:5432 may be in plain text"),
        format!("NATS at {ELSEWHERE}:4222 may be in plain text"),
    );
    let servers = [("DATABASE_URL", &*database), ("NATS_URL", &*nats)];
    for role in [&["orchestrator"][..], &["worker", "payment", "shipping"], &["all"]] {
        shop.start_with(role[0], role, &servers);
        for words in [&to_database, &to_nats] {
            shop.says(role[0], words).await;
            assert_eq!(
                shop.log_of(role[0]).matches(&**words).count(),
                1,
                "{}",
                shop.log_of(role[0])
            );
        }
        shop.kill(role[0]).await;
    }

    shop.set("AMENDS_REQUIRE_TLS", "true");
    let own: [&str; 2] = ["--database-url", &database];
    for (args, variables, words) in [
        (&["orchestrator", "--nats-url", &nats][..], &[][..], &to_nats),
        (&["orchestrator", own[0], own[1]], &[], &to_database),
        (&["worker", "payment"], &[("PAYMENT_DATABASE_URL", &*database)], &to_database),
        (&["migrate", "--participant", &database], &[], &to_database),
        (&["list", own[0], own[1]], &[], &to_database),
        (&["retry", "o-1", "--reason", "r", own[0], own[1]], &[], &to_database),
    ] {
        let output = shop.command(args).envs(variables.iter().copied()).output().await.unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{args:?}: {error}");
        assert!(error.contains(&**words) && error.contains("TLS is required"), "{args:?}: {error}");
    }
    // This host is no other.
    shop.start("here", &["orchestrator"]);
    shop.says("here", "orchestrator runs").await;
    assert!(!shop.log_of("here").contains("plain text"));
}
