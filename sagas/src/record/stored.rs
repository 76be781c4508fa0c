//! How what followed from a fact is stored: what is usual is not written, because every byte of it
//! is written again to the log of the database.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{NextRecord, SendRecord, present};
use crate::{
    EventId, Json, Op,
    machine::{Failure, Status, Time},
};

#[derive(Serialize, Deserialize)]
struct StoredNext {
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

#[derive(Serialize, Deserialize)]
struct StoredSend {
    step: String,
    /// `None` is the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    op: Option<Op>,
    /// `None` is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    /// Seconds from the fact.
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    within: Option<f64>,
    /// Instead, when it is too far away to be counted, and in what was stored before it was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<Micros>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    input: Option<Json>,
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

/// A point in time, in microseconds since 1970. A text is read, too.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Micros {
    Micros(i64),
    Text(DateTime<Utc>),
}

impl From<Time> for Micros {
    fn from(time: Time) -> Self {
        Self::Micros(time.timestamp_micros())
    }
}

impl From<Micros> for Option<Time> {
    fn from(stored: Micros) -> Self {
        match stored {
            Micros::Micros(micros) => Time::from_timestamp_micros(micros),
            Micros::Text(time) => Some(time),
        }
    }
}

impl NextRecord {
    /// The text that is stored beside the fact's time and detail; none when nothing followed.
    #[must_use]
    pub fn into_text(self, at: Time, detail: Option<&Json>) -> Option<String> {
        if self == Self::default() {
            return None;
        }
        let echo = self.output.is_some() && self.output.as_ref() == detail;
        let send = |send: SendRecord| {
            let within = send.due.and_then(|due| seconds(at, due));
            StoredSend {
                step: send.step,
                op: (send.op != Op::Action).then_some(send.op),
                attempt: (send.attempt != 1).then_some(send.attempt),
                within,
                due: send.due.filter(|_| within.is_none()).map(Micros::from),
                input: send.input,
            }
        };
        let stored = StoredNext {
            sends: self.sends.into_iter().map(send).collect(),
            due: self.due.map(Micros::from),
            status: self.status,
            error: self.error,
            output: self.output.filter(|_| !echo),
            echo,
            event: self.event.clone(),
        };
        serde_json::to_string(&stored).ok()
    }

    /// Reads it back.
    ///
    /// # Errors
    /// When the text is not what this version, or one before it, writes.
    pub fn from_text(
        text: Option<&str>,
        at: Time,
        detail: Option<&Json>,
    ) -> Result<Self, serde_json::Error> {
        let Some(text) = text else { return Ok(Self::default()) };
        let stored: StoredNext = serde_json::from_str(text)?;
        let send = |send: StoredSend| SendRecord {
            step: send.step,
            op: send.op.unwrap_or(Op::Action),
            attempt: send.attempt.unwrap_or(1),
            due: match send.within {
                Some(within) => after(at, within),
                None => send.due.and_then(Option::from),
            },
            input: send.input,
        };
        Ok(Self {
            sends: stored.sends.into_iter().map(send).collect(),
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

    #[test]
    fn what_is_stored_is_read_back() {
        let detail = Json::trusted("[1]");
        for detail in [None, Some(&Json::null()), Some(&detail)] {
            let text = next().into_text(at(), detail);
            assert_eq!(NextRecord::from_text(text.as_deref(), at(), detail).unwrap(), next());
        }
        assert_eq!(NextRecord::default().into_text(at(), None), None);
        assert_eq!(NextRecord::from_text(None, at(), None).unwrap(), NextRecord::default());
    }

    #[test]
    fn times_keep_their_microseconds() {
        for micros in [0, 1, -1, 15_000_000, 86_400_000_001, 4_102_444_800_123_457] {
            let due = at() + TimeDelta::microseconds(micros);
            assert_eq!(after(at(), seconds(at(), due).unwrap()), Some(due));
        }
        let mut far = next();
        far.sends[0].due = Some(Time::MAX_UTC);
        let text = far.clone().into_text(at(), None);
        // To the microsecond, as all that is stored.
        far.sends[0].due = Time::from_timestamp_micros(Time::MAX_UTC.timestamp_micros());
        assert_eq!(NextRecord::from_text(text.as_deref(), at(), None).unwrap(), far);
    }

    #[test]
    fn the_usual_is_not_written() {
        let mut next = next();
        next.sends.truncate(1);
        (next.due, next.event) = (None, None);
        assert_eq!(
            next.into_text(at(), Some(&Json::trusted("[1]"))).unwrap(),
            r#"{"sends":[{"step":"a.b","in":0.123455,"input":null}],"status":"completed","echo":true}"#
        );
    }

    /// What was stored before times were numbers.
    #[test]
    fn longer_texts_are_read() {
        let text = r#"{"sends":[{"step":"a.b","op":"action","attempt":1,"due":"2023-11-14T22:13:20.123456Z","input":null},
            {"step":"a.b","op":"compensation","attempt":3,"due":"2023-11-14T22:13:20.123456Z"}],
            "due":"2023-11-14T22:13:20.123456Z","status":"completed","output":[1],"event":"AMENDS_EVENTS:7@1700000000000001"}"#;
        assert_eq!(NextRecord::from_text(Some(text), at(), None).unwrap(), next());
    }
}
