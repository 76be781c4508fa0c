//! Settings of streams and consumers that decide whether messages are lost, held back or unreadable:
//! each as Amends needs it. The rest is its owner's to choose, and stays as it is, known here or not.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// What a setting must be.
pub(super) enum Needed {
    /// This; where the server does not say, it is `null`.
    Exactly(Value),
    /// At least this.
    AtLeast(i64),
    /// No limit: none is said, or none above zero.
    Unlimited,
    /// Not set.
    Unset,
}

/// A setting, by the name that it has in the server's JSON.
pub(super) struct Setting {
    pub(super) field: &'static str,
    /// The same for people.
    pub(super) name: &'static str,
    pub(super) needed: Needed,
    /// Whether the server changes it on what is there.
    mends: bool,
}

/// A setting that is not as needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub setting: &'static str,
    /// What it is.
    pub found: String,
    /// What it has to be.
    pub needed: String,
    /// Whether the orchestrator puts it right by itself, as the server changes it on what is there.
    pub mends: bool,
}

impl Difference {
    /// One that only people put right.
    pub(super) fn told(setting: &'static str, field: &str, found: &Value, needed: &Value) -> Self {
        Self { setting, found: shown(field, found), needed: shown(field, needed), mends: false }
    }
}

const fn mended(field: &'static str, name: &'static str, needed: Needed) -> Setting {
    Setting { field, name, needed, mends: true }
}

/// What the server refuses to change, or what names another purpose, so that to change it might hide
/// messages.
const fn fixed(field: &'static str, name: &'static str, needed: Needed) -> Setting {
    Setting { field, name, needed, mends: false }
}

/// Settings of a durable consumer that is pulled from.
pub(super) fn consumer(filter: &str, ack_wait: Duration, ack_pending_max: i64) -> Vec<Setting> {
    vec![
        fixed("deliver_subject", "deliver subject", Needed::Unset),
        fixed("filter_subject", "filter", Needed::Exactly(filter.into())),
        fixed("filter_subjects", "filters", Needed::Unset),
        fixed("ack_policy", "ack policy", Needed::Exactly("explicit".into())),
        fixed("deliver_policy", "deliver policy", Needed::Exactly("all".into())),
        fixed("replay_policy", "replay policy", Needed::Exactly("instant".into())),
        // As many as the server gives one that is made without.
        fixed("max_waiting", "max waiting", Needed::AtLeast(512)),
        mended("ack_wait", "ack wait", Needed::Exactly(nanoseconds(ack_wait))),
        mended("max_ack_pending", "max ack pending", Needed::Exactly(ack_pending_max.into())),
        mended("max_deliver", "max deliver", Needed::Unlimited),
        mended("backoff", "backoff", Needed::Unset),
        mended("inactive_threshold", "inactive threshold", Needed::Unlimited),
        mended("headers_only", "headers only", Needed::Unset),
        mended("max_batch", "max batch", Needed::Unlimited),
        mended("max_bytes", "max bytes", Needed::Unlimited),
        mended("max_expires", "max expires", Needed::Unlimited),
        mended("priority_policy", "priority policy", Needed::Unset),
        mended("priority_groups", "priority groups", Needed::Unset),
    ]
}

/// Settings of any stream of Amends.
fn stream(retention: &'static str, discard: &'static str) -> Vec<Setting> {
    vec![
        fixed("retention", "retention", Needed::Exactly(retention.into())),
        fixed("sealed", "sealed", Needed::Unset),
        mended("discard", "discard", Needed::Exactly(discard.into())),
        mended("no_ack", "no_ack", Needed::Unset),
        mended("max_msg_size", "max message size", Needed::Unlimited),
    ]
}

/// Settings of a stream whose messages must stay until they are consumed: a limit of age, or of messages
/// of a subject, drops them in silence.
pub(super) fn kept_until_consumed(retention: &'static str) -> Vec<Setting> {
    let mut settings = stream(retention, "new");
    settings.extend([
        fixed("deny_delete", "deny delete", Needed::Unset),
        fixed("deny_purge", "deny purge", Needed::Unset),
        mended("max_age", "max age", Needed::Unlimited),
        mended("max_msgs", "max messages", Needed::Unlimited),
        mended("max_msgs_per_subject", "max messages per subject", Needed::Unlimited),
        mended("discard_new_per_subject", "discard new per subject", Needed::Unset),
    ]);
    settings
}

/// Settings of a stream that drops what is old.
pub(super) fn dropping_the_oldest() -> Vec<Setting> {
    stream("limits", "old")
}

fn nanoseconds(duration: Duration) -> Value {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).into()
}

