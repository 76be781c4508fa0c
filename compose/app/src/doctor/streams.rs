//! Whether JetStream stores what it is given, as an installation needs it.

use amends::wire;
use amends_orchestrator::survey::{Difference, Part, PartKind};
use async_nats::{Client, jetstream};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    ask::LIMIT,
    check::{Check, Group},
    servers::Clock,
};

const GROUP: Group = Group::Nats;

/// The names of the checks.
const ACCOUNT: &str = "jetstream";
pub(super) const STORE: &str = "store";
pub(super) const TOPOLOGY: &str = "streams";

/// From here on a stream, or an account, is said to fill.
const FULL_PERCENT: u64 = 80;

/// Whether JetStream may be used by this login.
pub(super) async fn account(client: &Client) -> Check {
    let context = jetstream::new(client.clone());
    let account = match tokio::time::timeout(LIMIT, context.query_account()).await {
        Ok(Ok(account)) => account,
        Ok(Err(error)) => {
            let advice = "switch JetStream on in the server and for this account, and let the login call $JS.API.INFO";
            return GROUP.failed(ACCOUNT, format!("it cannot be used: {error}"), advice);
        }
        Err(_) => return GROUP.failed(ACCOUNT, "it does not answer", "look at the server's log"),
    };
    let (stored, max) = (account.storage, account.limits.max_storage.unwrap_or(-1));
    let found = format!("{} stored in {} streams", bytes(stored), account.streams);
    match u64::try_from(max) {
        Ok(max) if max > 0 && stored.saturating_mul(100) >= max.saturating_mul(FULL_PERCENT) => {
            GROUP.warning(
                ACCOUNT,
                format!("{found}, of {}", bytes(max)),
                "raise the account's limit, or look which stream is not read",
            )
        }
        Ok(max) if max > 0 => GROUP.ok(ACCOUNT, format!("{found}, of {}", bytes(max))),
        _ => GROUP.ok(ACCOUNT, found),
    }
}

/// Whether it stores a message now.
pub(super) async fn store(client: &Client) -> Check {
    match amends_orchestrator::survey::store(client.clone()).await {
        Ok(took) => GROUP.ok(STORE, format!("a probe was stored within {took:.1?}")),
        Err(error) => GROUP.failed(
            STORE,
            error.to_string(),
            "look for a full disk, a lost quorum, a stream that is not there, or a login that may not publish `amends.probe`",
        ),
    }
}

/// The server's clock: it stands in what it says of a stream.
pub(super) async fn clock(client: &Client) -> Option<Clock> {
    let context = jetstream::new(client.clone());
    let subject = format!("STREAM.INFO.{}", wire::PROBE_STREAM);
    let before = Utc::now();
    let body = serde_json::json!({});
    let asked = context.request::<_, _, Value>(subject, &body);
    let info = tokio::time::timeout(LIMIT, asked).await.ok()?.ok()?;
    let told: DateTime<Utc> = info.get("ts")?.as_str()?.parse().ok()?;
    Some(Clock::read(before, told, Utc::now()))
}

/// A check for each stream.
pub(super) fn check(parts: &[Part], clustered: bool) -> Vec<Check> {
    let streams = parts.iter().filter(|part| part.kind == PartKind::Stream);
    streams.map(|part| judge(part, clustered)).collect()
}

fn judge(part: &Part, clustered: bool) -> Check {
    let name = format!("stream {}", part.name);
    match (unusable(GROUP, &name, part), &part.info) {
        (None, Some(info)) => stream(&name, &part.choices, info, clustered),
        (Some(check), _) => check,
        (None, None) => GROUP.failed(&name, ABSENT, MADE),
    }
}

const ABSENT: &str = "it is not there";
const MADE: &str = "start an orchestrator, which makes it";

/// A stream or consumer that is not there, or whose settings lose messages or hold them back.
pub(super) fn unusable(group: Group, name: &str, part: &Part) -> Option<Check> {
    if part.info.is_none() {
        let found = if part.stream.is_some() { ABSENT } else { "no stream captures its subject" };
        return Some(group.failed(name, found, MADE));
    }
    if part.differences.is_empty() {
        return None;
    }
    let told = |d: &Difference| format!("{} is {}, and must be {}", d.setting, d.found, d.needed);
    let found = part.differences.iter().map(told).collect::<Vec<_>>().join("; ");
    let advice = if part.differences.iter().all(|difference| difference.mends) {
        "an orchestrator puts it right within seconds: look whether one runs, and whether its login may"
    } else {
        "change it by `nats stream edit` or `nats consumer edit`, or remove it and let an orchestrator make it anew"
    };
    Some(group.failed(name, found, advice))
}

fn stream(name: &str, choices: &[Difference], info: &Value, clustered: bool) -> Check {
    let (messages, stored) = (number(info, "/state/messages"), number(info, "/state/bytes"));
    let plural = if messages == 1 { "" } else { "s" };
    let mut found = format!("{messages} message{plural}, {}", bytes(stored));
    match number(info, MAX_BYTES) {
        0 => {}
        max => found += &format!(" of {}", bytes(max)),
    }
    let (concerns, advice): (Vec<_>, Vec<_>) =
        concerns(choices, info, clustered).into_iter().unzip();
    if concerns.is_empty() {
        return GROUP.ok(name, found);
    }
    GROUP.warning(name, format!("{found}; {}", concerns.join("; ")), advice.join("; "))
}

