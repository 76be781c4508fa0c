//! A saga at hand.

use std::sync::Arc;

use crate::{
    Definition, Json, Record, RecordError, SagaId, StatusChange, TraceContext, UnreadableFact,
    fold,
    machine::{self, Send, State, Time},
    status_event,
};

use super::Message;

/// A saga as it is stored.
#[derive(Debug)]
pub struct Stored {
    /// Its definition's name.
    pub definition: String,
    /// And version.
    pub version: u32,
    /// The business key.
    pub key: Option<String>,
    /// The trace of its trigger.
    pub trace: Option<String>,
    /// The trigger's body.
    pub input: Json,
    /// Where its timer stands.
    pub timer_at: Option<Time>,
    /// The saga that it is a step of.
    pub parent: Option<SagaId>,
    /// Its facts in their order, or why one cannot be read: a newer version may have written it.
    pub facts: Result<Vec<Record>, UnreadableFact>,
}

/// Why a stored saga cannot be read by this program.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A fact's columns are not of this version.
    #[error(transparent)]
    Fact(#[from] UnreadableFact),
    /// A fact is of another plan.
    #[error(transparent)]
    Plan(#[from] RecordError),
}

/// A saga at hand: its state, and what the orchestrator has to know beside it. It may be outdated.
#[derive(Debug, Clone)]
pub struct Instance {
    /// What it runs under.
    pub definition: Arc<Definition>,
    /// The fold of its facts.
    pub state: State,
    /// The business key.
    pub key: Option<String>,
    /// The trace of its trigger.
    pub trace: Option<TraceContext>,
    /// Its changes of status, oldest first.
    pub changes: Vec<StatusChange>,
    /// The saga that it is a step of.
    pub parent: Option<SagaId>,
    /// Where its timer stands; never later than the real one unless that was due.
    pub timer_at: Option<Time>,
}

impl Instance {
    /// Folds a saga's facts into its state.
    ///
    /// # Errors
    /// [`Unreadable`]: another version wrote it.
    pub fn of(definition: Arc<Definition>, id: SagaId, stored: Stored) -> Result<Self, Unreadable> {
        let Stored { key, trace, input, timer_at, parent, facts, .. } = stored;
        let mut changes = Vec::new();
        let state = fold(definition.outline(), id, input, facts?, |fact| {
            changes.extend(StatusChange::of(fact, &changes));
        })?;
        let trace = trace.and_then(|trace| trace.parse().ok());
        Ok(Self { definition, state, key, trace, changes, parent, timer_at })
    }

    /// Whether others wait for its end: an outer saga, or whoever wants its locks.
    pub(super) fn is_awaited(&self) -> bool {
        self.parent.is_some() || self.definition.outline().locks > 0
    }

    /// A change of status as a message.
    pub(super) fn announce(&self, change: &StatusChange) -> Message {
        let outline = self.definition.outline();
        Message::Status(
            status_event(self.state.id, outline, self.key.as_deref(), change),
            self.trace.clone(),
        )
    }

    /// The commands of attempts that are sent, as far as they are still in flight.
    pub(super) fn commands(&self, sends: &[Send]) -> impl Iterator<Item = Message> {
        let command = |send| machine::command(&self.definition, &self.state, send);
        sends
            .iter()
            .filter_map(command)
            .map(|command| Message::Command(command, self.trace.clone()))
    }
}
