//! Services that share a database: what the login of one can do to the effects and events of another. Each attack
//! succeeds between logins that are not registered, and fails between registered ones.

use amends_postgres::{Granted, Participant, Right};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use crate::support::{self, eventually};

const OK: &str = r#"{"outcome":"ok"}"#;

/// A database with the barrier, the logins of two services, and a step of the second.
struct Site {
    postgres: support::Fresh,
    saga: Uuid,
    inventory: Login,
    payment: Login,
}

/// A session of a service.
struct Login(PgConnection);

impl Login {
    /// The verdict for an effect.
    async fn enter(&mut self, id: &str) -> String {
        let enter = sqlx::query_scalar("select verdict from amends_barrier.enter($1)").bind(id);
        enter.fetch_one(&mut self.0).await.unwrap()
    }

    async fn leave(&mut self, id: &str, reply: &str) -> sqlx::Result<()> {
        let leave = sqlx::query("select amends_barrier.leave($1, $2::json)").bind(id).bind(reply);
        leave.execute(&mut self.0).await.map(drop)
    }

    async fn emit(&mut self, subject: &str, key: &str, body: &str) -> sqlx::Result<i64> {
        let emit = sqlx::query_scalar("select amends_barrier.emit($1, $2, $3::json)");
        emit.bind(subject).bind(key).bind(body).fetch_one(&mut self.0).await
    }

    /// The subjects of the events that it can take.
    async fn claim(&mut self) -> Vec<String> {
        let claim = sqlx::query_scalar("select subject from amends_barrier.relay_claim(9)");
        claim.fetch_all(&mut self.0).await.unwrap()
    }

    async fn run(&mut self, sql: &'static str) {
        self.0.execute(sql).await.unwrap();
    }

    async fn is_denied(&mut self, sql: &'static str) -> bool {
        let refusal = self.0.execute(sql).await.unwrap_err();
        refusal.to_string().contains("permission denied")
    }
}

/// Makes the rights of a login good, as its service or as nobody's in particular.
async fn grant(postgres: &support::Fresh, login: &str, service: Option<&str>, subjects: &[&str]) {
    let participant = Participant {
        service: service.map(str::to_owned),
        schema: None,
        subjects: service.map(|_| subjects.iter().map(|subject| (*subject).to_owned()).collect()),
    };
    let database = support::database(&postgres.url);
    let granted = Right::Participant(participant).grant(&database, login).await.unwrap();
    let registered = Granted::Registered(subjects.iter().map(|s| (*s).to_owned()).collect());
    assert_eq!(granted, if service.is_some() { registered } else { Granted::AsAsked });
}

impl Site {
    async fn new(registered: bool) -> Self {
        let postgres = support::postgres().await;
        amends_workers::migrate(&support::database(&postgres.url)).await.unwrap();
        let inventory = Self::login(&postgres, "inv").await;
        let payment = Self::login(&postgres, "pay").await;
        grant(&postgres, "inv", registered.then_some("inventory"), &["lots.sold"]).await;
        grant(&postgres, "pay", registered.then_some("payment"), &["payments.taken"]).await;
        Self { postgres, saga: Uuid::now_v7(), inventory, payment }
    }

    async fn login(postgres: &support::Fresh, name: &str) -> Login {
        let mut owner = PgConnection::connect(&postgres.url).await.unwrap();
        owner.execute(AssertSqlSafe(format!("create role {name} login"))).await.unwrap();
        let url = postgres.url.replace("amends@", &format!("{name}@"));
        Login(PgConnection::connect(&url).await.unwrap())
    }

    fn action(&self) -> String {
        format!("{}:payment.charge:action:1", self.saga)
    }

    fn compensation(&self) -> String {
        format!("{}:payment.charge:compensation:1", self.saga)
    }
}