/// Compares a configuration with what is needed, and puts right what can be put right; what was different.
pub(super) fn mend(config: &mut Map<String, Value>, settings: &[Setting]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for setting in settings {
        let found = config.get(setting.field).filter(|value| !is_unset(value));
        if setting.needed.is_met_by(found) {
            continue;
        }
        differences.push(Difference {
            setting: setting.name,
            found: shown(setting.field, found.unwrap_or(&Value::Null)),
            needed: setting.needed.shown(setting.field),
            mends: setting.mends,
        });
        if setting.mends {
            match &setting.needed {
                Needed::Exactly(value) => config.insert(setting.field.to_owned(), value.clone()),
                Needed::AtLeast(least) => config.insert(setting.field.to_owned(), json!(least)),
                Needed::Unlimited | Needed::Unset => config.remove(setting.field),
            };
        }
    }
    differences
}

/// The server leaves out what is not set, or says it in one of these ways.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::String(text) => text.is_empty() || text == "none",
        Value::Array(values) => values.is_empty(),
        _ => false,
    }
}

impl Needed {
    fn is_met_by(&self, found: Option<&Value>) -> bool {
        let number = found.map_or(Some(0), Value::as_i64);
        match self {
            Self::Exactly(value) => found == Some(value),
            Self::AtLeast(least) => number.is_some_and(|number| number >= *least),
            Self::Unlimited => number.is_some_and(|number| number <= 0),
            Self::Unset => found.is_none(),
        }
    }

    fn shown(&self, field: &str) -> String {
        match self {
            Self::Exactly(value) => shown(field, value),
            Self::AtLeast(least) => format!("at least {least}"),
            Self::Unlimited => "no limit".to_owned(),
            Self::Unset => "none".to_owned(),
        }
    }
}

/// Fields that the server has in nanoseconds.
const TIMES: [&str; 5] =
    ["ack_wait", "inactive_threshold", "max_expires", "max_age", "duplicate_window"];

fn shown(field: &str, value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if TIMES.contains(&field) => {
            format!("{:?}", Duration::from_nanos(number.as_u64().unwrap_or(0)))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(config) => config,
            _ => Map::new(),
        }
    }

    /// As nats-server describes one that Amends made.
    fn consumer_as_made() -> Map<String, Value> {
        config(json!({
            "durable_name": "c", "deliver_policy": "all", "ack_policy": "explicit",
            "ack_wait": 3_000_000_000_u64, "max_deliver": -1, "filter_subject": "a.*",
            "replay_policy": "instant", "max_waiting": 512, "max_ack_pending": 20000,
            "num_replicas": 0, "metadata": {"_nats.level": "5"},
        }))
    }

    fn needed() -> Vec<Setting> {
        consumer("a.*", Duration::from_secs(3), 20000)
    }

    #[test]
    fn what_amends_made_is_as_needed() {
        let mut made = consumer_as_made();
        assert_eq!(mend(&mut made, &needed()), []);
        let mut queue = config(json!({
            "name": "S", "subjects": ["a.>"], "retention": "workqueue", "max_consumers": -1,
            "max_msgs": -1, "max_bytes": 1000000, "max_age": 0, "max_msgs_per_subject": -1,
            "max_msg_size": -1, "discard": "new", "storage": "file", "num_replicas": 1,
            "sealed": false, "deny_delete": false, "deny_purge": false, "consumer_limits": {},
        }));
        assert_eq!(mend(&mut queue, &kept_until_consumed("workqueue")), []);
    }

    #[test]
    fn what_was_changed_is_put_right_and_the_rest_stays() {
        let mut changed = consumer_as_made();
        changed.insert("ack_wait".into(), json!(3_600_000_000_000_u64));
        changed.insert("inactive_threshold".into(), json!(60_000_000_000_u64));
        changed.insert("headers_only".into(), json!(true));
        changed.insert("description".into(), json!("the owner's"));
        changed.insert("of_a_newer_server".into(), json!(7));
        let differences = mend(&mut changed, &needed());
        let told: Vec<_> = differences
            .iter()
            .map(|d| (d.setting, d.found.as_str(), d.needed.as_str(), d.mends))
            .collect();
        assert_eq!(
            told,
            [
                ("ack wait", "3600s", "3s", true),
                ("inactive threshold", "60s", "no limit", true),
                ("headers only", "true", "none", true),
            ]
        );
        let mut as_made = consumer_as_made();
        as_made.insert("description".into(), json!("the owner's"));
        as_made.insert("of_a_newer_server".into(), json!(7));
        assert_eq!(changed, as_made);
    }

    #[test]
    fn what_the_server_does_not_change_is_only_told() {
        let mut changed = consumer_as_made();
        changed.insert("deliver_policy".into(), json!("new"));
        changed.insert("max_waiting".into(), json!(1));
        let as_found = changed.clone();
        let differences = mend(&mut changed, &needed());
        assert!(differences.iter().all(|d| !d.mends), "{differences:?}");
        assert_eq!(differences.len(), 2);
        assert_eq!(changed, as_found);
    }
}
