//! Ids: the saga, its effects, and the attempts at them.

use std::{fmt, str::FromStr, sync::Arc};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::name;

/// What names an event for ever: the message that it came in, as `<stream>:<sequence>@<stored at, µs>`.
/// A stream that was deleted and made anew counts from 1 again, hence the time. However many steps an
/// event is kept for, it is one event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(String);

impl EventId {
    /// The event in a stored message.
    #[must_use]
    pub fn of_message(stream: &str, sequence: u64, stored_at: DateTime<Utc>) -> Self {
        Self(format!("{stream}:{sequence}@{}", stored_at.timestamp_micros()))
    }

    /// An event as it is stored.
    #[must_use]
    pub const fn stored(text: String) -> Self {
        Self(text)
    }

    /// When its stream stored it; `None` where the text does not say it.
    #[must_use]
    pub fn came(&self) -> Option<DateTime<Utc>> {
        let (_, micros) = self.0.rsplit_once('@')?;
        DateTime::from_timestamp_micros(micros.parse().ok()?)
    }

    /// As it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a saga: a UUIDv7 (RFC 9562), so that rows stay in time order.
///
/// ```
/// use amends::SagaId;
/// let id: SagaId = "01890a5d-ac96-774b-bcce-b302099a8057".parse()?;
/// assert_eq!(id.to_string(), "01890a5d-ac96-774b-bcce-b302099a8057");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SagaId(pub Uuid);

impl SagaId {
    /// The id of the saga of `definition` that a stored message starts: JetStream's timestamp gives
    /// the time bits, a hash of definition, stream and sequence the rest. The same message therefore
    /// always names the same saga, however often it is delivered, and a replay of the stream rebuilds
    /// the same sagas; one message may start a saga of each definition that names its subject.
    #[must_use]
    pub fn from_message(
        definition: &str,
        stream: &str,
        sequence: u64,
        stored_at: DateTime<Utc>,
    ) -> Self {
        let mut hash = Sha256::new();
        for name in [definition, stream] {
            hash.update(name.as_bytes());
            hash.update([0]);
        }
        hash.update(sequence.to_be_bytes());
        let hash = hash.finalize();
        let mut rest = [0; 10];
        rest.copy_from_slice(&hash[..10]);
        let millis = u64::try_from(stored_at.timestamp_millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &rest).into_uuid())
    }

    /// The id of the saga that is the step `step` of the saga `outer`: the outer one's time bits, and
    /// a hash of both. However often the step is asked for, it is the same saga.
    #[must_use]
    pub fn nested(outer: Self, step: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(outer.0.as_bytes());
        hash.update(step.as_bytes());
        let hash = hash.finalize();
        let mut bytes = *outer.0.as_bytes();
        bytes[6..].copy_from_slice(&hash[..10]);
        Self(
            uuid::Builder::from_bytes(bytes)
                .with_version(uuid::Version::SortRand)
                .with_variant(uuid::Variant::RFC4122)
                .into_uuid(),
        )
    }
}

impl fmt::Display for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

impl fmt::Debug for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SagaId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let id = Uuid::try_parse(text).map_err(|_| IdError::Saga)?;
        Ok(Self(id))
    }
}

/// Which half of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// The forward half.
    Action,
    /// The half that undoes the action.
    Compensation,
}

impl Op {
    /// The word used in ids and in SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Compensation => "compensation",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Op {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text {
            "action" => Ok(Self::Action),
            "compensation" => Ok(Self::Compensation),
            _ => Err(IdError::Op),
        }
    }
}

/// `Amends-Id`: `<saga id>:<step>:<action|compensation>:<attempt>`. What stands before the last
/// colon is the effect id: stable over all attempts, the idempotency key of the effect.
///
/// ```
/// use amends::AttemptId;
/// let text = "01890a5d-ac96-774b-bcce-b302099a8057:inventory.reserve:action:2";
/// let id: AttemptId = text.parse()?;
/// assert_eq!((id.attempt, id.to_string().as_str()), (2, text));
/// assert_eq!(id.effect(), "01890a5d-ac96-774b-bcce-b302099a8057:inventory.reserve:action");
/// # Ok::<(), amends::IdError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttemptId {
    /// The saga.
    pub saga: SagaId,
    /// The step's name within its saga.
    pub step: Arc<str>,
    /// Action or compensation.
    pub op: Op,
    /// The number of this sending, from 1. A retry has a new one, a redelivery has not.
    pub attempt: u32,
}

impl AttemptId {
    /// `<saga id>:<step>:<op>`: the idempotency key, for instance for a card provider.
    #[must_use]
    pub fn effect(&self) -> String {
        format!("{}:{}:{}", self.saga, self.step, self.op)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.saga, self.step, self.op, self.attempt)
    }
}

