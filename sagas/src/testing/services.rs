//! What stands at the other end of the pipe: services, and the people who operate them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::random::AccidentSource;
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
    fn random_act(&mut self, random: &mut AccidentSource, view: &SagaView<'_>)
    -> Option<RandomAct>;

    /// The saga is stuck and operators have to get it going: all services are repaired, and the
    /// definition if need be.
    fn repair(&mut self, _view: &SagaView<'_>) -> Option<Definition> {
        None
    }
}

/// A saga as an operator sees it.
#[cfg_attr(not(test), allow(dead_code, reason = "operators of users' models act blindly"))]
pub(crate) struct SagaView<'a> {
    pub(crate) definition: &'a Definition,
    pub(crate) state: &'a State,
}

/// An act that an operator happens to take.
#[cfg_attr(not(test), allow(dead_code, reason = "operators of users' models settle nothing"))]
pub(crate) enum RandomAct {
    Act(OperatorCommand),
    /// Settles a step by hand, if need be, and says so: done, or seen to it that it never is.
    Resolve {
        step: String,
        op: Op,
        yes: bool,
    },
}

/// The effects of one step, as its service has applied and undone them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StepEffects {
    pub(crate) applied: u32,
    pub(crate) undone: u32,
    /// Which undoing of the whole run it was last.
    pub(crate) undone_as: u32,
    pub(crate) naive: bool,
    /// A person had a hand in it.
    pub(crate) by_hand: bool,
}

/// What all services have applied and undone.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    effects: BTreeMap<(SagaId, Arc<str>), StepEffects>,
    undoings: u32,
}

impl Ledger {
    pub(crate) fn of(&self, saga: SagaId, step: &str) -> StepEffects {
        self.effects.get(&(saga, step.into())).copied().unwrap_or_default()
    }

    pub(crate) fn entry(&mut self, id: &AttemptId) -> &mut StepEffects {
        self.effects.entry((id.saga, Arc::clone(&id.step))).or_default()
    }

    /// The effect of a half of a step is committed.
    pub(crate) fn record(&mut self, id: &AttemptId) {
        match id.op {
            Op::Action => self.entry(id).applied += 1,
            Op::Compensation => {
                self.undoings += 1;
                let as_number = self.undoings;
                let effects = self.entry(id);
                effects.undone += 1;
                effects.undone_as = as_number;
            }
        }
    }
}
