//! Which acts a saga allows, judged from the checker's books.

use super::{
    book::Stand,
    breach::{Kept, hold},
    checker::Checker,
};
use crate::{
    Json, Op, StepKind, Task,
    machine::{Act, ActEvent, Fact, Kind, Status},
    wire::Reply,
};

impl Checker {
    /// An act was accepted, and recorded as `facts`, or refused with nothing said.
    pub(crate) fn judges(&mut self, event: &ActEvent, answer: Result<&[Fact], &str>) -> Kept {
        if self.acted > event.seen && event.act != Act::Unlock {
            hold!(answer.is_err(), Operators, "another operator acted since: {event:?}");
            self.saw("stale act");
            return Ok(());
        }
        let allowed = self.allows(event);
        hold!(allowed == answer.is_ok(), Operators, "{event:?} is answered with {answer:?}");
        let Ok(facts) = answer else {
            self.saw("refused act");
            return Ok(());
        };
        let kind = match event.act {
            Act::Retry => Kind::Retry,
            Act::Skip { .. } => Kind::Skip,
            Act::Resolve { .. } => Kind::Resolve,
            Act::Cancel => Kind::Cancel,
            Act::Pause => Kind::Pause,
            Act::Resume => Kind::Unpause,
            Act::Unlock => Kind::Unlocked,
        };
        let [first, others @ ..] = facts else {
            hold!(false, Operators, "nothing is recorded of {event:?}");
            return Ok(());
        };
        let said = first.detail.as_ref().map_or("", Json::as_str);
        hold!(first.kind == kind, Operators, "an act is recorded first: {first:?}");
        let signed = said.contains(&event.by) && said.contains(&event.reason);
        hold!(signed, Operators, "it does not say who and why: {said}");
        let twice = others.iter().any(|fact| fact.kind.is_act());
        hold!(!twice, Operators, "one act is recorded once: {facts:?}");
        if kind == Kind::Cancel {
            let told =
                first.next.error.as_ref().is_some_and(|error| {
                    error.code == "cancelled" && error.message == event.reason
                });
            hold!(told, Told, "a cancelled saga says why: {first:?}");
        }
        Ok(())
    }

    fn allows(&self, event: &ActEvent) -> bool {
        if self.status.ended() {
            return false;
        }
        let waits = (0..self.books.len()).any(|at| {
            let (book, compensatable) =
                (&self.books[at], self.plan(at).kind == StepKind::Compensatable);
            let undo = book.undo.stand == Stand::Waits && compensatable;
            book.action.stand == Stand::Waits || undo
        });
        match &event.act {
            Act::Retry => !self.paused && (waits || self.no_output && !self.turned),
            Act::Cancel => !self.turned && !self.decided(),
            Act::Pause => !self.paused && self.status != Status::Stuck,
            Act::Resume => self.paused,
            Act::Unlock => true,
            Act::Skip { step } => self.open(step).is_some_and(|(at, op)| {
                let plan = self.plan(at);
                let only_time = matches!(plan.task, Task::Delay { .. } | Task::Until);
                op == Op::Compensation || plan.kind == StepKind::Retriable || only_time
            }),
            Act::Resolve { step, outcome } => self.open(step).is_some_and(|(at, op)| {
                let final_word =
                    op == Op::Compensation || self.plan(at).kind == StepKind::Retriable;
                let book = &self.books[at];
                let effort = if op == Op::Action { &book.action } else { &book.undo };
                let fits = match outcome {
                    Reply::Ok(_) => true,
                    Reply::Rejected { .. } => !final_word,
                    _ => false,
                };
                fits && effort.since < event.seen
            }),
        }
    }

    fn open(&self, step: &str) -> Option<(usize, Op)> {
        let at = self.position(step)?;
        Some((at, self.books[at].open()?))
    }
}
