//! How what followed from a fact is stored: what is usual is not written, because every byte of it
//! is written again to the log of the database. What was sent is a text of words, so that where steps stand
//! can be told without reading JSON.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{NextRecord, SendRecord, present};
use crate::{
    EventId, Json, Op,
    machine::{Failure, Status, Time},
};

/// What followed from a fact, as the texts of two columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NextColumns {
    /// A word for each attempt that was sent, with spaces between: `<step>`, and where it is not the first of
    /// the action `<step>:<op>` and `<step>:<op>:<attempt>`.
    pub sent: Option<String>,
    /// The rest, as JSON.
    pub next: Option<String>,
}

/// Why what followed from a fact cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableNext {
    /// A word of what was sent.
    #[error("`{0}` is not an attempt that was sent")]
    Sent(String),
    /// The rest.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct StoredNext {
    /// One for each that was sent, or none at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sends: Vec<StoredSend>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<Micros>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    output: Option<Json>,
    /// The output is the fact's detail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    echo: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<EventId>,
}

/// What the word of an attempt does not say.
#[derive(Default, PartialEq, Serialize, Deserialize)]
struct StoredSend {
    /// Seconds from the fact.
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    within: Option<f64>,
    /// Instead, when it is too far away to be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<Micros>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    input: Option<Json>,
}

/// The word of an attempt.
fn word(send: &SendRecord) -> String {
    match (send.op, send.attempt) {
        (Op::Action, 1) => send.step.clone(),
        (op, 1) => format!("{}:{op}", send.step),
        (op, attempt) => format!("{}:{op}:{attempt}", send.step),
    }
}

/// The attempt that a word names.
fn attempt(word: &str) -> Option<(&str, Op, u32)> {
    let mut parts = word.split(':');
    let step = parts.next().filter(|step| !step.is_empty())?;
    let op = parts.next().map_or(Some(Op::Action), |op| op.parse().ok())?;
    let attempt = parts.next().map_or(Some(1), |attempt| attempt.parse().ok())?;
    parts.next().is_none().then_some((step, op, attempt))
}

/// So many microseconds a float counts one by one: 285 years.
const MICROS_MAX: u64 = 1 << 53;

/// The seconds from one time to another.
fn seconds(from: Time, to: Time) -> Option<f64> {
    let micros = (to - from).num_microseconds().filter(|m| m.unsigned_abs() < MICROS_MAX)?;
    Some(micros as f64 / 1e6)
}

/// So many seconds after a time.
fn after(from: Time, seconds: f64) -> Option<Time> {
    from.checked_add_signed(TimeDelta::microseconds((seconds * 1e6).round() as i64))
}

/// A point in time, in microseconds since 1970.
#[derive(PartialEq, Serialize, Deserialize)]
struct Micros(i64);

impl From<Time> for Micros {
    fn from(time: Time) -> Self {
        Self(time.timestamp_micros())
    }
}

impl From<Micros> for Option<Time> {
    fn from(stored: Micros) -> Self {
        Time::from_timestamp_micros(stored.0)
    }
}

impl NextRecord {
    /// The texts that are stored beside the fact's time and detail; none where nothing followed.
    #[must_use]
    pub fn into_columns(self, at: Time, detail: Option<&Json>) -> NextColumns {
        if self == Self::default() {
            return NextColumns::default();
        }
        let words: Vec<_> = self.sends.iter().map(word).collect();
        let echo = self.output.is_some() && self.output.as_ref() == detail;
        let send = |send: SendRecord| {
            let within = send.due.and_then(|due| seconds(at, due));
            let due = send.due.filter(|_| within.is_none()).map(Micros::from);
            StoredSend { within, due, input: send.input }
        };
        let mut sends: Vec<_> = self.sends.into_iter().map(send).collect();
        if sends.iter().all(|send| *send == StoredSend::default()) {
            sends.clear();
        }
        let stored = StoredNext {
            sends,
            due: self.due.map(Micros::from),
            status: self.status,
            error: self.error,
            output: self.output.filter(|_| !echo),
            echo,
            event: self.event,
        };
        let next = serde_json::to_string(&stored).ok().filter(|text| text != "{}");
        NextColumns { sent: (!words.is_empty()).then(|| words.join(" ")), next }
    }

