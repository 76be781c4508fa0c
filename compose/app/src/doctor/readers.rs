//! Consumers: whether they are there with the settings that are needed, somebody reads them, and how much waits.

use std::time::Duration;

use amends::wire;
use amends_orchestrator::survey::{Part, PartKind};
use async_nats::{Client, jetstream};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    check::{Check, Group},
    streams::unusable,
};
use crate::{age::age, program_name::program_name};

/// A pull that ends is followed by the next within so long, also of a worker whose slots are all taken for a moment.
const PATIENCE: Duration = Duration::from_secs(3);

/// Between two looks.
const BEAT: Duration = Duration::from_millis(200);

/// Standbys help from here on.
const LAG: u64 = 20_000;

/// Messages that were delivered again and are still not acknowledged: more than one reader leaves that is restarted.
const REDELIVERED: u64 = 100;

/// A command in the hands of a worker that lives is due again after this, twice.
const IN_HAND: TimeDelta = TimeDelta::seconds(2 * wire::ACK_WAIT.as_secs().cast_signed());

/// What the server says of a consumer.
#[derive(Debug, Clone, Deserialize)]
struct State {
    delivered: Delivered,
    #[serde(default)]
    num_ack_pending: u64,
    #[serde(default)]
    num_redelivered: u64,
    /// Pulls that wait.
    #[serde(default)]
    num_waiting: u64,
    #[serde(default)]
    num_pending: u64,
}

#[derive(Debug, Clone, Deserialize)]
struct Delivered {
    consumer_seq: u64,
    last_active: Option<DateTime<Utc>>,
}

/// A consumer that is looked at, and what was seen of it.
struct Reader<'a> {
    part: &'a Part,
    stream: &'a str,
    first: Option<State>,
    last: Option<State>,
}

impl Reader<'_> {
    /// Whether somebody asked for messages, or was given some.
    fn reads(&self) -> bool {
        let (Some(first), Some(last)) = (&self.first, &self.last) else { return false };
        last.num_waiting > 0 || last.delivered.consumer_seq > first.delivered.consumer_seq
    }
}

/// A check for each consumer.
pub(super) async fn check(client: &Client, parts: &[Part]) -> Vec<Check> {
    let context = jetstream::new(client.clone());
    let (mut checks, mut readers) = (Vec::new(), Vec::new());
    for part in parts.iter().filter(|part| part.kind != PartKind::Stream) {
        let (group, name) = called(part);
        match (unusable(group, &name, part), part.stream.as_deref()) {
            (None, Some(stream)) => readers.push(Reader { part, stream, first: None, last: None }),
            (unusable, _) => checks.extend(unusable),
        }
    }
    let until = Instant::now() + PATIENCE;
    let mut beat = tokio::time::interval(BEAT);
    while readers.iter().any(|reader| !reader.reads()) && Instant::now() < until {
        beat.tick().await;
        for reader in readers.iter_mut().filter(|reader| !reader.reads()) {
            let seen = look(&context, reader.stream, &reader.part.name, until).await;
            if reader.first.is_none() {
                reader.first.clone_from(&seen);
            }
            reader.last = seen;
        }
    }
    checks.extend(readers.iter().map(judge));
    checks
}

/// Of a service by its name.
fn called(part: &Part) -> (Group, String) {
    match part.kind {
        PartKind::Service => (Group::Workers, part.name.clone()),
        _ => (Group::Orchestrator, format!("consumer {}", part.name)),
    }
}

async fn look(
    context: &jetstream::Context,
    stream: &str,
    name: &str,
    until: Instant,
) -> Option<State> {
    let subject = format!("CONSUMER.INFO.{stream}.{name}");
    let body = serde_json::json!({});
    let asked = context.request::<_, _, State>(subject, &body);
    // One that begins late is given some time, too.
    tokio::time::timeout_at(until.max(Instant::now() + BEAT), asked).await.ok()?.ok()
}

fn judge(reader: &Reader<'_>) -> Check {
    let (group, name) = called(reader.part);
    match &reader.last {
        Some(info) => judged(group, &name, reader.reads(), info),
        None => group.failed(&name, "NATS does not say how it stands", "look at the server's log"),
    }
}

fn judged(group: Group, name: &str, reads: bool, info: &State) -> Check {
    let (unread, in_hand) = (info.num_pending, info.num_ack_pending);
    let found =
        format!("{unread} unread, {in_hand} in hand, {} delivered again", info.num_redelivered);
    let (who, start) = match group {
        Group::Workers => (
            "no worker",
            format!("`{} worker {name}`, or look at its log and its /readyz", program_name()),
        ),
        _ => ("no orchestrator", "start one, or look at its log and its /readyz".to_owned()),
    };
    if !reads {
        let since = info.delivered.last_active.map(|at| Utc::now() - at);
        return match since {
            _ if unread == 0 && in_hand == 0 => {
                group.warning(name, format!("{who} reads; nothing waits"), start)
            }
            Some(since) if in_hand > 0 && since < IN_HAND => group.warning(
                name,
                format!("{found}: nobody asks for more, the last was delivered {} ago", age(since)),
                start,
            ),
            _ => group.failed(name, format!("{who} reads: {found}"), start),
        };
    }
    if unread > LAG {
        return group.warning(
            name,
            format!("{found}: it lags"),
            "run more of them, or look what slows them down",
        );
    }
    if info.num_redelivered >= REDELIVERED {
        let advice =
            "look at the reader's log: it breaks off, or takes too long without a sign of life";
        return group.warning(name, found, advice);
    }
    let waits = unread > 0 || in_hand > 0;
    group.ok(name, if waits { found } else { "it is read; nothing waits".to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::check::Verdict, *};

    #[test]
    fn who_does_not_read_is_judged_by_what_waits() {
        let state = |unread: u64, in_hand: u64, ago: i64, again: u64| -> State {
            let at = Utc::now() - TimeDelta::seconds(ago);
            let told = json!({
                "delivered": {"consumer_seq": 7, "last_active": at},
                "num_pending": unread, "num_ack_pending": in_hand, "num_redelivered": again,
            });
            serde_json::from_value(told).unwrap()
        };
        for (reads, info, verdict) in [
            (true, state(3, 2, 0, 0), Verdict::Ok),
            (true, state(20_001, 2, 0, 0), Verdict::Warning),
            (true, state(3, 100, 0, 100), Verdict::Warning),
            (false, state(0, 0, 500, 0), Verdict::Warning),
            (false, state(1, 0, 5, 0), Verdict::Failed),
            // A long handler that takes all slots, and one that is gone.
            (false, state(1, 64, 20, 0), Verdict::Warning),
            (false, state(1, 64, 61, 0), Verdict::Failed),
        ] {
            let check = judged(Group::Workers, "payment", reads, &info);
            assert_eq!(check.verdict, verdict, "{info:?}: {}", check.found);
        }
    }
}
