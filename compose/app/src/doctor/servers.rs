//! Whether the servers answer, by which way, and whether their clocks agree.

use amends_postgres::Database;
use async_nats::Client;
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    ask::{Asked, LIMIT},
    check::{Check, Group},
};
use crate::{
    failed::Failed,
    plain_text,
    run::{connect, nats::Access},
    settings::Settings,
};

const GROUP: Group = Group::Servers;

/// The names of the checks.
const POSTGRES: &str = "postgres";
const NATS: &str = "nats";
const PRIVACY: &str = "encryption";
const CLOCKS: &str = "clocks";

/// A clock that is off by more is worth a look; one by less is what NTP and a slow answer leave.
const OFF: TimeDelta = TimeDelta::seconds(1);

/// Messages are stamped by NATS and sagas timed by Postgres: where the two differ by as much as an attempt may take
/// by default, answers in time count as late, or late ones as in time.
const WRONG: TimeDelta = TimeDelta::seconds(15);

/// What Postgres says of itself.
pub(super) struct Server {
    pub(super) standby: bool,
    pub(super) fsync: bool,
    pub(super) full_page_writes: bool,
    pub(super) synchronous_commit: String,
    pub(super) places: i64,
    pub(super) taken: i64,
    pub(super) sees_all: bool,
}

/// A clock beside this machine's, and by how much that may be wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    ahead: TimeDelta,
    within: TimeDelta,
}

impl Clock {
    /// One that told this time between these two of this machine.
    pub(super) fn read(before: DateTime<Utc>, told: DateTime<Utc>, after: DateTime<Utc>) -> Self {
        let within = (after - before) / 2;
        Self { ahead: told - (before + within), within }
    }
}

/// Postgres, as far as it can be asked.
pub(super) struct Reached {
    pub(super) asked: Asked,
    pub(super) server: Option<Server>,
    pub(super) clock: Option<Clock>,
}

/// Connects to Postgres, and asks what it is.
pub(super) async fn postgres(database: Database, url: &str) -> Reached {
    let mut asked = Asked::new(&database);
    match connect::answers(url).await {
        Ok(database) => asked = Asked::new(&database),
        Err(failed) => {
            asked.checks.push(GROUP.failed(
                POSTGRES,
                failed.sentence(),
                "start it, or mend the address",
            ));
            asked.lose("Postgres does not answer");
        }
    }
    let (mut server, mut clock) = (None, None);
    if asked.is_lost() {
        return Reached { asked, server, clock };
    }
    let (database, address) = (asked.database.clone(), asked.database.address().to_string());
    let look = async {
        let before = Utc::now();
        let row = sqlx::query_file!("src/sql/doctor_server.sql").fetch_one(&database).await?;
        Ok((before, row, Utc::now()))
    };
    asked
        .ask(GROUP, POSTGRES, look, |(before, row, after)| {
            clock = Some(Clock::read(before, row.now, after));
            server = Some(Server {
                standby: row.standby,
                fsync: row.fsync,
                full_page_writes: row.full_page_writes,
                synchronous_commit: row.synchronous_commit,
                places: row.places,
                taken: row.taken,
                sees_all: row.sees_all,
            });
            GROUP.ok(POSTGRES, format!("{} at {address}, as `{}`", row.version, row.login))
        })
        .await;
    Reached { asked, server, clock }
}

/// Connects to NATS.
pub(super) async fn nats(access: &Access) -> (Option<Client>, Check) {
    match tokio::time::timeout(LIMIT, access.once()).await {
        Ok(Ok(client)) => {
            let server = client.server_info();
            let (version, name) = (server.version, server.server_name);
            let cluster = server.cluster.map(|cluster| format!(", of the cluster {cluster}"));
            let found = format!(
                "{version} at {}, server {name}{}",
                access.hosts(),
                cluster.unwrap_or_default()
            );
            (Some(client), GROUP.ok(NATS, found))
        }
        Ok(Err(failed)) => (None, unreachable(failed.sentence())),
        Err(_) => (None, unreachable(format!("NATS at {} does not answer", access.hosts()))),
    }
}

