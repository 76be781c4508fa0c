//! Logins to NATS: secrets that are renewed, that expire, and that are refused.

use std::time::{Duration, Instant};

use async_nats::{ConnectOptions, jetstream};

use super::traces::{address, get};
use crate::support::{Issuer, NatsServer, SERVICES, Shop, eventually, order};

/// How long a login of a test lasts: longer than its processes take to be ready.
const LASTS: Duration = Duration::from_secs(12);

/// Until a process ends whose login is refused for a second: with a drain, and some for a slow machine.
const REFUSED: Duration = Duration::from_secs(1 + 10 + 10);

/// The roles that log in.
const ROLES: [&str; 2] = ["orchestrator", "services"];

/// Where a server writes, and that it takes any port. Streams reserve what they may hold, whatever is free.
fn configuration(folder: &std::path::Path) -> String {
    let store = format!("store_dir: \"{}\", max_file_store: 16GB", folder.display());
    format!("listen: \"127.0.0.1:-1\"\njetstream {{ {store} }}\n")
}

/// A shop whose NATS lets in only whoever has a JWT of an issuer. Its roles have one in a file that lasts
/// for a while; they are ready.
struct Issued {
    shop: Shop,
    issuer: Issuer,
    file: std::path::PathBuf,
    probes: [String; 2],
    _server: NatsServer,
}

impl Issued {
    async fn open(login_timeout: &str) -> Self {
        let (mut shop, issuer) = (Shop::closed().await, Issuer::new());
        let folder = shop.folder.path().join("issued");
        let conf = configuration(&folder) + &issuer.configuration();
        let server = NatsServer::start(&folder, &conf, []).await;
        let admin = ConnectOptions::with_credentials(&issuer.credentials(None)).unwrap();
        shop.jetstream = jetstream::new(admin.connect(server.url()).await.unwrap());
        let file = shop.folder.path().join("user.creds");
        shop.set("NATS_URL", server.url());
        shop.set("NATS_CREDS", file.to_str().unwrap());
        shop.set("NATS_LOGIN_TIMEOUT", login_timeout);
        std::fs::write(&file, issuer.credentials(Some(LASTS))).unwrap();
        shop.start("orchestrator", &["orchestrator", "--http", "127.0.0.1:0"]);
        let stock = shop.folder.path().join("stock.json");
        let worker = [&["worker"], &SERVICES[..]].concat();
        let flags = ["--http", "127.0.0.1:0", "--seed-stock", stock.to_str().unwrap()];
        shop.start("services", &[&worker[..], &flags].concat());
        let probes = [address(&shop, ROLES[0]).await, address(&shop, ROLES[1]).await];
        let issued = Self { shop, issuer, file, probes, _server: server };
        issued.ready().await;
        issued
    }

    async fn ready(&self) {
        for probe in &self.probes {
            eventually("readiness", async || (get(probe, "/readyz").await.0 == 200).then_some(()))
                .await;
        }
    }
}

/// The server cuts the connection when the login expires; nobody restarts anything.
#[tokio::test]
async fn a_secret_that_is_renewed_is_read_again() {
    let issued = Issued::open("1h").await;
    let shop = &issued.shop;
    shop.publish_order(&order("o-1")).await;
    assert_eq!(shop.fate("o-1").await, "completed");
    for probe in &issued.probes {
        eventually("a role that says why it is not ready", async || {
            let (status, body) = get(probe, "/readyz").await;
            let refused = body.contains("NATS refuses the login") && body.contains("expired at");
            (status == 503 && refused).then_some(())
        })
        .await;
    }
    shop.publish_order(&order("o-2")).await;
    std::fs::write(&issued.file, issued.issuer.credentials(None)).unwrap();
    issued.ready().await;
    assert_eq!(shop.fate("o-2").await, "completed");
    for role in ROLES {
        let log = shop.log_of(role);
        assert_eq!(log.matches("put a valid secret into the file").count(), 1, "{log}");
    }
    shop.audit().await;
}

