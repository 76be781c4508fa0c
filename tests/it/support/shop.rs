//! The order example as real processes on private servers, with everything a test does to it.

use std::{
    collections::BTreeMap,
    fs::File,
    process::{Output, Stdio},
    time::Duration,
};

use amends_app::local::Local;
use amends_demo::audit::Audit;
use amends_postgres::Database;
use async_nats::{HeaderMap, jetstream};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{amends, eventually, folder, servers};

/// What is on the shelves.
const STOCK: [(&str, i64); 2] = [("tea", 100_000), ("lamp", 20)];

pub(crate) const SERVICES: [&str; 4] = ["inventory", "payment", "shipping", "notification"];

/// An order that goes well.
pub(crate) fn order(id: &str) -> Value {
    json!({
        "order_id": id, "customer": "c-17", "currency": "EUR", "card": "tok_visa", "country": "DE",
        "items": [{"sku": "tea", "quantity": 2, "unit_price": 450}],
    })
}

/// A shop.
pub(crate) struct Shop {
    pub(crate) local: Local,
    pub(crate) pool: PgPool,
    pub(crate) jetstream: jetstream::Context,
    pub(crate) folder: TempDir,
    crew: BTreeMap<String, Child>,
    /// What the environment of its processes has beside the servers.
    variables: BTreeMap<&'static str, String>,
}

impl Shop {
    /// Servers and schemas; no process runs yet.
    pub(crate) async fn closed() -> Self {
        let folder = folder();
        let local = servers(&folder).await;
        Self::closed_on(folder, local).await
    }

    /// As [`Self::closed`], on servers that the test has started.
    pub(crate) async fn closed_on(folder: TempDir, local: Local) -> Self {
        let pool = PgPoolOptions::new().connect_lazy(local.database_url()).unwrap();
        let client = async_nats::ConnectOptions::new()
            .retry_on_initial_connect()
            .connect(local.nats_url())
            .await
            .unwrap();
        let stock: BTreeMap<_, _> = STOCK.into();
        std::fs::write(folder.path().join("stock.json"), json!(stock).to_string()).unwrap();
        let jetstream = jetstream::new(client);
        let shop = Self {
            local,
            pool,
            jetstream,
            folder,
            crew: BTreeMap::new(),
            variables: BTreeMap::new(),
        };
        shop.done(&["migrate"]).await;
        shop
    }

    /// An orchestrator and these services.
    pub(crate) async fn open(services: &[&str]) -> Self {
        let mut shop = Self::closed().await;
        shop.start("orchestrator", &["orchestrator"]);
        for service in services {
            shop.start_worker(service);
        }
        shop.listening().await;
        shop
    }

    /// Until the orchestrator takes triggers.
    pub(crate) async fn listening(&self) {
        let jetstream = &self.jetstream;
        eventually("the consumer of triggers", async || {
            jetstream.stream_by_subject("orders.placed").await.ok()
        })
        .await;
    }

    /// A command of the product, not started yet.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(amends());
        command
            .args(args)
            .env("DATABASE_URL", self.local.database_url())
            .env("NATS_URL", self.local.nats_url())
            .env("RUST_LOG", "info,amends_orchestrator=debug,amends_workers=debug")
            .env_remove("AMENDS_LOG_FORMAT")
            .env_remove("AMENDS_HTTP")
            .envs(&self.variables)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Sets a variable for what is started from now on.
    pub(crate) fn set(&mut self, variable: &'static str, value: impl Into<String>) {
        self.variables.insert(variable, value.into());
    }

    /// Starts a role under a name of its own; its log goes to a file of that name.
    pub(crate) fn start(&mut self, name: &str, args: &[&str]) {
        self.start_with(name, args, &[]);
    }

