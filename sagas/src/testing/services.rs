//! What stands at the other end of the pipe: services, and the people who operate them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::random::Tape;
use crate::{
    AttemptId, Definition, Json, Op, SagaId, StepOutline,
    machine::{OperatorCommand, State},
    wire::Reply,
};

/// A command at the service that does it.
pub(crate) struct Work<'a> {
    pub(crate) id: &'a AttemptId,
    pub(crate) plan: &'a StepOutline,
    pub(crate) body: &'a str,
    /// For a compensation: what the barrier remembers of the action.
    pub(crate) action: Option<&'a Reply>,
}

/// What became of the business of a command.
pub(crate) enum Outcome {
    /// Done, or refused: committed with the barrier's row.
    Settled(Reply),
    /// Called off before it was done: nothing to undo.
    Nothing,
    /// The attempt broke: all is rolled back.
    Broke,
    /// Accepted, and done after the delay, or forgotten.
    Accepted(Option<Duration>),
}

/// Services.
pub(crate) trait Services {
    /// Does the business of a command.
    fn run(&mut self, task: &Work<'_>) -> Outcome;

    /// Does what was accepted.
    fn finish(&mut self, _task: &Work<'_>) -> Reply {
        Reply::Ok(Json::null())
    }

    /// Whether the step's service has no barrier, and does whatever comes.
    fn naive(&mut self, _id: &AttemptId) -> bool {
        false
    }

    /// Whether its replies ever arrive.
    fn answers(&self, _id: &AttemptId) -> bool {
        true
    }

    /// A person does the business by hand, and says with what output.
    fn by_hand(&mut self, _id: &AttemptId) -> Json {
        Json::null()
    }

    /// An operator looks at the saga, and acts.
    fn meddle(&mut self, tape: &mut Tape, look: &Look<'_>) -> Option<Meddling>;

    /// The saga is stuck and operators have to get it going: all services are repaired, and the
    /// definition if need be.
    fn repair(&mut self, _look: &Look<'_>) -> Option<Definition> {
        None
    }
}

/// A saga as an operator sees it.
#[cfg_attr(not(test), allow(dead_code, reason = "operators of users' models act blindly"))]
pub(crate) struct Look<'a> {
    pub(crate) definition: &'a Definition,
    pub(crate) state: &'a State,
}

/// What an operator does at random.
#[cfg_attr(not(test), allow(dead_code, reason = "operators of users' models settle nothing"))]
pub(crate) enum Meddling {
    Act(OperatorCommand),
    /// Settles a step by hand, if need be, and says so: done, or seen to it that it never is.
    Resolve {
        step: String,
        op: Op,
        yes: bool,
    },
}

/// What the services' own books say of one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Deeds {
    pub(crate) applied: u32,
    pub(crate) undone: u32,
    /// Which undoing of the whole run it was last.
    pub(crate) undone_as: u32,
    pub(crate) naive: bool,
    /// A person had a hand in it.
    pub(crate) by_hand: bool,
}

/// All services' books.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    deeds: BTreeMap<(SagaId, Arc<str>), Deeds>,
    undoings: u32,
}

impl Ledger {
    pub(crate) fn of(&self, saga: SagaId, step: &str) -> Deeds {
        self.deeds.get(&(saga, step.into())).copied().unwrap_or_default()
    }

    pub(crate) fn entry(&mut self, id: &AttemptId) -> &mut Deeds {
        self.deeds.entry((id.saga, Arc::clone(&id.step))).or_default()
    }

    /// The effect of a half of a step is committed.
    pub(crate) fn did(&mut self, id: &AttemptId) {
        match id.op {
            Op::Action => self.entry(id).applied += 1,
            Op::Compensation => {
                self.undoings += 1;
                let as_number = self.undoings;
                let deeds = self.entry(id);
                deeds.undone += 1;
                deeds.undone_as = as_number;
            }
        }
    }
}