/// The supervisor of a process that cannot log in is told.
#[tokio::test]
async fn a_login_that_stays_expired_ends_the_process() {
    let mut issued = Issued::open("2s").await;
    // What the login lasts, what is waited, what a drain takes, and some for a slow machine.
    let bound = tokio::time::Instant::now() + LASTS + Duration::from_secs(2 + 10 + 10);
    for role in ROLES {
        let ended = tokio::time::timeout_at(bound, issued.shop.ends(role)).await;
        assert_eq!(ended.expect("an end within its bound"), Some(1));
        let log = issued.shop.log_of(role);
        let last = log.lines().next_back().unwrap_or_default();
        assert!(
            last.starts_with("amends: NATS refuses the login with the credentials in"),
            "{log}"
        );
        assert!(
            last.contains("which expired at") && last.contains("at every try for 2s"),
            "{last}"
        );
    }
}

/// At the first connect as later, with one sentence on what to do.
#[tokio::test]
async fn a_refused_login_ends_the_process_with_a_sentence() {
    let mut shop = Shop::closed().await;
    shop.set("NATS_LOGIN_TIMEOUT", "1s");
    let file = |name: &str, text: &str| {
        let file = shop.folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (right, wrong) = (file("right", "s3cret\n"), file("wrong", "secret\n"));
    let folders = ["users", "tokens"].map(|name| shop.folder.path().join(name));
    let users = "authorization { users: [ { user: ada, password: s3cret } ] }\n";
    let users = NatsServer::start(&folders[0], &(configuration(&folders[0]) + users), []).await;
    let tokens = "authorization { token: s3cret }\n";
    let tokens = NatsServer::start(&folders[1], &(configuration(&folders[1]) + tokens), []).await;
    let named = format!("nats://ada:secret@{}", users.address);
    let (users, tokens) = (users.url(), tokens.url());
    let cases: [(&[&str], &str); 7] = [
        (&["--nats-url", &named], "as `ada`, with the password of its address"),
        (&["--nats-url", &users], "refuses the login without credentials"),
        (&["--nats-url", &users, "--nats-user", "ada", "--nats-password-file", &wrong], &wrong),
        (&["--nats-url", &tokens, "--nats-token-file", &wrong], &wrong),
        (&["--nats-url", &tokens, "--nats-token-file", "/nowhere"], "No such file"),
        (&["--nats-url", &users, "--nats-creds", &wrong], "hold no user JWT and seed"),
        (&["--nats-url", &users, "--nats-user", "ada"], "belong together"),
    ];
    for (args, words) in cases {
        for role in [&["orchestrator"][..], &["worker", "payment"]] {
            let output = tokio::time::timeout(REFUSED, shop.run(&[role, args].concat())).await;
            let output = output.expect("an end within its bound");
            let log = String::from_utf8(output.stderr).unwrap();
            let code = if words == "belong together" { 2 } else { 1 };
            assert_eq!(output.status.code(), Some(code), "{args:?}: {log}");
            let last = log.lines().next_back().unwrap_or_default();
            assert!(last.starts_with("amends: ") && last.contains(words), "{args:?}: {log}");
        }
    }
    // A line break at the end of a file is no part of the secret.
    let user = ["--nats-url", &users, "--nats-user", "ada", "--nats-password-file", &right];
    let token = ["--nats-url", &tokens, "--nats-token-file", &right];
    for (name, login) in [("user", &user[..]), ("token", &token)] {
        shop.start(name, &[&["orchestrator"], login].concat());
        shop.says(name, "orchestrator runs").await;
    }
}

/// A server that is away is waited for, however short the patience with a refusal.
#[tokio::test]
async fn a_server_that_is_away_is_waited_for() {
    let mut shop = Shop::closed().await;
    shop.set("NATS_LOGIN_TIMEOUT", "1s");
    shop.local.nats.kill().await.unwrap();
    let began = Instant::now();
    shop.start("orchestrator", &["orchestrator"]);
    eventually("some tries", async || {
        let tries = shop.log_of("orchestrator").matches("NATS does not answer").count();
        (tries > 4 && began.elapsed() > Duration::from_secs(3)).then_some(())
    })
    .await;
    shop.local.nats.restart().await.unwrap();
    shop.says("orchestrator", "orchestrator runs").await;
    shop.local.nats.kill().await.unwrap();
    shop.local.nats.restart().await.unwrap();
    shop.listening().await;
    assert_eq!(shop.terminate("orchestrator").await, Some(0));
}