fn unreachable(why: String) -> Check {
    GROUP.failed(NATS, why, "start it, or mend address and login")
}

/// Whether what is said to other hosts may be read on the way.
pub(super) fn privacy(settings: &Settings, access: &Access) -> Check {
    let postgres = settings.database_url.as_deref().and_then(plain_text::of_database);
    let found: Vec<_> = postgres.into_iter().chain(access.plain_text()).collect();
    if found.is_empty() {
        return GROUP.ok(PRIVACY, "every connection to another host asks for TLS");
    }
    let found = found.join("; ");
    let advice = "see docs/security.md; --require-tls refuses such addresses";
    if settings.require_tls {
        GROUP.failed(PRIVACY, found, advice)
    } else {
        GROUP.warning(PRIVACY, found, advice)
    }
}

/// Whether the clocks agree.
pub(super) fn clocks(postgres: Option<Clock>, nats: Option<Clock>) -> Check {
    let Some(postgres) = postgres else { return GROUP.skipped(CLOCKS, "Postgres was not asked") };
    let mut parts = vec![format!("Postgres {} this machine", distance(postgres.ahead))];
    let (mut between, mut unsure) = (TimeDelta::zero(), TimeDelta::zero());
    match nats {
        Some(nats) => {
            (between, unsure) = (nats.ahead - postgres.ahead, nats.within + postgres.within);
            parts.push(format!("NATS {} Postgres", distance(between)));
        }
        None => parts.push("that of NATS cannot be seen".to_owned()),
    }
    let found = parts.join("; ");
    // What the way to and fro may hide is nobody's fault.
    let exceeds = |off: TimeDelta, unsure: TimeDelta, bound| off.abs() - unsure > bound;
    if exceeds(between, unsure, WRONG) {
        let advice = "let NTP set the clocks of both hosts: by this much, answers in time count as late, or late ones as in time";
        return GROUP.failed(CLOCKS, found, advice);
    }
    if exceeds(between, unsure, OFF) || exceeds(postgres.ahead, postgres.within, OFF) {
        return GROUP.warning(CLOCKS, found, "let NTP set the clocks of all hosts");
    }
    GROUP.ok(CLOCKS, found)
}

fn distance(ahead: TimeDelta) -> String {
    let seconds = ahead.as_seconds_f64();
    let side = if seconds < 0.0 { "behind" } else { "ahead of" };
    format!("{:.3} s {side}", seconds.abs())
}

/// Where the database is, before it is connected to.
pub(super) fn database(settings: &Settings) -> Result<(Database, String), Failed> {
    let url = match &settings.database_url {
        Some(url) => url.clone(),
        // It says what is missing.
        None => settings.database()?.to_owned(),
    };
    Ok((connect::database(&url, 1, &[])?, url))
}

#[cfg(test)]
mod tests {
    use super::{super::check::Verdict, *};

    fn clock(milliseconds: i64) -> Clock {
        Clock { ahead: TimeDelta::milliseconds(milliseconds), within: TimeDelta::milliseconds(100) }
    }

    #[test]
    fn clocks_are_judged_by_what_they_decide() {
        for (postgres, nats, verdict) in [
            (0, Some(0), Verdict::Ok),
            // Within what the answers took.
            (1_050, Some(0), Verdict::Ok),
            (1_200, Some(1_200), Verdict::Warning),
            // Both are right by each other.
            (3_600_000, Some(3_600_000), Verdict::Warning),
            (0, Some(-15_300), Verdict::Failed),
            (0, Some(15_300), Verdict::Failed),
            (0, None, Verdict::Ok),
        ] {
            let check = clocks(Some(clock(postgres)), nats.map(clock));
            assert_eq!(check.verdict, verdict, "{postgres} {nats:?}: {}", check.found);
        }
    }
}
