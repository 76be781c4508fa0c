//! No wake is lost. A timer that is taken stands at the end of its lease, and its holder sets it again
//! only where it still stands there. So whoever sets or wakes a timer meanwhile has to move it, also
//! where the lease ends before the time that he asks for.

use std::{collections::BTreeSet, fmt, time::Duration};

use amends::machine::Time;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row as _, types::Uuid};

use crate::{
    statements::{names, parameters},
    support,
};

/// As long as production's, and one that has run out.
const LEASES: [f64; 2] = [10.0, -1.0];
const RAN_OUT_BEFORE: f64 = -2.0;

const HOUR: Duration = Duration::from_secs(3600);

/// What sets the timer of a saga that exists.
#[derive(Debug, Clone, Copy)]
enum Setter {
    /// A turn's commit, in the part of its statement with this name.
    Commit(&'static str, Part),
    /// Something came for the saga: it is to look now.
    Wake(Wake),
}

/// Which timers a commit sets.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// Of sagas that moved without their timer, and of others that are to look.
    Armed,
    /// Of sagas whose timer fired, under a lease that ran out since.
    Rearmed,
}

#[derive(Debug, Clone, Copy)]
enum Wake {
    ParkedReply,
    Event,
    ReleasedLock,
    LockBrokenByHand,
    LockTakenAway,
    Act,
    ActOnMany,
}

const SETTERS: [Setter; 11] = [
    Setter::Commit("changes", Part::Armed),
    Setter::Commit("everything", Part::Armed),
    Setter::Commit("changes", Part::Rearmed),
    Setter::Commit("everything", Part::Rearmed),
    Setter::Wake(Wake::ParkedReply),
    Setter::Wake(Wake::Event),
    Setter::Wake(Wake::ReleasedLock),
    Setter::Wake(Wake::LockBrokenByHand),
    Setter::Wake(Wake::LockTakenAway),
    Setter::Wake(Wake::Act),
    Setter::Wake(Wake::ActOnMany),
];

impl Setter {
    /// The statement's file, or the function.
    const fn name(self) -> &'static str {
        match self {
            Self::Commit(file, _) => file,
            Self::Wake(Wake::ParkedReply) => "park",
            Self::Wake(Wake::Event) => "wake_waiting",
            Self::Wake(Wake::ReleasedLock | Wake::LockBrokenByHand) => "amends.wake_next",
            Self::Wake(Wake::LockTakenAway | Wake::Act) => "amends.note_act",
            Self::Wake(Wake::ActOnMany) => "amends.note_acts",
        }
    }
}

/// What whoever took the timer does with it, an hour after the latest that anybody asks for.
#[derive(Debug, Clone, Copy)]
enum Holder {
    /// Nothing was due: sets it again.
    Sets,
    /// Nothing is left to wait for.
    Deletes,
    /// Its turn moved the saga.
    Commits(&'static str),
}

const HOLDERS: [Holder; 4] =
    [Holder::Sets, Holder::Deletes, Holder::Commits("changes"), Holder::Commits("everything")];

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Armed => "armed",
            Self::Rearmed => "rearmed",
        })
    }
}

fn sql(statement: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(support::statement(statement))
}

/// Two sagas in a database of their own. The timer of one is looked at, the other has a lock.
struct House {
    postgres: support::Fresh,
    connection: PgConnection,
    saga: Uuid,
    other: Uuid,
}

impl House {
    async fn new() -> Self {
        let (postgres, mut connection) = support::migrated().await;
        let mut sagas = Vec::new();
        for _ in 0..2 {
            let id: Uuid = sqlx::query_scalar(
                "insert into amends.saga (id, started_at, version, definition, status, input)
                 values (amends.first_id(clock_timestamp() + make_interval(secs => $1)), now(), 1,
                         'order', 'running', '{}')
                 returning id",
            )
            .bind(sagas.len() as f64)
            .fetch_one(&mut connection)
            .await
            .unwrap();
            sagas.push(id);
        }
        let (other, saga) = (sagas[0], sagas[1]);
        Self { postgres, connection, saga, other }
    }

    /// Only a timer, which is due.
    async fn reset(&mut self) {
        for table in ["timer", "mailbox", "lock", "wait"] {
            let delete = AssertSqlSafe(format!("delete from amends.{table}"));
            self.connection.execute(delete).await.unwrap();
        }
        let due = "insert into amends.timer (saga_id, due_at) values ($1, now())";
        sqlx::query(due).bind(self.saga).execute(&mut self.connection).await.unwrap();
    }

    /// Takes the timer; the end of the lease.
    async fn claim(&mut self, lease: f64) -> Time {
        let claimed = sqlx::query(sql("claim_timers"))
            .bind(10_i64)
            .bind(lease)
            .bind(0.0)
            .bind(Time::UNIX_EPOCH)
            .fetch_one(&mut self.connection)
            .await
            .unwrap();
        assert_eq!(claimed.get::<Uuid, _>("saga_id"), self.saga);
        claimed.get("leased_until")
    }

