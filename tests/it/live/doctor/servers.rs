//! Servers that are away, silent, or set up so that they lose something.

use std::{
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sqlx::{Connection as _, PgConnection};

use super::{
    Findings,
    findings::{start, start_services},
    healthy,
};
use crate::support::{self, FakedClock, NatsServer, Shop, Stopped, eventually, spell};

/// A server that is away is one failed check; what it would tell is skipped.
#[tokio::test]
async fn servers_that_are_away() {
    let mut shop = healthy().await;
    shop.local.nats.kill().await.unwrap();
    let findings = Findings::of(&shop, &[]).await;
    findings.fails(&["servers: nats"]);
    assert!(findings.said("servers: nats").0.contains("does not answer"), "{findings:?}");
    for skipped in ["nats: streams", "workers: workers"] {
        assert!(findings.with("skipped").contains(&skipped.to_owned()), "{findings:?}");
    }
    shop.local.nats.restart().await.unwrap();
    shop.local.postgres.kill().await.unwrap();
    let findings = Findings::of(&shop, &[]).await;
    findings.fails(&["servers: postgres"]);
    let (found, _) = findings.said("servers: postgres");
    assert!(found.contains("does not answer") && found.contains("refused"), "{found}");
    assert!(findings.with("skipped").contains(&"postgres: schema".to_owned()), "{findings:?}");
}

/// One that takes connections and says nothing, too.
#[tokio::test]
async fn servers_that_are_silent() {
    let shop = healthy().await;
    let frozen = Stopped::with_children(shop.local.postgres.pid().unwrap());
    Findings::of(&shop, &[]).await.fails(&["servers: postgres"]);
    drop(frozen);
    let frozen = Stopped::with_children(shop.local.nats.pid().unwrap());
    Findings::of(&shop, &[]).await.fails(&["servers: nats"]);
    drop(frozen);
}

/// Neither the address nor the login is one.
#[tokio::test]
async fn addresses_that_lead_nowhere() {
    let shop = healthy().await;
    let wrong = shop.local.database_url().replacen("//amends@", "//nobody@", 1);
    let findings = Findings::of(&shop, &["--database-url", &wrong]).await;
    findings.fails(&["servers: postgres"]);
    let (found, _) = findings.said("servers: postgres");
    assert!(found.contains("refuses") && found.contains("check user"), "{found}");

    // A network that exists in documents only.
    let elsewhere = ["--nats-url", "nats://192.0.2.1:4222"];
    let findings = Findings::of(&shop, &elsewhere).await;
    findings.fails(&["servers: nats"]);
    assert_eq!(findings.with("warning"), ["servers: encryption"]);
    let findings = Findings::of(&shop, &[&elsewhere[..], &["--require-tls"]].concat()).await;
    findings.fails(&["servers: nats", "servers: encryption"]);
    assert!(findings.said("servers: encryption").0.contains("192.0.2.1"), "{findings:?}");

    let nowhere = shop.command(&["doctor"]).env_remove("NATS_URL").output().await.unwrap();
    assert_eq!(nowhere.status.code(), Some(2), "what to look at nobody said");
}

/// A postmaster with other settings than those of the product's, on the same data.
struct Reckless(Child);

impl Reckless {
    /// In place of the one that runs.
    async fn of(shop: &mut Shop, setting: &str, instead: &str) -> Self {
        Self::with(shop, setting, instead, |_| {}).await
    }

    /// The same, with something done to its data before.
    async fn with(
        shop: &mut Shop,
        setting: &str,
        instead: &str,
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let pid = shop.local.postgres.pid().unwrap();
        let said = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        let said = said.replace(setting, instead);
        let mut words = said.split('\0').filter(|word| !word.is_empty());
        let program = PathBuf::from(words.next().unwrap());
        let words: Vec<_> = words.map(str::to_owned).collect();
        let data = words.iter().skip_while(|word| *word != "-D").nth(1).unwrap().clone();
        shop.local.postgres.kill().await.unwrap();
        // A crash leaves the file of the postmaster that is gone.
        let _ = std::fs::remove_file(Path::new(&data).join("postmaster.pid"));
        prepare(Path::new(&data));
        let owner = std::fs::metadata(&data).unwrap();
        let mut command = Command::new(program);
        command.args(words).current_dir("/").stderr(std::process::Stdio::null());
        if owner.uid() != nix::unistd::Uid::current().as_raw() {
            command.gid(owner.gid()).uid(owner.uid());
        }
        let child = Self(command.spawn().unwrap());
        eventually("Postgres with other settings", async || {
            PgConnection::connect(shop.local.database_url()).await.ok()
        })
        .await;
        child
    }
}

impl Drop for Reckless {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id().try_into().unwrap()), Signal::SIGQUIT);
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn commits_that_are_not_on_the_disk() {
    let mut shop = healthy().await;
    let careless = ["create role hasty login", "alter role hasty set synchronous_commit = off"];
    spell::command(shop.local.database_url(), &careless).await;
    let findings = Findings::of(&shop, &[]).await;
    findings.fails(&["postgres: commits of logins"]);
    assert!(findings.said("postgres: commits of logins").0.ends_with("hasty"), "{findings:?}");
    spell::command(shop.local.database_url(), &["drop role hasty"]).await;

    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let reckless =
            Reckless::of(&mut shop, &format!("{setting}=on"), &format!("{setting}=off")).await;
        eventually("a leader", async || {
            let findings = Findings::of(&shop, &[]).await;
            (!findings.with("failed").contains(&"orchestrator: leader".to_owned())).then_some(())
        })
        .await;
        let findings = Findings::of(&shop, &[]).await;
        findings.fails(&["postgres: durability"]);
        assert!(findings.said("postgres: durability").0.starts_with(setting), "{findings:?}");
        drop(reckless);
        shop.local.postgres.restart().await.unwrap();
    }
}