    /// Reads them back.
    ///
    /// # Errors
    /// When the texts are not what this version writes.
    pub fn from_columns(
        columns: &NextColumns,
        at: Time,
        detail: Option<&Json>,
    ) -> Result<Self, UnreadableNext> {
        let stored: StoredNext = serde_json::from_str(columns.next.as_deref().unwrap_or("{}"))?;
        let words: Vec<_> = columns.sent.iter().flat_map(|sent| sent.split(' ')).collect();
        let mut rest = stored.sends;
        if rest.is_empty() {
            rest.resize_with(words.len(), StoredSend::default);
        }
        if rest.len() != words.len() {
            return Err(UnreadableNext::Sent(columns.sent.clone().unwrap_or_default()));
        }
        let send = |(word, rest): (&str, StoredSend)| {
            let wrong = || UnreadableNext::Sent(word.to_owned());
            let (step, op, attempt) = attempt(word).ok_or_else(wrong)?;
            let due = match rest.within {
                Some(within) => after(at, within),
                None => rest.due.and_then(Option::from),
            };
            Ok(SendRecord { step: step.to_owned(), op, attempt, due, input: rest.input })
        };
        let sends: Result<_, UnreadableNext> = words.into_iter().zip(rest).map(send).collect();
        Ok(Self {
            sends: sends?,
            due: stored.due.and_then(Option::from),
            status: stored.status,
            error: stored.error,
            output: if stored.echo { detail.cloned() } else { stored.output },
            event: stored.event,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Time {
        Time::from_timestamp_micros(1_700_000_000_000_001).unwrap()
    }

    fn next() -> NextRecord {
        let due = Time::from_timestamp_micros(1_700_000_000_123_456);
        let send = |op, attempt, input| SendRecord { step: "a.b".into(), op, attempt, due, input };
        NextRecord {
            sends: vec![send(Op::Action, 1, Some(Json::null())), send(Op::Compensation, 3, None)],
            due,
            status: Some(Status::Completed),
            error: None,
            output: Some(Json::trusted("[1]")),
            event: Some(EventId::of_message("AMENDS_EVENTS", 7, at())),
        }
    }

    fn read(columns: &NextColumns, detail: Option<&Json>) -> NextRecord {
        NextRecord::from_columns(columns, at(), detail).unwrap()
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let detail = Json::trusted("[1]");
        for detail in [None, Some(&Json::null()), Some(&detail)] {
            assert_eq!(read(&next().into_columns(at(), detail), detail), next());
        }
        assert_eq!(NextRecord::default().into_columns(at(), None), NextColumns::default());
        assert_eq!(read(&NextColumns::default(), None), NextRecord::default());
        // Nothing but words.
        let mut bare = NextRecord { sends: next().sends, ..NextRecord::default() };
        for send in &mut bare.sends {
            (send.due, send.input) = (None, None);
        }
        let columns = bare.clone().into_columns(at(), None);
        assert_eq!(
            (columns.sent.as_deref(), &columns.next),
            (Some("a.b a.b:compensation:3"), &None)
        );
        assert_eq!(read(&columns, None), bare);
    }

    #[test]
    fn times_keep_their_microseconds() {
        for micros in [0, 1, -1, 15_000_000, 86_400_000_001, 4_102_444_800_123_457] {
            let due = at() + TimeDelta::microseconds(micros);
            assert_eq!(after(at(), seconds(at(), due).unwrap()), Some(due));
        }
        let mut far = next();
        far.sends[0].due = Some(Time::MAX_UTC);
        let columns = far.clone().into_columns(at(), None);
        // To the microsecond, as all that is stored.
        far.sends[0].due = Time::from_timestamp_micros(Time::MAX_UTC.timestamp_micros());
        assert_eq!(read(&columns, None), far);
    }

    #[test]
    fn the_usual_is_not_written() {
        let mut next = next();
        next.sends[1].attempt = 1;
        (next.due, next.event) = (None, None);
        let columns = next.into_columns(at(), Some(&Json::trusted("[1]")));
        assert_eq!(columns.sent.unwrap(), "a.b a.b:compensation");
        assert_eq!(
            columns.next.unwrap(),
            r#"{"sends":[{"in":0.123455,"input":null},{"in":0.123455}],"status":"completed","echo":true}"#
        );
    }

    #[test]
    fn what_is_not_of_this_version_is_refused() {
        for (sent, next) in [
            (Some("a:undo"), None),
            (Some("a:action:x"), None),
            (Some("a:action:1:2"), None),
            (Some("a  b"), None),
            (Some("a b"), Some(r#"{"sends":[{"in":1.0}]}"#)),
            (None, Some(r#"{"sends":[{"in":1.0}]}"#)),
        ] {
            let own = |text: &str| text.to_owned();
            let columns = NextColumns { sent: sent.map(own), next: next.map(own) };
            let read = NextRecord::from_columns(&columns, at(), None);
            assert!(matches!(read, Err(UnreadableNext::Sent(_))), "{columns:?}: {read:?}");
        }
    }
}