    /// A commit in which nothing but these arrays is given, by the names of the statement's parts: so
    /// that no parameter's number stands here.
    async fn commit(&mut self, statement: &str, part: Part, arrays: &[String]) {
        let text = support::statement(statement);
        let (_, part) = text.split_once(&format!("{part} as (")).unwrap();
        let (given, _) = part.split_once("unnest(").unwrap().1.split_once(')').unwrap();
        let mut values = vec!["'{}'".to_owned(); parameters(&text).max().unwrap()];
        assert_eq!(parameters(given).count(), arrays.len(), "{given}");
        for (at, array) in parameters(given).zip(arrays) {
            values[at - 1] = format!("'{{{array}}}'");
        }
        let run = format!("execute commit({})", values.join(", "));
        for sql in [format!("prepare commit as {text}"), run, "deallocate commit".into()] {
            self.connection.execute(AssertSqlSafe(sql)).await.unwrap();
        }
    }

    async fn rearm(&mut self, statement: &str, due: Time, lease: Time) {
        let arrays = [self.saga.to_string(), due.to_rfc3339(), lease.to_rfc3339()];
        self.commit(statement, Part::Rearmed, &arrays).await;
    }

    /// The setter sets the timer to this time, or to now; which is returned. A turn that was decided
    /// under a lease that ran out knows that one.
    async fn set(&mut self, setter: Setter, due: Time, ran_out: Time) -> Time {
        match setter {
            Setter::Commit(statement, Part::Armed) => {
                let arrays = [self.saga.to_string(), due.to_rfc3339()];
                self.commit(statement, Part::Armed, &arrays).await;
                due
            }
            Setter::Commit(statement, Part::Rearmed) => {
                self.rearm(statement, due, ran_out).await;
                due
            }
            Setter::Wake(wake) => {
                self.wake(wake).await;
                self.now().await
            }
        }
    }

    async fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::ParkedReply => {
                let parked = sqlx::query(sql("park"))
                    .bind([self.saga])
                    .bind([format!("{}:shop.work:action:1", self.saga)])
                    .bind([r#"{"outcome":"ok"}"#])
                    .bind(["shop"])
                    .bind([self.now().await]);
                parked.execute(&mut self.connection).await.unwrap();
            }
            Wake::Event => {
                let waits = "insert into amends.wait (saga_id, step, matcher, key)
                    values ($1, 'told', 'order/told', 'k')";
                sqlx::query(waits).bind(self.saga).execute(&mut self.connection).await.unwrap();
                let came = sqlx::query(sql("wake_waiting")).bind(["order/told"]).bind(["k"]);
                came.execute(&mut self.connection).await.unwrap();
            }
            Wake::ReleasedLock => {
                self.lock(self.other, self.saga).await;
                let released = sqlx::query(sql("release")).bind([self.other]);
                released.execute(&mut self.connection).await.unwrap();
            }
            Wake::LockBrokenByHand => {
                self.lock(self.other, self.saga).await;
                self.operator("select amends.break_lock('l', 'a strike')").await;
            }
            Wake::LockTakenAway => {
                self.lock(self.saga, self.other).await;
                self.operator("select amends.break_lock('l', 'a strike')").await;
            }
            Wake::Act => {
                let pause = "select amends.pause(saga_id, 'a look') from amends.timer";
                self.operator(pause).await;
            }
            Wake::ActOnMany => {
                self.operator("select amends.pause_all(null, null, null, 10, 'a look')").await;
            }
        }
    }

    async fn operator(&mut self, act: &'static str) {
        assert_eq!(self.connection.execute(act).await.unwrap().rows_affected(), 1, "{act}");
    }

    async fn lock(&mut self, holds: Uuid, wants: Uuid) {
        let lock = "insert into amends.lock (name, saga_id, held_since)
            values ('l', $1, now()), ('l', $2, null)";
        let lock = sqlx::query(lock).bind(holds).bind(wants);
        lock.execute(&mut self.connection).await.unwrap();
    }

    /// The holder of the lease ends its turn.
    async fn finish(&mut self, holder: Holder, due: Time, lease: Time) {
        let none = (Vec::<Uuid>::new(), Vec::<Time>::new());
        match holder {
            Holder::Sets => {
                let set = sqlx::query(sql("rearm_timers")).bind([self.saga]).bind([due]);
                let set = set.bind([lease]).bind(none.0).bind(none.1);
                set.execute(&mut self.connection).await.unwrap();
            }
            Holder::Deletes => {
                let delete = sqlx::query(sql("rearm_timers")).bind(none.0).bind(none.1.clone());
                let delete = delete.bind(none.1).bind([self.saga]).bind([lease]);
                delete.execute(&mut self.connection).await.unwrap();
            }
            Holder::Commits(statement) => self.rearm(statement, due, lease).await,
        }
    }

    async fn now(&mut self) -> Time {
        let now = sqlx::query_scalar("select clock_timestamp()");
        now.fetch_one(&mut self.connection).await.unwrap()
    }