/// A server that follows another takes no writes.
#[tokio::test]
async fn a_standby() {
    let mut shop = healthy().await;
    let standby = Reckless::with(&mut shop, "jit=off", "jit=off", |data| {
        std::fs::write(data.join("standby.signal"), "").unwrap();
    })
    .await;
    eventually("the end of the lead", async || {
        let findings = Findings::of(&shop, &[]).await;
        (findings.with("failed") == ["postgres: primary", "orchestrator: leader"]).then_some(())
    })
    .await;
    let (_, advice) = Findings::of(&shop, &[]).await.said("postgres: primary");
    assert!(advice.contains("DATABASE_URL"), "{advice}");
    drop(standby);
}

#[tokio::test]
async fn clocks_that_differ() {
    let folder = support::folder();
    let (local, clock) = FakedClock::of_servers(&folder).await;
    let mut shop = Shop::closed_on(folder, local).await;
    start(&mut shop).await;
    clock.set_off(5);
    eventually("a clock that is seen", async || {
        let findings = Findings::of(&shop, &[]).await;
        (findings.code == Some(0) && findings.with("warning") == ["servers: clocks"]).then_some(())
    })
    .await;
    clock.set_off(20);
    let findings = eventually("a leader by the new time", async || {
        let findings = Findings::of(&shop, &[]).await;
        (findings.with("failed").len() == 1).then_some(findings)
    })
    .await;
    findings.fails(&["servers: clocks"]);
    let (found, advice) = findings.said("servers: clocks");
    assert!(found.contains("s ahead of this machine; NATS "), "{found}");
    assert!(advice.contains("NTP"), "{advice}");
}

