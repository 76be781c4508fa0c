//! Facts as they are stored and read: steps by name, so that they stay readable without the code.

mod row;
mod stored;

pub use row::{FactRow, UnreadableFact};
pub use stored::{NextColumns, UnreadableNext};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    EventId, Json, Op, Outline, SagaId,
    machine::{Fact, Failure, Kind, Next, Send, State, Status, Time},
};

/// A fact with names in place of positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number within the saga.
    pub seq: u32,
    /// When it was decided.
    pub at: Time,
    /// What happened.
    pub kind: Kind,
    /// To which step.
    pub step: Option<String>,
    /// To which half of it.
    pub op: Option<Op>,
    /// In which attempt; 0 when none.
    pub attempt: u32,
    /// The output, the rejection, what broke.
    pub detail: Option<Json>,
    /// What followed.
    pub next: NextRecord,
}

/// What followed from a fact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextRecord {
    /// Attempts that were sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sends: Vec<SendRecord>,
    /// When the operation is taken up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Time>,
    /// The saga's new status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Why the saga turned back, or is stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// The saga's output.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub output: Option<Json>,
    /// The event that a step took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventId>,
}

/// An attempt that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendRecord {
    /// The step's name.
    pub step: String,
    /// Action or compensation.
    pub op: Op,
    /// Which attempt.
    pub attempt: u32,
    /// When it counts as broken, or a wait is over; none when it may take for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Time>,
    /// The step's input, with the first attempt of the action.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub input: Option<Json>,
}

/// A payload of `null` is a payload; only an absent field is none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

/// A stored fact names a step that the outline has not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a stored fact names the step `{0}`, which its definition does not have")]
pub struct RecordError(String);

impl Record {
    /// Writes a fact with names; `state` is the one after it, or a later one.
    #[must_use]
    pub fn of(outline: &Outline, state: &State, fact: &Fact) -> Self {
        let name = |at: usize| state.name(outline, at);
        let send = |s: &Send| SendRecord {
            step: name(s.step),
            op: s.op,
            attempt: s.attempt,
            due: s.due,
            input: s.input.clone(),
        };
        Self {
            seq: fact.seq,
            at: fact.at,
            kind: fact.kind,
            step: fact.step.map(name),
            op: fact.op,
            attempt: fact.attempt,
            detail: fact.detail.clone(),
            next: NextRecord {
                sends: fact.next.sends.iter().map(send).collect(),
                due: fact.next.due,
                status: fact.next.status,
                error: fact.next.error.clone(),
                output: fact.next.output.clone(),
                event: fact.next.event.clone(),
            },
        }
    }

    /// Reads it back; `state` is the one before it.
    ///
    /// # Errors
    /// [`RecordError`] when the outline is not the one it was written under.
    pub fn into_fact(self, outline: &Outline, state: &State) -> Result<Fact, RecordError> {
        let expands = self.kind == Kind::Expanded;
        let position = |name: String| {
            let known = state.position(outline, &name);
            // The fact that expands a list also sends its first elements.
            let new = || outline.element(&name).filter(|_| expands).map(|(_, n)| n);
            known.or_else(|| Some(state.steps.len() + new()?)).ok_or(RecordError(name))
        };
        let send = |s: SendRecord| {
            let step = position(s.step)?;
            Ok(Send { step, op: s.op, attempt: s.attempt, due: s.due, input: s.input })
        };
        Ok(Fact {
            seq: self.seq,
            at: self.at,
            kind: self.kind,
            step: self.step.map(position).transpose()?,
            op: self.op,
            attempt: self.attempt,
            detail: self.detail,
            next: Next {
                sends: self.next.sends.into_iter().map(send).collect::<Result<_, _>>()?,
                due: self.next.due,
                status: self.next.status,
                error: self.next.error,
                output: self.next.output,
                event: self.next.event.clone(),
            },
        })
    }
}

/// Folds what is stored of a saga into its state: the one way from records to a state. `each` is shown
/// every fact after it was taken in.
///
/// # Errors
/// [`RecordError`] when the outline is not the one that the records were written under.
pub fn fold(
    outline: &Outline,
    id: SagaId,
    input: Json,
    records: impl IntoIterator<Item = Record>,
    mut each: impl FnMut(&Fact),
) -> Result<State, RecordError> {
    let mut state = State::new(outline, id, input);
    for record in records {
        let fact = record.into_fact(outline, &state)?;
        state.apply(outline, &fact);
        each(&fact);
    }
    Ok(state)
}
