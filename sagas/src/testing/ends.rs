//! The end of a run: what became of the effects, by the services' own ledger.

use super::{
    breach::{Kept, hold},
    checker::Checker,
    services::{Ledger, StepEffects},
};
use crate::{SagaId, machine::Status};

impl Checker {
    /// Nothing will ever happen again.
    pub(crate) fn end(&self, saga: SagaId, ledger: &Ledger, child_stuck: bool) -> Kept {
        let stuck = self.status == Status::Stuck && !self.paused;
        let ended = self.status.ended() || stuck || child_stuck;
        hold!(ended, Ends, "nothing will ever happen again, and it is {}", self.status);
        let effects: Vec<_> =
            (0..self.accounts.len()).map(|at| ledger.of(saga, &self.name(at))).collect();
        for (at, effects) in effects.iter().enumerate().filter(|(_, effects)| !effects.naive) {
            self.effect(saga, at, effects)?;
        }
        self.order(&effects)
    }

    fn effect(&self, saga: SagaId, at: usize, effects: &StepEffects) -> Kept {
        let (account, name) = (&self.accounts[at], self.name(at));
        let (applied, undone) = (effects.applied, effects.undone);
        let once = applied <= 1 && undone <= applied;
        let closed = account.omitted || account.spread;
        if closed && effects.by_hand {
            return Ok(()); // a person did what in the end was not asked for
        }
        let call = self.plan(at).task.is_call() && !closed;
        let whole = match self.status {
            Status::Completed if account.skipped => undone == 0,
            Status::Completed => applied == u32::from(call) && undone == 0,
            Status::Compensated if account.undo_skipped => true,
            Status::Compensated => applied == undone,
            _ => true,
        };
        hold!(
            once && whole,
            Once,
            "the saga {saga} is {}; {name} was applied {applied} times and undone {undone} times",
            self.status
        );
        Ok(())
    }

    /// What the services did, in the order in which they did it, unless a person had a hand in it.
    fn order(&self, effects: &[StepEffects]) -> Kept {
        let undone = || {
            let all = effects.iter().enumerate();
            let left_alone = |at: usize, effects: &StepEffects| {
                !effects.naive && !effects.by_hand && !self.accounts[at].undo_skipped
            };
            all.filter(move |(at, effects)| effects.undone > 0 && left_alone(*at, effects))
        };
        for (later, first) in undone() {
            let stage = self.plan(later).stage;
            for (earlier, second) in undone().filter(|(at, _)| self.plan(*at).stage < stage) {
                let names = || (self.name(earlier), self.name(later));
                let in_order = first.undone_as < second.undone_as;
                hold!(in_order, Order, "undone before what stands after it: {:?}", names());
            }
        }
        Ok(())
    }
}
