//! What Postgres says when it cannot do what it is asked is no fault of the command: it is held, its service
//! says that it is not ready, and no attempt is spent. What a handler's own SQL says is.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use amends::{BeforePivot, Definition, Finished, Given, Plan, Retry, Saga, Step, Trigger};
use amends_workers::{Act, Attempt, Halt, Health, Service};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::support::{Pay, Stage, eventually, spell};

/// The server's doing, whatever the command is.
const OUTAGES: [(&str, &str); 17] = [
    ("08006", "connection_failure"),
    ("25006", "read_only_sql_transaction"),
    ("28P01", "invalid_password"),
    ("53000", "insufficient_resources"),
    ("53100", "disk_full"),
    ("53200", "out_of_memory"),
    ("53300", "too_many_connections"),
    ("53400", "configuration_limit_exceeded"),
    ("55P03", "lock_not_available"),
    ("57014", "query_canceled"),
    ("57P01", "admin_shutdown"),
    ("57P02", "crash_shutdown"),
    ("57P03", "cannot_connect_now"),
    ("57P04", "database_dropped"),
    ("57P05", "idle_session_timeout"),
    ("58000", "system_error"),
    ("58030", "io_error"),
];

/// What the command leads to.
const BROKEN: [(&str, &str); 4] = [
    ("22012", "division_by_zero"),
    ("23505", "unique_violation"),
    ("42P01", "undefined_table"),
    ("P0001", "raise_exception"),
];

/// How long each lasts: longer than a command that is tried again at once needs to spend an attempt.
const SPELL: Duration = Duration::from_secs(2);

struct PayBill;

impl Saga for PayBill {
    const NAME: &'static str = "bill";
    const VERSION: u32 = 1;
    type Input = Value;
    type Output = ();

    fn trigger() -> Trigger<Value> {
        Trigger::<Value>::on("bills.came").key(|bill| bill["code"].to_string())
    }

    fn plan(p: Plan<BeforePivot>, bill: Given<Value>) -> Finished<()> {
        let soon = Retry::exponential(Duration::from_millis(50), Duration::from_millis(100));
        let (p, paid) = p.pivot(Pay::with(bill).retry(soon.limit(1000)));
        p.finish(paid)
    }
}

/// Raises what the bill says while there is trouble.
const RAISE: &str = "create function pay(code text) returns void language plpgsql as $$ begin
    if exists (select from trouble) then
        raise exception 'trouble' using errcode = code;
    end if;
end $$";

#[derive(Clone, Default)]
struct Bank {
    calls: Arc<AtomicU32>,
}

impl Act<Pay> for Bank {
    async fn act(&self, cx: &mut Attempt<'_>, bill: Value) -> Result<(), Halt<Infallible>> {
        self.calls.fetch_add(1, Relaxed);
        let code = bill["code"].as_str().unwrap_or_default();
        sqlx::query("select pay($1)").bind(code).execute(&mut *cx.tx).await?;
        Ok(())
    }
}

/// A bank at work.
struct Open {
    stage: Stage,
    health: watch::Receiver<Health>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Open {
    async fn bank() -> Self {
        let mut stage = Stage::set().await;
        spell::command(stage.shop.local.database_url(), &["create table trouble ()", RAISE]).await;
        stage.enter("one", vec![Definition::of::<PayBill>().unwrap()]).await;
        let database = stage.shop.database();
        amends_workers::migrate(&database).await.unwrap();
        let service = Service::new("bank", database, Bank::default()).forward::<Pay>();
        let service = service.build().unwrap();
        let (health, stop) = (service.health(), CancellationToken::new());
        let serving = tokio::spawn(service.serve(stage.shop.jetstream.client(), stop.clone()));
        Self { stage, health, stop, serving }
    }

    /// Pays a bill while its code is raised; whether the service was away, and attempts that broke.
    async fn trouble(&self, code: &'static str) -> (bool, i64) {
        let shop = &self.stage.shop;
        spell::command(shop.local.database_url(), &["insert into trouble default values"]).await;
        let (began, mut away) = (Instant::now(), false);
        self.stage.publish("bills.came", json!({ "code": code })).await;
        let mut health = self.health.clone();
        while began.elapsed() < SPELL {
            away |= health.borrow_and_update().database.is_some();
            let rest = SPELL.saturating_sub(began.elapsed());
            let _ = tokio::time::timeout(rest, health.changed()).await;
        }
        spell::command(shop.local.database_url(), &["delete from trouble"]).await;
        let key = json!(code).to_string();
        assert_eq!(shop.fate(&key).await, "completed", "{code}");
        let broke = "select count(*) from amends.history h join amends.sagas s on s.id = h.saga_id
            where s.key = $1 and h.kind = 'broke'";
        let broke = sqlx::query_scalar(broke).bind(key).fetch_one(&shop.pool).await.unwrap();
        (away, broke)
    }

    async fn close(mut self) {
        self.stop.cancel();
        self.serving.await.unwrap();
        self.stage.leave("one").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_says_spends_no_attempt() {
    let bank = Open::bank().await;
    let mut wrong = Vec::new();
    for (code, name) in OUTAGES {
        let (away, broke) = bank.trouble(code).await;
        println!("{code} {name}: away {away}, {broke} attempts broke");
        if !away || broke > 0 {
            wrong.push(format!("{code} {name}: not ready {away}, {broke} attempts broke"));
        }
        eventually("the database", async || bank.health.borrow().ready().ok()).await;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    bank.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_handler_asks_for_breaks_its_attempt() {
    let bank = Open::bank().await;
    for (code, name) in BROKEN {
        let (away, broke) = bank.trouble(code).await;
        assert!(!away && broke > 0, "{code} {name}: not ready {away}, {broke} attempts broke");
    }
    bank.close().await;
}