/// Whether the attack succeeds between logins that are not registered, and between registered ones.
async fn each<F: Future<Output = bool>>(attack: impl Fn(Site) -> F) {
    assert!(attack(Site::new(false).await).await, "the attack fails also without a registration");
    assert!(!attack(Site::new(true).await).await, "the attack succeeds");
}

#[tokio::test]
async fn nobody_answers_for_another() {
    each(async |mut site| {
        let id = site.action();
        site.inventory.enter(&id).await;
        site.inventory.leave(&id, OK).await.unwrap();
        // No money was taken, and the saga is told that it was.
        site.payment.enter(&id).await == "replay"
    })
    .await;
}

#[tokio::test]
async fn nobody_answers_what_another_has_left_open() {
    each(async |mut site| {
        let id = site.action();
        site.payment.enter(&id).await;
        site.payment.leave(&id, r#"{"outcome":"pending"}"#).await.unwrap();
        site.inventory.leave(&id, OK).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn nobody_voids_the_action_of_another() {
    each(async |mut site| {
        let (action, compensation) = (site.action(), site.compensation());
        site.inventory.enter(&compensation).await;
        site.payment.enter(&action).await == "void"
    })
    .await;
}

#[tokio::test]
async fn nobody_compensates_for_another() {
    each(async |mut site| {
        let (action, compensation) = (site.action(), site.compensation());
        site.payment.enter(&action).await;
        site.payment.leave(&action, OK).await.unwrap();
        site.inventory.enter(&action).await;
        site.inventory.enter(&compensation).await;
        let _ = site.inventory.leave(&compensation, OK).await;
        // The saga ends as compensated, and the money is still taken.
        site.payment.enter(&compensation).await == "replay"
    })
    .await;
}

#[tokio::test]
async fn nobody_holds_up_the_effect_of_another() {
    each(async |mut site| {
        let id = site.action();
        site.inventory.run("begin").await;
        site.inventory.enter(&id).await;
        site.payment.run("set lock_timeout = '100ms'").await;
        let enter = sqlx::query("select amends_barrier.enter($1)").bind(id);
        enter.execute(&mut site.payment.0).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn nobody_emits_on_the_subject_of_another() {
    each(async |mut site| {
        let emitted = site.inventory.emit("payments.taken", "o-1", r#"{"forged":true}"#).await;
        // Not on its own behalf, and not by the other's relay.
        emitted.is_ok() || site.payment.claim().await == ["payments.taken"]
    })
    .await;
}

#[tokio::test]
async fn nobody_takes_the_key_of_another() {
    each(async |mut site| {
        let _ = site.inventory.emit("payments.taken", "o-1", r#"{"forged":true}"#).await;
        site.payment.emit("payments.taken", "o-1", "{}").await.is_err()
    })
    .await;
}

#[tokio::test]
async fn nobody_reads_the_events_of_another() {
    each(async |mut site| {
        site.payment.emit("payments.taken", "o-1", "{}").await.unwrap();
        !site.inventory.claim().await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn nobody_loses_or_delays_the_events_of_another() {
    for sql in [
        "select amends_barrier.relay_sent('{1}')",
        "select amends_barrier.relay_postpone('{1}', '{1}', '{x}', '{1e9}')",
    ] {
        each(async |mut site| {
            assert_eq!(site.payment.emit("payments.taken", "o-1", "{}").await.unwrap(), 1);
            site.inventory.run(sql).await;
            site.payment.claim().await.is_empty()
        })
        .await;
    }
}

#[tokio::test]
async fn nobody_forgets_the_keys_of_another() {
    each(async |mut site| {
        let first = site.payment.emit("payments.taken", "o-1", "{}").await.unwrap();
        site.inventory.run("select amends_barrier.relay_forget('0', 9)").await;
        site.payment.emit("payments.taken", "o-1", "{}").await.unwrap() != first
    })
    .await;
}

#[tokio::test]
async fn nobody_registers_itself() {
    let mut site = Site::new(true).await;
    for sql in [
        "select amends_barrier.register('inv', 'payment')",
        "update amends_barrier.login set service = 'payment'",
        "delete from amends_barrier.login",
        "select amends_barrier.forget('{}')",
        "table amends_barrier.outbox",
        "set role pay",
        "set session authorization pay",
    ] {
        assert!(site.inventory.is_denied(sql).await, "{sql}");
    }
}

#[tokio::test]
async fn a_login_works_for_one_service() {
    let site = Site::new(true).await;
    let other = Participant { service: Some("shipping".into()), ..Participant::default() };
    let database = support::database(&site.postgres.url);
    let refused = Right::Participant(other).grant(&database, "inv").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the login `inv` works for the service `inventory`: create another, as each service needs its own"
    );
    // Repeated without subjects, it keeps them.
    let again = Participant { service: Some("inventory".into()), ..Participant::default() };
    let kept = Right::Participant(again).grant(&database, "inv").await.unwrap();
    assert_eq!(kept, Granted::Registered(vec!["lots.sold".into()]));
}

/// A login that is replaced, e.g. when its password may have been stolen.
#[tokio::test]
async fn a_second_login_of_a_service_knows_what_the_first_did() {
    let mut site = Site::new(true).await;
    let id = site.action();
    site.payment.enter(&id).await;
    site.payment.leave(&id, OK).await.unwrap();
    let mut second = Site::login(&site.postgres, "pay_2").await;
    grant(&site.postgres, "pay_2", Some("payment"), &[]).await;
    assert_eq!(second.enter(&id).await, "replay");
}

/// What was done before the registration is known after it, also what was under way.
#[tokio::test]
async fn a_login_that_has_worked_is_registered() {
    let mut site = Site::new(false).await;
    let (done, id) = (format!("{}:payment.hold:action:1", site.saga), site.action());
    site.payment.enter(&done).await;
    site.payment.leave(&done, OK).await.unwrap();
    site.payment.emit("payments.taken", "o-1", "{}").await.unwrap();
    site.payment.run("begin").await;
    site.payment.enter(&id).await;
    let mut late =
        Login(PgConnection::connect(&site.postgres.url.replace("amends@", "pay@")).await.unwrap());

    let url = site.postgres.url.clone();
    let registering = tokio::spawn(async move {
        let mut owner = PgConnection::connect(&url).await.unwrap();
        let register = "select amends_barrier.register('pay', 'payment', '{payments.taken}')";
        owner.execute(register).await.unwrap();
    });
    let mut owner = PgConnection::connect(&site.postgres.url).await.unwrap();
    let waits = async |owner: &mut PgConnection, who: &str| {
        let waits =
            "select count(*) from pg_stat_activity where usename = $1 and wait_event_type = 'Lock'";
        let waits: i64 = sqlx::query_scalar(waits).bind(who).fetch_one(owner).await.unwrap();
        (waits == 1).then_some(())
    };
    eventually("the registration waits", async || waits(&mut owner, "amends").await).await;
    // Begins while the registration waits, and has not read who it is.
    let other = format!("{}:payment.late:action:1", site.saga);
    let entering = other.clone();
    let entering = tokio::spawn(async move {
        late.run("begin").await;
        late.enter(&entering).await;
        late.leave(&entering, OK).await.unwrap();
        late.run("commit").await;
    });
    eventually("the late one waits", async || waits(&mut owner, "pay").await).await;
    site.payment.leave(&id, OK).await.unwrap();
    site.payment.run("commit").await;
    registering.await.unwrap();
    entering.await.unwrap();
    for effect in [&done, &id, &other] {
        assert_eq!(site.payment.enter(effect).await, "replay", "{effect}");
    }
    assert_eq!(site.payment.claim().await, ["payments.taken"]);
    assert_eq!(site.payment.emit("payments.taken", "o-1", "{}").await.unwrap(), 1);
}
