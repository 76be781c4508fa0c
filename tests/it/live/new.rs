//! A project of one's own, from `amends new` on: it builds, its tests pass, it runs in `dev`, and as roles of
//! their own under its `nats.conf`.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use amends_app::local::Local;
use async_nats::jetstream;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::support::{NatsServer, amends, eventually, folder, repository, servers};

/// Not the template's name, and not the same in code as in a path.
const NAME: &str = "corner-shop";

/// On a slow machine with every test at once.
const BUILD_MAX: Duration = Duration::from_secs(30 * 60);

/// Where the tests' own build lies: most of what a project needs has been built there.
fn target() -> PathBuf {
    amends().parent().unwrap().parent().unwrap().to_owned()
}

async fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    tokio::time::timeout(BUILD_MAX, output).await.expect("an end").unwrap()
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}

struct Project {
    folder: TempDir,
    data: TempDir,
}

impl Project {
    async fn new() -> Self {
        let project = Self { folder: folder(), data: folder() };
        let made = run(Command::new(amends())
            .args(["new", NAME, "--path"])
            .arg(repository())
            .current_dir(project.folder.path()))
        .await;
        assert!(made.status.success(), "{}", text(&made));
        // What the workspace has built already serves here as well, as far as it was built alike.
        let workspace = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
        let alike = "[profile.dev.package.\"*\"]\nopt-level = 1\ndebug = false\n";
        assert!(workspace.contains(alike));
        let manifest = project.path().join("Cargo.toml");
        let own = std::fs::read_to_string(&manifest).unwrap();
        std::fs::write(&manifest, format!("{own}\n{alike}")).unwrap();
        std::fs::copy(repository().join("Cargo.lock"), project.path().join("Cargo.lock")).unwrap();
        project
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(NAME)
    }

