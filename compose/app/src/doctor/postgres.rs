//! Whether this Postgres keeps what it was given, has room for more, and holds the schema of this program.

use std::time::Duration;

use amends_orchestrator::Config;
use amends_postgres::{Applied, Database, ORCHESTRATOR, Schema};
use chrono::{TimeDelta, Utc};

use super::{
    check::{Check, Group},
    servers::{Reached, Server},
};
use crate::{age::age, program_name::program_name, run::orchestrator::connections};

const GROUP: Group = Group::Postgres;

/// The names of the checks.
const DURABILITY: &str = "durability";
const LOGINS: &str = "commits of logins";
const PRIMARY: &str = "primary";
const CONNECTIONS: &str = "connections";
const OLD: &str = "old transactions";
const SCHEMA: &str = "schema";
const PERIODS: &str = "partitions";

/// A transaction that is older keeps Postgres from clearing away what turns leave behind: timers that were moved,
/// first of all. Amends' own end after a minute.
const OLD_AFTER: Duration = Duration::from_secs(5 * 60);

/// Sagas outside of all periods are deleted row by row: a few come from old messages, more from a wrong clock.
const OUTSIDE: i64 = 1000;

/// Partitions are made a day ahead, or as far as one is long where they are shorter.
const AHEAD: TimeDelta = TimeDelta::minutes(1);

/// Looks at the server and at the schema.
pub(super) async fn check(reached: &mut Reached) {
    let Reached { asked, server, .. } = reached;
    let Some(server) = server else {
        for name in [DURABILITY, LOGINS, PRIMARY, CONNECTIONS, OLD, SCHEMA, PERIODS] {
            asked.checks.push(GROUP.skipped(name, "Postgres was not asked"));
        }
        return;
    };
    asked.checks.push(durability(server));
    let database = asked.database.clone();
    let logins = async {
        sqlx::query_file_scalar!("src/sql/doctor_unsafe_logins.sql").fetch_all(&database).await
    };
    asked.ask(GROUP, LOGINS, logins, |logins: Vec<_>| unsafe_logins(&logins)).await;
    asked.checks.extend([primary(server), room(server)]);
    if server.sees_all {
        let old = async {
            sqlx::query_file!("src/sql/doctor_old_transactions.sql").fetch_optional(&database).await
        };
        asked
            .ask(GROUP, OLD, old, |old| old_transactions(old.map(|row| (row.who, row.seconds))))
            .await;
    } else {
        let why = format!(
            "the login `{0}` sees its own only: `grant pg_read_all_stats to {0}` shows it others'",
            asked.login
        );
        asked.checks.push(GROUP.skipped(OLD, why));
    }
    let applied = applied(&database, &ORCHESTRATOR);
    asked.ask(GROUP, SCHEMA, applied, schema).await;
    let periods =
        async { sqlx::query_file!("src/sql/doctor_periods.sql").fetch_one(&database).await };
    asked
        .ask(GROUP, PERIODS, periods, |row| {
            partitions(row.covered, row.until.map(|until| until - Utc::now()), row.outside)
        })
        .await;
}

/// How much of a schema is there.
pub(super) async fn applied(database: &Database, schema: &Schema) -> Result<Applied, sqlx::Error> {
    let mut session = database.session().await?;
    let watch = session.watch();
    let applied = watch.within(schema.applied(&mut session)).await;
    let applied = applied.map_err(|error| match error {
        amends_postgres::MigrationError::Failed(sqlx::migrate::MigrateError::Execute(error)) => {
            error
        }
        error => sqlx::Error::AnyDriverError(error.into()),
    })?;
    session.give_back();
    Ok(applied)
}

fn durability(server: &Server) -> Check {
    let off = [
        ("fsync", server.fsync),
        ("full_page_writes", server.full_page_writes),
        ("synchronous_commit", server.synchronous_commit != "off"),
    ];
    let off: Vec<_> = off.into_iter().filter(|(_, on)| !on).map(|(name, _)| name).collect();
    if off.is_empty() {
        let commit = &server.synchronous_commit;
        return GROUP.ok(
            DURABILITY,
            format!("fsync and full_page_writes are on, synchronous_commit is {commit}"),
        );
    }
    let set: Vec<_> = off.iter().map(|name| format!("alter system set {name} = on")).collect();
    GROUP.failed(
        DURABILITY,
        format!("{} is off: a crash of the host loses sagas, or the database", off.join(", ")),
        format!("`{}`, then `select pg_reload_conf()`", set.join("; ")),
    )
}

/// A login for which commits are not waited for forgets what its services have done.
fn unsafe_logins(logins: &[String]) -> Check {
    if logins.is_empty() {
        return GROUP.ok(LOGINS, "no login has synchronous_commit off");
    }
    GROUP.failed(
        LOGINS,
        format!("synchronous_commit is off for {}", logins.join(", ")),
        "`alter role … reset synchronous_commit`, also `in database …`",
    )
}

fn primary(server: &Server) -> Check {
    if server.standby {
        let advice =
            "name the primary in DATABASE_URL, or all hosts and target_session_attrs=read-write";
        return GROUP.failed(PRIMARY, "this server is a standby, and takes no writes", advice);
    }
    GROUP.ok(PRIMARY, "this server takes writes")
}