    async fn due(&mut self) -> Option<Time> {
        sqlx::query_scalar("select due_at from amends.timer where saga_id = $1")
            .bind(self.saga)
            .fetch_optional(&mut self.connection)
            .await
            .unwrap()
    }

    /// What was put into the mailbox so far has lain there for a while.
    async fn age_mail(&mut self) {
        let old = "update amends.mailbox set at = at - interval '1 minute'";
        self.connection.execute(old).await.unwrap();
    }

    /// The orchestrator looks for acts that nobody decides.
    async fn wake_acts(&mut self) {
        let woken = sqlx::query(sql("wake_acts")).bind(11.0);
        woken.execute(&mut self.connection).await.unwrap();
    }
}

#[tokio::test]
async fn whoever_sets_a_timer_under_a_lease_is_heard() {
    let mut house = House::new().await;
    let mut lost = Vec::new();
    for (setter, asked, holder, lease) in cases() {
        house.reset().await;
        let ran_out = house.claim(RAN_OUT_BEFORE).await;
        let lease_ends = house.claim(lease).await;
        let due = match asked {
            Asked::Now => house.now().await,
            Asked::AtTheLeasesEnd => lease_ends,
            Asked::AnHourLater => lease_ends + HOUR,
        };
        let due = house.set(setter, due, ran_out).await;
        house.finish(holder, due.max(lease_ends) + HOUR, lease_ends).await;
        let stands = house.due().await;
        if stands.is_none_or(|stands| stands > due.max(lease_ends)) {
            lost.push(format!(
                "{setter:?}, {asked:?} ({due}), under a lease until {lease_ends}, whose holder \
                 {holder:?}: {stands:?}"
            ));
        }
    }
    assert!(lost.is_empty(), "{} wakes are lost:\n{}", lost.len(), lost.join("\n"));
}

/// For when a setter sets the timer.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Now,
    AtTheLeasesEnd,
    AnHourLater,
}

fn cases() -> Vec<(Setter, Asked, Holder, f64)> {
    let mut cases = Vec::new();
    for setter in SETTERS {
        let asked: &[Asked] = match setter {
            Setter::Commit(..) => &[Asked::Now, Asked::AtTheLeasesEnd, Asked::AnHourLater],
            Setter::Wake(_) => &[Asked::Now],
        };
        for &asked in asked {
            for holder in HOLDERS {
                cases.extend(LEASES.map(|lease| (setter, asked, holder, lease)));
            }
        }
    }
    cases
}

/// An act that could not wake its saga is found by the orchestrator, once whoever has the timer has set
/// it later, or deleted it; and not while it is in hand.
#[tokio::test]
async fn acts_that_nobody_decides_wake_their_saga() {
    let mut house = House::new().await;
    for holder in HOLDERS {
        house.reset().await;
        // Taken by a statement that has not ended while many acts are noted: those pass it by.
        let mut replica = PgConnection::connect(&house.postgres.url).await.unwrap();
        let mut claiming = replica.begin().await.unwrap();
        let lease_ends: Time = sqlx::query(sql("claim_timers"))
            .bind(10_i64)
            .bind(LEASES[0])
            .bind(0.0)
            .bind(Time::UNIX_EPOCH)
            .fetch_one(&mut *claiming)
            .await
            .unwrap()
            .get("leased_until");
        house.wake(Wake::ActOnMany).await;
        claiming.commit().await.unwrap();
        house.age_mail().await;

        house.wake_acts().await;
        assert_eq!(house.due().await, Some(lease_ends), "{holder:?}");
        house.finish(holder, lease_ends + HOUR, lease_ends).await;
        house.wake_acts().await;
        let (due, now) = (house.due().await, house.now().await);
        assert!(due.is_some_and(|due| due <= now), "{holder:?}: {due:?}");
    }
}

/// Of timers that are not there yet, or taken, or set again by whoever took them.
const NOT_OF_OTHERS: [&str; 5] =
    ["amends.start", "claim_known_timers", "claim_timers", "rearm_timers", "starts"];

#[tokio::test]
async fn no_statement_that_sets_timers_is_missing_here() {
    let writes = ["insert into amends.timer", "update amends.timer"];
    let sets = |name: &String| writes.iter().any(|write| support::statement(name).contains(write));
    let mut found: BTreeSet<String> = names().into_iter().filter(sets).collect();
    let mut house = House::new().await;
    let functions: Vec<String> = sqlx::query_scalar(
        "select 'amends.' || p.proname from pg_proc p
         where p.pronamespace = 'amends'::regnamespace
           and pg_get_functiondef(p.oid) ~* '(insert into|update) amends\\.timer'",
    )
    .fetch_all(&mut house.connection)
    .await
    .unwrap();
    found.extend(functions);
    let here = SETTERS.map(Setter::name).into_iter().chain(NOT_OF_OTHERS).chain(["wake_acts"]);
    assert_eq!(found, here.map(str::to_owned).collect());
}