    /// Without network, and with a database in the environment that the build is not to ask.
    async fn cargo(&self, arguments: &[&str]) -> Output {
        run(Command::new("cargo")
            .args(arguments)
            .args(["--offline", "--target-dir"])
            .arg(target())
            .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")
            .current_dir(self.path()))
        .await
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(target().join("debug").join(NAME));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// A role with its log in a file.
    fn start(&self, log: &Path, arguments: &[&str]) -> Child {
        let log = std::fs::File::create(log).unwrap();
        self.program(arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    async fn shows(&self, key: &str, end: &str, database_url: &str) {
        eventually("the end of the saga", async || {
            let shown = run(self.program(&["show", key]).env("DATABASE_URL", database_url)).await;
            text(&shown).contains(end).then_some(())
        })
        .await;
    }
}

pub(super) async fn publish(nats_url: &str, subject: &str, body: &str) {
    let jetstream = jetstream::new(async_nats::connect(nats_url).await.unwrap());
    let stored = jetstream.publish(subject.to_owned(), body.to_owned().into()).await.unwrap();
    stored.await.unwrap();
}

/// What `dev` says to try.
pub(super) struct Tour {
    pub(super) database_url: String,
    pub(super) nats_url: String,
    pub(super) subject: String,
    pub(super) body: String,
    pub(super) key: String,
}

impl Tour {
    /// Reads it until the last line of it.
    pub(super) async fn of(dev: &mut Child) -> Self {
        let mut lines = BufReader::new(dev.stdout.take().unwrap()).lines();
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with("Ctrl-C") {
                break;
            }
            all.push(line);
        }
        let after = |begin: &str| {
            let found = all.iter().find_map(|line| line.trim().split_once(begin));
            found.unwrap_or_else(|| panic!("{begin} is not in {all:?}")).1.to_owned()
        };
        let publish = after(r#"nats --server "$NATS_URL" pub "#);
        let (subject, body) = publish.split_once(' ').unwrap();
        Self {
            database_url: after("export DATABASE_URL="),
            nats_url: after("export NATS_URL="),
            subject: subject.to_owned(),
            body: body.trim_matches('\'').to_owned(),
            key: after(" show "),
        }
    }
}

#[tokio::test]
async fn a_new_project_is_built_proven_and_run() {
    let began = Instant::now();
    let project = Project::new().await;
    let tested = project.cargo(&["test"]).await;
    assert!(tested.status.success(), "{}", text(&tested));
    let passed = text(&tested).matches(" ... ok").count();
    assert_eq!(passed, 2, "{}", text(&tested));
    println!("made, built and proven in {:.0?}", began.elapsed());

    let began = Instant::now();
    let checked = run(&mut project.program(&["check"])).await;
    assert!(checked.status.success(), "{}", text(&checked));
    let data = project.data.path().to_str().unwrap();
    let mut dev = project.program(&["dev", "--data", data]);
    let mut dev = dev.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let tour = Tour::of(&mut dev).await;
    println!("ready in {:.1?}", began.elapsed());
    publish(&tour.nats_url, &tour.subject, &tour.body).await;
    project.shows(&tour.key, "completed       saga", &tour.database_url).await;
    let advice = run(project.program(&["show", "x"]).env("DATABASE_URL", &tour.database_url)).await;
    assert!(text(&advice).contains(&format!("({NAME} list)")), "{}", text(&advice));
    let mut refused: Value = serde_json::from_str(&tour.body).unwrap();
    refused["id"] = "o-2".into();
    refused["card"] = "tok_declined".into();
    publish(&tour.nats_url, &tour.subject, &refused.to_string()).await;
    project.shows("o-2", "all is undone; because of store.hold", &tour.database_url).await;
    amends_app::ask_to_end(&dev);
    assert!(dev.wait().await.unwrap().success());

    roles_under_its_permissions(&project).await;
}

/// The servers of its compose.yaml, with only their addresses and folders others.
async fn roles_under_its_permissions(project: &Project) {
    let servers_folder = folder();
    let local: Local = servers(&servers_folder).await;
    let nats_folder = project.data.path().join("guarded");
    let conf = std::fs::read_to_string(project.path().join("nats.conf")).unwrap();
    let written = run(&mut project.program(&["nats-config"])).await;
    assert_eq!(String::from_utf8(written.stdout).unwrap(), conf, "its nats.conf is written by it");
    let conf = conf
        .replace("\"0.0.0.0:4222\"", "\"127.0.0.1:-1\"")
        .replace("\"0.0.0.0:8222\"", "\"127.0.0.1:-1\"")
        .replace("\"/data\"", &format!("\"{}\"", nats_folder.display()));
    let users = ["ORCHESTRATOR", "STORE", "PUBLISHER", "ADMIN"];
    let passwords = users.map(|user| (format!("NATS_PASSWORD_{user}"), "secret".to_owned()));
    let guarded = NatsServer::start(&nats_folder, &conf, passwords).await;
    let url = |user: &str| format!("nats://{user}:secret@{}", guarded.address);
    let database = ["--database-url", local.database_url()];

    let migrated = run(project.program(&["migrate", "--services"]).args(database)).await;
    assert!(migrated.status.success(), "{}", text(&migrated));
    let logs = ["orchestrator", "store"].map(|name| project.data.path().join(name));
    let _orchestrator = project.start(
        &logs[0],
        &[&["orchestrator", "--nats-url", &url("orchestrator")], &database[..]].concat(),
    );
    let _store = project.start(
        &logs[1],
        &[&["worker", "store", "--nats-url", &url("store")], &database[..]].concat(),
    );
    let order = r#"{"id":"o-3","article":"lamp","quantity":1,"card":"tok_visa"}"#;
    let options =
        async_nats::ConnectOptions::new().user_and_password("publisher".into(), "secret".into());
    let jetstream = jetstream::new(options.connect(&guarded.address).await.unwrap());
    // Once the orchestrator has made the stream.
    eventually("a stream of events", async || {
        jetstream.publish("orders.placed", order.into()).await.ok()?.await.ok()
    })
    .await;
    project.shows("o-3", "completed       saga", local.database_url()).await;
    for log in logs {
        let log = std::fs::read_to_string(log).unwrap();
        assert!(!log.contains("Permissions Violation"), "{log}");
    }
}

#[tokio::test]
async fn what_is_there_already_is_not_touched() {
    let here = folder();
    let new = async |arguments: &[&str]| {
        run(Command::new(amends()).arg("new").args(arguments).current_dir(here.path())).await
    };
    let made = new(&["shop"]).await;
    assert!(made.status.success(), "{}", text(&made));
    let again = new(&["shop"]).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(
        text(&again).contains("the folder shop is there already: choose another name"),
        "{}",
        text(&again)
    );
    for wrong in [&["Shop"][..], &["tokio"]] {
        let refused = new(wrong).await;
        assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    }
    let elsewhere = new(&["other", "--path", "."]).await;
    assert!(text(&elsewhere).contains("is no checkout of Amends"), "{}", text(&elsewhere));
    assert!(!here.path().join("other").exists());
}