fn room(server: &Server) -> Check {
    let Server { places, taken, .. } = *server;
    let (left, found) = ((places - taken).max(0), format!("{taken} of {places} are taken"));
    let needed = connections(Config::default().lanes).map_or(0, i64::from);
    let advice = format!(
        "raise max_connections, or end what is not needed: an orchestrator of two lanes takes {needed}"
    );
    match left {
        0 => GROUP.failed(CONNECTIONS, found, advice),
        left if left < needed => GROUP.warning(CONNECTIONS, found, advice),
        _ => GROUP.ok(CONNECTIONS, found),
    }
}

fn old_transactions(oldest: Option<(String, f64)>) -> Check {
    let oldest = oldest.filter(|(_, seconds)| *seconds > OLD_AFTER.as_secs_f64());
    let Some((who, seconds)) = oldest else {
        return GROUP.ok(OLD, format!("none is older than {} min", OLD_AFTER.as_secs() / 60));
    };
    GROUP.warning(
        OLD,
        format!("{who} has had one open for {}", age(span(seconds))),
        "end it (`select pg_terminate_backend(…)`, `rollback prepared …`): until then dead rows stay, and turns get slower",
    )
}

fn schema(applied: Applied) -> Check {
    let needed = ORCHESTRATOR.version();
    let migrate = format!("`{} migrate` as the schema's owner", program_name());
    match applied {
        Applied::All => GROUP.ok(SCHEMA, format!("version {needed}, that of this program")),
        Applied::Newer(found) => GROUP.warning(
            SCHEMA,
            format!("version {found}, and this program knows {needed}"),
            "bring this program up to date: what is newer it cannot check",
        ),
        Applied::Nothing => GROUP.failed(SCHEMA, "the schema `amends` is not there", migrate),
        Applied::Old(found) => GROUP.failed(
            SCHEMA,
            format!("version {found}, and this program needs {needed}"),
            migrate,
        ),
        Applied::Other => GROUP.failed(
            SCHEMA,
            "other migrations than this program's made the schema `amends`",
            "take another database, or the program that made it",
        ),
    }
}

fn partitions(covered: bool, ahead: Option<TimeDelta>, outside: i64) -> Check {
    let advice = "an orchestrator makes them: look whether one runs, and whether a long query keeps it from that";
    if !covered {
        let found = "none is there for the sagas that begin now: they go to the default one";
        return GROUP.warning(PERIODS, found, advice);
    }
    let ahead = ahead.unwrap_or_default();
    if ahead < AHEAD {
        return GROUP.warning(PERIODS, format!("the last one ends in {}", age(ahead)), advice);
    }
    if outside > OUTSIDE {
        return GROUP.warning(
            PERIODS,
            format!("{outside} sagas are in the default one"),
            "look for a clock that is wrong, or for old messages that came again",
        );
    }
    GROUP.ok(PERIODS, format!("made for {} ahead; {outside} sagas in the default one", age(ahead)))
}

/// Seconds that Postgres counted.
pub(super) fn span(seconds: f64) -> TimeDelta {
    let whole = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
    TimeDelta::from_std(whole).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::{super::check::Verdict, *};

    fn server(taken: i64) -> Server {
        Server {
            standby: false,
            fsync: true,
            full_page_writes: true,
            synchronous_commit: "on".into(),
            places: 97,
            taken,
            sees_all: true,
        }
    }

    #[test]
    fn an_orchestrator_has_to_find_room() {
        for (taken, verdict) in [
            (84, Verdict::Ok),
            (85, Verdict::Warning),
            (96, Verdict::Warning),
            (97, Verdict::Failed),
            (99, Verdict::Failed),
        ] {
            assert_eq!(room(&server(taken)).verdict, verdict, "{taken}");
        }
    }

    #[test]
    fn each_setting_that_is_off_is_named() {
        assert_eq!(durability(&server(1)).verdict, Verdict::Ok);
        let off = Server { fsync: false, synchronous_commit: "off".into(), ..server(1) };
        let check = durability(&off);
        assert_eq!(check.verdict, Verdict::Failed);
        assert!(check.found.starts_with("fsync, synchronous_commit is off"), "{}", check.found);
        assert_eq!(primary(&Server { standby: true, ..server(1) }).verdict, Verdict::Failed);
    }

    #[test]
    fn schemas_and_periods_are_judged() {
        for (applied, verdict) in [
            (Applied::All, Verdict::Ok),
            (Applied::Newer(99), Verdict::Warning),
            (Applied::Old(1), Verdict::Failed),
            (Applied::Nothing, Verdict::Failed),
            (Applied::Other, Verdict::Failed),
        ] {
            assert_eq!(schema(applied).verdict, verdict, "{applied:?}");
        }
        let day = Some(TimeDelta::days(1));
        assert_eq!(partitions(true, day, 3).verdict, Verdict::Ok);
        assert_eq!(partitions(false, day, 0).verdict, Verdict::Warning);
        assert_eq!(partitions(true, Some(TimeDelta::seconds(5)), 0).verdict, Verdict::Warning);
        assert_eq!(partitions(true, day, 1001).verdict, Verdict::Warning);
        assert_eq!(old_transactions(Some(("p".into(), 299.0))).verdict, Verdict::Ok);
        assert_eq!(old_transactions(Some(("p".into(), 301.0))).verdict, Verdict::Warning);
    }
}