const MAX_BYTES: &str = "/config/max_bytes";

fn number(info: &Value, pointer: &str) -> u64 {
    info.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// What to look at, and what to do.
fn concerns(choices: &[Difference], info: &Value, clustered: bool) -> Vec<(String, &'static str)> {
    let mut all = Vec::new();
    let (max, stored) = (number(info, MAX_BYTES), number(info, "/state/bytes"));
    // One that drops the oldest is full for good, and that of the probes has one message.
    if info.pointer("/config/discard").and_then(Value::as_str) == Some("new") {
        if max == 0 {
            let advice =
                "give it one (`nats stream edit --max-bytes`): a full disk stops all streams";
            all.push(("it has no limit".to_owned(), advice));
        } else if stored.saturating_mul(100) >= max.saturating_mul(FULL_PERCENT) {
            let advice = "look who does not read it, or make it larger: full it refuses messages";
            all.push(("it fills".to_owned(), advice));
        }
    }
    let alone = clustered && number(info, "/config/num_replicas") <= 1;
    if alone {
        let advice = "`nats stream edit --replicas 3`, and AMENDS_STREAM_REPLICAS=3: without its server the stream is away";
        all.push(("1 replica in a cluster".to_owned(), advice));
    }
    if let Some(lagging) = lagging(info) {
        all.push((lagging, "look at the servers of the cluster"));
    }
    for choice in choices {
        let advice = match choice.setting {
            "storage" => "move it to files: memory is empty after a restart",
            "duplicate window" => "`nats stream edit --dupe-window 2m`",
            "replicas" if !alone => {
                "say AMENDS_STREAM_REPLICAS as the orchestrators have it, or edit the stream"
            }
            _ => continue,
        };
        all.push((
            format!("{} is {}, not {}", choice.setting, choice.found, choice.needed),
            advice,
        ));
    }
    all
}

/// Replicas that are behind, or a group without a leader.
fn lagging(info: &Value) -> Option<String> {
    let cluster = info.get("cluster")?;
    if cluster.get("name").is_some() && cluster.get("leader").is_none() {
        return Some("it has no leader".to_owned());
    }
    let behind = |replica: &&Value| {
        let is = |field: &str| replica.get(field).and_then(Value::as_bool);
        is("current") == Some(false) || is("offline") == Some(true)
    };
    let replicas = cluster.get("replicas").and_then(Value::as_array).into_iter().flatten();
    match replicas.filter(behind).count() {
        0 => None,
        n => Some(format!("{n} of its replicas are behind or away")),
    }
}

/// `1.5 MiB`.
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "a digit behind the point is shown")]
    let mut scaled = number as f64 / 1024.0;
    if scaled < 1.0 {
        return format!("{number} B");
    }
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if scaled < 1024.0 {
            break;
        }
        (scaled, unit) = (scaled / 1024.0, larger);
    }
    format!("{scaled:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_their_unit() {
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (16 * 1024, "16.0 KiB"),
            (2 << 30, "2.0 GiB"),
            (3 << 50, "3072.0 TiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn replicas_that_are_behind_are_counted() {
        let info = |cluster: Value| serde_json::json!({ "cluster": cluster });
        assert_eq!(lagging(&serde_json::json!({})), None);
        assert_eq!(lagging(&info(serde_json::json!({"leader": "n1"}))), None);
        let away = serde_json::json!({"name": "c", "leader": "n1", "replicas": [
            {"name": "n2", "current": true}, {"name": "n3", "current": true, "offline": true},
        ]});
        assert_eq!(lagging(&info(away)).as_deref(), Some("1 of its replicas are behind or away"));
        let orphan = serde_json::json!({"name": "c", "replicas": []});
        assert_eq!(lagging(&info(orphan)).as_deref(), Some("it has no leader"));
    }

    #[test]
    fn streams_are_judged_by_what_they_may_lose() {
        let info = |discard: &str, stored: u64, max: i64, replicas: u64| {
            serde_json::json!({
                "config": {"discard": discard, "max_bytes": max, "num_replicas": replicas},
                "state": {"messages": 1, "bytes": stored},
            })
        };
        let in_memory = Difference {
            setting: "storage",
            found: "memory".into(),
            needed: "file".into(),
            mends: false,
        };
        for (info, choices, clustered, found) in [
            (info("new", 79, 100, 1), &[][..], false, "1 message, 79 B of 100 B"),
            (info("new", 80, 100, 1), &[], false, "1 message, 80 B of 100 B; it fills"),
            (info("old", 100, 100, 1), &[], false, "1 message, 100 B of 100 B"),
            (info("new", 9, -1, 3), &[], true, "1 message, 9 B; it has no limit"),
            (info("new", 9, 99, 1), &[], true, "1 message, 9 B of 99 B; 1 replica in a cluster"),
            (
                info("old", 9, 99, 1),
                &[in_memory][..],
                false,
                "1 message, 9 B of 99 B; storage is memory, not file",
            ),
        ] {
            let check = stream("stream S", choices, &info, clustered);
            assert_eq!(check.found, found);
            assert_eq!(check.advice.is_empty(), !found.contains(';'), "{found}");
        }
    }
}