    /// As [`Self::start`], with variables that differ.
    pub(crate) fn start_with(&mut self, name: &str, args: &[&str], variables: &[(&str, &str)]) {
        let log = File::options().create(true).append(true).open(self.log(name)).unwrap();
        let mut command = self.command(args);
        command.envs(variables.iter().copied()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().unwrap();
        assert!(self.crew.insert(name.to_owned(), child).is_none(), "{name} runs already");
    }

    pub(crate) fn start_worker(&mut self, service: &str) {
        let stock = self.stock();
        self.start(service, &["worker", service, "--seed-stock", &stock]);
    }

    /// The file with what is on the shelves, for `--seed-stock`.
    pub(crate) fn stock(&self) -> String {
        self.folder.path().join("stock.json").to_str().unwrap().to_owned()
    }

    fn log(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    pub(crate) fn log_of(&self, name: &str) -> String {
        std::fs::read_to_string(self.log(name)).unwrap_or_default()
    }

    /// Until a line of a role's log holds this.
    pub(crate) async fn says(&self, name: &str, words: &str) {
        eventually(&format!("`{words}` in the log of {name}"), async || {
            self.log_of(name).contains(words).then_some(())
        })
        .await;
    }

    /// The process of a role.
    pub(crate) fn pid(&self, name: &str) -> u32 {
        self.crew[name].id().unwrap()
    }

    /// Whether a role has ended by itself.
    pub(crate) fn has_ended(&mut self, name: &str) -> bool {
        self.crew.get_mut(name).is_some_and(|child| child.try_wait().unwrap().is_some())
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self, name: &str) {
        self.crew.remove(name).unwrap().kill().await.unwrap();
    }

    /// SIGTERM; the exit code.
    pub(crate) async fn terminate(&mut self, name: &str) -> Option<i32> {
        let mut child = self.crew.remove(name).unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        child.wait().await.unwrap().code()
    }

    /// A role's process, which is the caller's from now on.
    pub(crate) fn take(&mut self, name: &str) -> Child {
        self.crew.remove(name).unwrap()
    }

    /// Waits for a role that cannot work to end by itself; the exit code, `None` when it does not end.
    pub(crate) async fn ends_soon(&mut self, name: &str) -> Option<i32> {
        let child = self.crew.get_mut(name).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(20), child.wait()).await;
        ended.ok()?.unwrap().code()
    }

    /// Waits for a role to end by itself; the exit code.
    pub(crate) async fn ends(&mut self, name: &str) -> Option<i32> {
        self.crew.remove(name).unwrap().wait().await.unwrap().code()
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().await.unwrap()
    }

    /// Runs a command that must succeed; its stdout.
    pub(crate) async fn done(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Publishes until JetStream has stored it; how often it was sent is not told.
    pub(crate) async fn publish(&self, body: impl Into<bytes::Bytes>) {
        self.publish_with(HeaderMap::new(), body).await;
    }

    pub(crate) async fn publish_with(&self, headers: HeaderMap, body: impl Into<bytes::Bytes>) {
        let body = body.into();
        eventually("the publication of an order", async || {
            let ack =
                self.jetstream.publish_with_headers("orders.placed", headers.clone(), body.clone());
            ack.await.ok()?.await.ok()
        })
        .await;
    }

    /// As [`Self::publish`], on another subject.
    pub(crate) async fn publish_on(&self, subject: &'static str, body: impl Into<bytes::Bytes>) {
        let body = body.into();
        eventually("the publication of an event", async || {
            let ack = self.jetstream.publish(subject, body.clone());
            ack.await.ok()?.await.ok()
        })
        .await;
    }

    pub(crate) async fn publish_order(&self, order: &Value) {
        self.publish(order.to_string()).await;
    }

    /// A number from the database, once it answers.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        eventually(sql, async || {
            sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql)).fetch_one(&self.pool).await.ok()
        })
        .await
    }

    /// Until the query's number is at least this.
    pub(crate) async fn at_least(&self, sql: &'static str, least: i64) {
        eventually(&format!("{least} of: {sql}"), async || {
            (self.number(sql).await >= least).then_some(())
        })
        .await;
    }

    /// The status of the saga with this key, once it has ended or is stuck.
    pub(crate) async fn fate(&self, key: &str) -> String {
        const FATE: &str = "select status from amends.sagas where key = $1
            and status in ('completed', 'compensated', 'stuck')";
        eventually(&format!("the end of {key}"), async || {
            sqlx::query_scalar(FATE).bind(key).fetch_optional(&self.pool).await.ok().flatten()
        })
        .await
    }

    /// Until every trigger is consumed and every saga has ended.
    pub(crate) async fn settled(&self, sagas: i64) {
        const OPEN: &str = "select count(*) from amends.saga where finished_at is null";
        self.at_least("select count(*) from amends.saga", sagas).await;
        eventually("the end of all sagas", async || (self.number(OPEN).await == 0).then_some(()))
            .await;
    }

    /// The database, as the product's libraries want it.
    pub(crate) fn database(&self) -> Database {
        super::database(self.local.database_url())
    }

    /// What all ledgers say.
    pub(crate) async fn ledgers(&self) -> Audit {
        let seeded = STOCK.iter().map(|(_, quantity)| quantity).sum();
        Audit::of(&self.database(), seeded).await.unwrap()
    }

    /// All ledgers; panics when they do not balance.
    pub(crate) async fn audit(&self) -> Audit {
        let audit = self.ledgers().await;
        assert!(audit.balanced(), "{:#?}", audit.problems);
        audit
    }
}
