//! The end of a run: what became of the effects, by the services' own books.

use super::{
    breach::{Kept, hold},
    checker::Checker,
    services::{Deeds, Ledger},
};
use crate::{SagaId, machine::Status};

impl Checker {
    /// Nothing will ever happen again.
    pub(crate) fn end(&self, saga: SagaId, ledger: &Ledger) -> Kept {
        let ended = self.status.ended() || self.status == Status::Stuck && !self.paused;
        hold!(ended, Ends, "nothing will ever happen again, and it is {}", self.status);
        let deeds: Vec<_> =
            self.outline.steps.iter().map(|step| ledger.of(saga, &step.name)).collect();
        for (at, deeds) in deeds.iter().enumerate().filter(|(_, deeds)| !deeds.naive) {
            self.effect(at, deeds)?;
        }
        self.order(&deeds)
    }

    fn effect(&self, at: usize, deeds: &Deeds) -> Kept {
        let (book, name) = (&self.books[at], &self.outline.steps[at].name);
        let (applied, undone) = (deeds.applied, deeds.undone);
        let once = applied <= 1 && undone <= applied;
        let whole = match self.status {
            Status::Completed if book.skipped => undone == 0,
            Status::Completed => applied == 1 && undone == 0,
            Status::Compensated if book.undo_skipped => true,
            Status::Compensated => applied == undone,
            _ => true,
        };
        hold!(
            once && whole,
            Once,
            "the saga is {}; {name} was applied {applied} times and undone {undone} times",
            self.status
        );
        Ok(())
    }

    /// What the services did, in the order in which they did it, unless a person had a hand in it.
    fn order(&self, deeds: &[Deeds]) -> Kept {
        let undone = || {
            let all = self.outline.steps.iter().zip(deeds);
            all.filter(|(_, deeds)| deeds.undone > 0 && !deeds.naive && !deeds.by_hand)
        };
        for (later, first) in undone() {
            for (earlier, second) in undone().filter(|(other, _)| other.stage < later.stage) {
                hold!(
                    first.undone_as < second.undone_as,
                    Order,
                    "{} was undone before {}, which stands after it",
                    earlier.name,
                    later.name
                );
            }
        }
        Ok(())
    }
}
