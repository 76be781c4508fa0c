//! A saga from its message to its end, and how long each part of the way takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use amends::{Saga as _, SagaId, wire};
use amends_postgres::Database;
use async_nats::{
    Client,
    jetstream::{self, publish::PublishAck},
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{
    check::{Check, Group},
    orchestrator::Leader,
};
use crate::{
    failed::{During as _, Failed},
    round_trip::RoundTrip,
};

const GROUP: Group = Group::Saga;
const NAME: &str = "round trip";

/// How long the whole way may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longer than it takes where nothing else is to be done, by far.
const SLOW: Duration = Duration::from_secs(2);

/// Between two looks.
const BEAT: Duration = Duration::from_millis(10);

/// A stored message, as far as it names a saga.
#[derive(Deserialize)]
struct Stored {
    message: StoredMessage,
}

#[derive(Deserialize)]
struct StoredMessage {
    time: DateTime<Utc>,
}

/// What is said of a stream whose messages on one subject are counted.
#[derive(Deserialize)]
struct Counted {
    state: CountedState,
}

#[derive(Deserialize)]
struct CountedState {
    #[serde(default)]
    subjects: Option<BTreeMap<String, u64>>,
}

/// Whether a saga may be started: not without a definition that is made for it, and somebody who runs it.
pub(super) fn obstacle(
    ours: &BTreeSet<String>,
    running: Option<&[Leader]>,
    read_only: bool,
) -> Option<Check> {
    let title = format!("{}@{}", RoundTrip::NAME, RoundTrip::VERSION);
    let known = ours.contains(&title);
    let runs = running.map(|all| all.iter().any(|leader| leader.versions.contains(&title)));
    let why = match (known, runs) {
        _ if read_only => "none is started with --read-only",
        (false, _) => "this program has no saga for it: it may register `amends_app::RoundTrip`",
        (true, None) => "it is not known whether an orchestrator runs it",
        (true, Some(false)) => "no orchestrator that runs knows `amends-doctor@1`",
        (true, Some(true)) => return None,
    };
    Some(GROUP.skipped(NAME, why))
}

/// As where a server is away.
pub(super) fn unreachable() -> Check {
    GROUP.skipped(NAME, "a server was not asked")
}

/// Starts one, and waits for its end.
pub(super) async fn check(client: &Client, database: &Database) -> Check {
    let mut way = Way { began: Instant::now(), told: Vec::new() };
    let gone = tokio::time::timeout(PATIENCE, way.go(client, database)).await;
    let (so_far, took) = (way.told.join(", "), way.began.elapsed());
    let advice = "look at the log of the leading orchestrator, and whether the version is retired (`definitions`)";
    match gone {
        Ok(Ok(())) if took > SLOW => {
            GROUP.warning(NAME, so_far, "look what keeps the orchestrator busy")
        }
        Ok(Ok(())) => GROUP.ok(NAME, so_far),
        Ok(Err(failed)) => GROUP.failed(NAME, failed.sentence(), advice),
        Err(_) => {
            let after =
                if so_far.is_empty() { "its message was not stored".to_owned() } else { so_far };
            GROUP.failed(NAME, format!("{after}, and nothing more within {PATIENCE:?}"), advice)
        }
    }
}

/// The parts of the way that were gone.
struct Way {
    began: Instant,
    told: Vec<String>,
}

impl Way {
    fn note(&mut self, what: &str) {
        let took = self.began.elapsed().as_secs_f64() * 1000.0;
        self.told.push(format!("{what} after {took:.1} ms"));
    }

    async fn go(&mut self, client: &Client, database: &Database) -> Result<(), Failed> {
        let context = jetstream::new(client.clone());
        let ends = ends(&context).await?;
        self.began = Instant::now();
        let stored = context.publish(RoundTrip::SUBJECT, "{}".into()).await;
        let stored = stored.during("its message")?.await.during("its message")?;
        self.note("stored");
        let id = saga_of(&context, &stored).await?;
        let mut beat = tokio::time::interval(BEAT);
        let mut begun = false;
        loop {
            let look = sqlx::query_file_scalar!("src/sql/doctor_saga.sql", id.0);
            let status = look.fetch_optional(database).await.during("its saga")?;
            if status.is_some() && !begun {
                begun = true;
                self.note("begun");
            }
            match status.as_deref() {
                Some("completed") => break,
                Some("running") | None => {}
                Some(other) => return Err(Failed::new(format!("the saga {id} is {other}"))),
            }
            beat.tick().await;
        }
        self.note("ended");
        while self::ends(&context).await? <= ends {
            beat.tick().await;
        }
        self.note("told");
        Ok(())
    }
}

/// How many ends of such sagas are told in the stream of changes.
async fn ends(context: &jetstream::Context) -> Result<u64, Failed> {
    let subject = format!("amends.saga.{}.completed", RoundTrip::NAME);
    let (of, body) =
        (format!("STREAM.INFO.{}", wire::SAGAS_STREAM), json!({ "subjects_filter": subject }));
    let counted: Counted = context.request(of, &body).await.during(wire::SAGAS_STREAM)?;
    Ok(counted.state.subjects.and_then(|counts| counts.get(&subject).copied()).unwrap_or(0))
}

/// The saga that a stored message starts.
async fn saga_of(context: &jetstream::Context, stored: &PublishAck) -> Result<SagaId, Failed> {
    let (of, body) =
        (format!("STREAM.MSG.GET.{}", stored.stream), json!({ "seq": stored.sequence }));
    let message: Stored = context.request(of, &body).await.during("its stored message")?;
    let (stream, time) = (&stored.stream, message.message.time);
    Ok(SagaId::from_message(RoundTrip::NAME, stream, stored.sequence, time))
}
