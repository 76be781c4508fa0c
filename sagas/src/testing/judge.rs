//! Which acts a saga allows, judged from the checker's books.

use super::{
    breach::{Kept, hold},
    checker::Checker,
    effort::Stand,
};
use crate::{
    Json, Op, StepKind, Task,
    machine::{Fact, Kind, OperatorAct, OperatorCommand, Status},
    wire::Reply,
};

impl Checker {
    /// An act was accepted, and recorded as `facts`, or refused with nothing said.
    pub(crate) fn judges(&mut self, event: &OperatorAct, answer: Result<&[Fact], &str>) -> Kept {
        if self.acted > event.seen && event.command != OperatorCommand::Unlock {
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
        let kind = match event.command {
            OperatorCommand::Retry => Kind::Retried,
            OperatorCommand::Skip { .. } => Kind::Skipped,
            OperatorCommand::Resolve { .. } => Kind::Resolved,
            OperatorCommand::Cancel => Kind::Cancelled,
            OperatorCommand::Pause => Kind::Paused,
            OperatorCommand::Resume => Kind::Unpaused,
            OperatorCommand::Unlock => Kind::Unlocked,
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
        if kind == Kind::Cancelled {
            let told =
                first.next.error.as_ref().is_some_and(|error| {
                    error.code == "cancelled" && error.message == event.reason
                });
            hold!(told, Told, "a cancelled saga says why: {first:?}");
        }
        Ok(())
    }

    fn allows(&self, event: &OperatorAct) -> bool {
        if self.status.ended() {
            return false;
        }
        let waits = (0..self.books.len()).any(|at| {
            let (book, compensatable) =
                (&self.books[at], self.plan(at).kind == StepKind::Compensatable);
            let undo = book.undo.stand == Stand::Waits && compensatable;
            book.action.stand == Stand::Waits || undo
        });
        match &event.command {
            OperatorCommand::Retry => !self.paused && (waits || self.no_output && !self.turned),
            OperatorCommand::Cancel => !self.turned && !self.decided(),
            OperatorCommand::Pause => !self.paused && self.status != Status::Stuck,
            OperatorCommand::Resume => self.paused,
            OperatorCommand::Unlock => true,
            OperatorCommand::Skip { step } => self.open(step).is_some_and(|(at, op)| {
                let plan = self.plan(at);
                let only_time = matches!(plan.task, Task::Delay { .. } | Task::Until);
                op == Op::Compensation || plan.kind == StepKind::Retriable || only_time
            }),
            OperatorCommand::Resolve { step, outcome } => {
                self.open(step).is_some_and(|(at, op)| {
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
                })
            }
        }
    }

    fn open(&self, step: &str) -> Option<(usize, Op)> {
        let at = self.position(step)?;
        Some((at, self.books[at].open()?))
    }
}