impl FromStr for AttemptId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut parts = text.splitn(5, ':');
        let mut next = || parts.next().ok_or(IdError::Shape);
        let (saga, step, op, attempt) = (next()?, next()?, next()?, next()?);
        if parts.next().is_some() {
            return Err(IdError::Shape);
        }
        name::check_step(step).map_err(|_| IdError::Step)?;
        let (saga, attempt) = (written_saga(saga)?, written_attempt(attempt)?);
        Ok(Self { saga, step: step.into(), op: op.parse()?, attempt })
    }
}

/// A saga's id in the one form that Amends writes: it is compared as text, too, as an idempotency key.
fn written_saga(text: &str) -> Result<SagaId, IdError> {
    // Of the forms that a UUID has only the one with hyphens has this length.
    let one_form = text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase());
    if one_form { text.parse() } else { Err(IdError::Saga) }
}

/// An attempt's number in the one form that Amends writes: no sign, no leading zero.
fn written_attempt(text: &str) -> Result<u32, IdError> {
    let one_form = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| one_form).ok_or(IdError::Attempt)
}

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not four parts.
    #[error("an Amends-Id has the form <saga id>:<step>:<action|compensation>:<attempt>")]
    Shape,
    /// Not a UUID.
    #[error("the saga id is not a UUID in lower case with hyphens")]
    Saga,
    /// Not a step name.
    #[error("the step name is not allowed")]
    Step,
    /// Neither action nor compensation.
    #[error("the operation is neither `action` nor `compensation`")]
    Op,
    /// Not a number from 1.
    #[error("the attempt is not a number from 1 to 4294967295")]
    Attempt,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_its_saga() {
        let at = DateTime::from_timestamp_millis(1_700_000_000_123).unwrap();
        let id = SagaId::from_message("order", "AMENDS_EVENTS", 7, at);
        assert_eq!(id, SagaId::from_message("order", "AMENDS_EVENTS", 7, at));
        assert_ne!(id, SagaId::from_message("order", "AMENDS_EVENTS", 8, at));
        assert_ne!(id, SagaId::from_message("order", "OTHER", 7, at));
        assert_ne!(id, SagaId::from_message("audit", "AMENDS_EVENTS", 7, at));
        assert_eq!(id.0.get_version_num(), 7);
        assert_eq!(id.0.get_timestamp().unwrap().to_unix().0, 1_700_000_000);
    }

    #[test]
    fn a_message_names_its_event() {
        let at = DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap();
        let event = EventId::of_message("AMENDS_EVENTS", 7, at);
        assert_eq!(event.as_str(), "AMENDS_EVENTS:7@1700000000123456");
        assert_eq!(event.came(), Some(at));
        assert_eq!(EventId::stored("a@b".into()).came(), None);
    }

    #[test]
    fn a_nested_saga_is_named_by_its_step() {
        let at = DateTime::from_timestamp_millis(1_700_000_000_123).unwrap();
        let outer = SagaId::from_message("order", "AMENDS_EVENTS", 7, at);
        let id = SagaId::nested(outer, "car");
        assert_eq!(id, SagaId::nested(outer, "car"));
        assert_ne!(id, SagaId::nested(outer, "train"));
        assert_eq!(id.0.get_version_num(), 7);
        assert_eq!(id.0.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(id.0.get_timestamp(), outer.0.get_timestamp());
    }

    #[test]
    fn malformed_ids_are_refused() {
        let saga = "01890a5d-ac96-774b-bcce-b302099a8057";
        for bad in [
            "",
            saga,
            &format!("{saga}:a:action"),
            &format!("{saga}:a:action:0"),
            &format!("{saga}:a:action:-1"),
            &format!("{saga}:a:action:1:2"),
            &format!("{saga}:a:undo:1"),
            &format!("{saga}:a b:action:1"),
            "x:a:action:1",
            &format!("{saga}:a:action:+1"),
            &format!("{saga}:a:action:01"),
            &format!("{saga}:a:action:4294967296"),
            &format!("{saga}:a:action: 1"),
            &format!("{saga}:a:action:1 "),
            &format!("{saga}:a:action:1.0"),
            &format!("{saga}:a:Action:1"),
            &format!("{saga}:A:action:1"),
            &format!("{saga}::action:1"),
            &format!(" {saga}:a:action:1"),
            &format!("{}:a:action:1", saga.to_uppercase()),
            &format!("{}:a:action:1", saga.replace('-', "")),
            &format!("{{{saga}}}:a:action:1"),
            &format!("urn:uuid:{saga}:a:action:1"),
        ] {
            assert!(bad.parse::<AttemptId>().is_err(), "{bad:?} parsed");
        }
    }
}