/// The schema that is there is not the one of this program.
#[tokio::test]
async fn schemas_that_are_missing_or_old() {
    const LEADER: &str = "orchestrator: leader";
    let mut shop = healthy().await;
    shop.terminate("orchestrator").await;
    spell::command(
        shop.local.database_url(),
        &["delete from amends._migrations where version = (select max(version) from amends._migrations)"],
    )
    .await;
    let findings = Findings::of(&shop, &[]).await;
    findings.fails(&["postgres: schema", LEADER]);
    let (found, advice) = findings.said("postgres: schema");
    assert!(found.contains("and this program needs"), "{found}");
    assert!(advice.contains("`amends migrate`"), "{advice}");
    spell::command(
        shop.local.database_url(),
        &["insert into amends._migrations (version, description, success, checksum, execution_time)
           select 999, 'later', true, '', 0"],
    )
    .await;
    let findings = Findings::of(&shop, &[]).await;
    assert_eq!(findings.with("warning").first().unwrap(), "postgres: schema", "{findings:?}");

    spell::command(shop.local.database_url(), &["drop schema amends cascade"]).await;
    let findings = Findings::of(&shop, &[]).await;
    findings.fails(&["postgres: schema"]);
    let skipped = findings.with("skipped");
    for name in [LEADER, "postgres: partitions", "definitions: definitions"] {
        assert!(skipped.contains(&name.to_owned()), "{findings:?}");
    }
}

/// A session that everybody else has to wait for.
#[tokio::test]
async fn connections_that_are_used_up() {
    let shop = healthy().await;
    const LEFT: &str = "select current_setting('max_connections')::bigint
             - current_setting('superuser_reserved_connections')::bigint
             - (select sum(numbackends) from pg_stat_database)::bigint";
    let mut crowd = Vec::new();
    while shop.number(LEFT).await > 8 {
        crowd.push(PgConnection::connect(shop.local.database_url()).await.unwrap());
    }
    let findings = Findings::of(&shop, &[]).await;
    findings.fails(&[]);
    assert_eq!(findings.with("warning"), ["postgres: connections"], "{findings:?}");
    assert_eq!(Findings::of(&shop, &["--strict"]).await.code, Some(1));
    drop(crowd);
}

/// A nats-server that says how often it syncs its disk, and one without JetStream.
#[tokio::test]
async fn what_a_server_of_nats_says_of_itself() {
    let mut shop = Shop::closed().await;
    let folder = shop.folder.path().join("monitored");
    let store = format!("store_dir: \"{}\", max_file_store: 16GB", folder.display());
    let monitored = |sync: &str| {
        format!(
            "listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\njetstream {{ {store}, sync_interval: {sync} }}\n"
        )
    };
    let mut server = NatsServer::start(&folder, &monitored("always"), []).await;
    shop.set("NATS_URL", server.url());
    let client = async_nats::connect(server.url()).await.unwrap();
    shop.jetstream = async_nats::jetstream::new(client);
    shop.start("orchestrator", &["orchestrator"]);
    shop.listening().await;
    start_services(&mut shop);
    let monitoring = server.monitoring();
    let flags = ["--nats-monitor", &monitoring];
    eventually("health", async || {
        (Findings::of(&shop, &flags).await.code == Some(0)).then_some(())
    })
    .await;
    let findings = Findings::of(&shop, &flags).await;
    assert!(findings.with("ok").contains(&"nats: sync".to_owned()), "{findings:?}");
    Findings::of(&shop, &["--nats-monitor", "http://127.0.0.1:1"]).await.fails(&["nats: sync"]);
    server.stop().await;

    let folder = shop.folder.path().join("now-and-then");
    let store = format!("store_dir: \"{}\", max_file_store: 16GB", folder.display());
    let conf = format!(
        "listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\njetstream {{ {store}, sync_interval: \"10s\" }}\n"
    );
    let lazy = NatsServer::start(&folder, &conf, []).await;
    let (url, monitoring) = (lazy.url(), lazy.monitoring());
    let flags = ["--nats-url", &url, "--nats-monitor", &monitoring];
    let (found, _) = Findings::of(&shop, &flags).await.said("nats: sync");
    assert!(found.contains("synced each 10s"), "{found}");

    let plain = shop.folder.path().join("plain");
    let plain = NatsServer::start(&plain, "listen: \"127.0.0.1:-1\"\n", []).await;
    let findings = Findings::of(&shop, &["--nats-url", &plain.url()]).await;
    let failed = findings.with("failed");
    assert!(failed.contains(&"nats: jetstream".to_owned()), "{findings:?}");
    assert!(!failed.iter().any(|name| name.contains("stream AMENDS")), "{findings:?}");
}
