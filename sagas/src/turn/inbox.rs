//! What a saga may have waited for besides replies and time: operators' acts, the ends of nested sagas,
//! events, locks, a start. It is committed first and the saga's timer is made due then, so whoever looks
//! when the timer fires misses nothing.

use std::collections::{BTreeSet, HashMap};

use crate::{
    IdError, JsonError, SagaId,
    machine::{self, Arrival, ChildEnd, Event, Time},
};

use super::{Instance, Start};

/// What is found for one saga.
#[derive(Debug, Default)]
pub struct Inbox {
    /// What operators, its outer saga and other replicas ask for, oldest first.
    pub acts: Vec<OpenAct>,
    /// Events that its steps wait for, oldest first.
    pub arrivals: Vec<Arrival>,
    /// Nested sagas of it that have ended, and when.
    pub ends: Vec<(ChildEnd, Time)>,
    /// It has its locks.
    pub granted: bool,
    /// It is to begin; or why it cannot.
    pub request: Option<Result<Start, String>>,
}

/// An act that was noted and not decided yet.
#[derive(Debug)]
pub struct OpenAct {
    /// Its number.
    pub id: i64,
    /// When it was noted.
    pub came: Time,
    /// What it asks for, or why that cannot be read.
    pub event: Result<Event, UnreadableAct>,
    /// Whether it is only for the saga as the operator saw it.
    pub exact: bool,
}

/// Why what waits in a mailbox cannot be read. Who asked for it is answered with this text.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableAct {
    /// A newer version knows it.
    #[error("this version does not know the act `{0}`")]
    Unknown(String),
    /// It is for no step, and gives no output.
    #[error("without a step a saga is given its output: say ok")]
    NoOutput,
    /// It says how a step ended, and has no outcome.
    #[error("a step is resolved with an outcome")]
    NoOutcome,
    /// A reply of nobody.
    #[error("a parked reply needs its service")]
    NoService,
    /// A reply to no attempt.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The body of a reply, or an outcome, which has the same form.
    #[error(transparent)]
    Body(#[from] JsonError),
}

/// What to read for which sagas.
#[derive(Debug, Default)]
pub struct InboxQuery {
    /// Their mailboxes: of those whose timers fired, and of those that were asked for an act, whatever moves
    /// them. To be read after the sagas: no turn goes past an act.
    pub mail: BTreeSet<SagaId>,
    /// There is no such saga: a start by SQL may be noted under its id.
    pub missing: Vec<SagaId>,
    /// Steps of them wait for events.
    pub waiting: Vec<SagaId>,
    /// They wait for their locks.
    pub queued: Vec<SagaId>,
    /// They wait for locks and are held: whoever comes after them is to be woken.
    pub passing: Vec<SagaId>,
    /// They have ended, and hold locks.
    pub ended: Vec<SagaId>,
    /// Nested sagas, and whose step each is.
    pub children: HashMap<SagaId, (SagaId, String)>,
}

impl InboxQuery {
    pub(super) fn add(&mut self, id: SagaId, instance: &Instance) {
        self.mail.insert(id);
        let (definition, state) = (&instance.definition, &instance.state);
        if !machine::waits(definition, state).is_empty() {
            self.waiting.push(id);
        }
        match (state.queued, state.paused) {
            (true, true) => self.passing.push(id),
            (true, false) => self.queued.push(id),
            (false, _) => {}
        }
        if state.status.ended() && definition.outline().locks > 0 {
            self.ended.push(id);
        }
        let children = machine::open_children(definition, state);
        self.children.extend(children.map(|(step, child)| (child, (id, step))));
    }
}
