//! Which acts a saga allows, judged from the checker's books.

use super::{book::Stand, checker::Checker};
use crate::{
    Op, StepKind,
    machine::{Act, ActEvent, Fact, Kind, Status},
    wire::Reply,
};

impl Checker {
    /// An act was accepted, and recorded as `facts`, or refused with nothing said.
    pub(super) fn judges(&mut self, event: &ActEvent, answer: Result<&[Fact], &str>) {
        if self.acted > event.seen {
            assert!(answer.is_err(), "another operator acted since: {event:?}");
            return self.saw("stale act");
        }
        let allowed = self.allows(event);
        assert_eq!(allowed, answer.is_ok(), "{event:?} is answered with {answer:?}");
        let Ok(facts) = answer else { return self.saw("refused act") };
        let kind = match event.act {
            Act::Retry => Kind::Retry,
            Act::Skip { .. } => Kind::Skip,
            Act::Resolve { .. } => Kind::Resolve,
            Act::Cancel => Kind::Cancel,
            Act::Pause => Kind::Pause,
            Act::Resume => Kind::Unpause,
            Act::Unlock => Kind::Unlocked,
        };
        let said = facts[0].detail.as_ref().unwrap().as_str();
        assert_eq!(facts[0].kind, kind, "an act is recorded first");
        assert!(said.contains(&event.by) && said.contains(&event.reason), "{said}");
        let others = facts[1..].iter().any(|fact| fact.kind.is_act());
        assert!(!others, "one act is recorded once: {facts:?}");
        if kind == Kind::Cancel {
            let error = facts[0].next.error.as_ref().expect("a cancelled saga says why");
            assert_eq!((error.code.as_str(), &error.message), ("cancelled", &event.reason));
        }
    }

    fn allows(&self, event: &ActEvent) -> bool {
        if self.status.ended() {
            return false;
        }
        let waits = self.outline.steps.iter().zip(&self.books).any(|(plan, book)| {
            let undo = book.undo.stand == Stand::Waits && plan.kind == StepKind::Compensatable;
            book.action.stand == Stand::Waits || undo
        });
        let decided = self.outline.steps.iter().zip(&self.books).any(|(plan, book)| {
            plan.kind != StepKind::Compensatable && (book.action.asked > 0 || book.done)
        });
        match &event.act {
            Act::Retry => !self.paused && (waits || self.no_output && !self.turned),
            Act::Cancel => !self.turned && !decided,
            Act::Pause => !self.paused && self.status != Status::Stuck,
            Act::Resume => self.paused,
            Act::Unlock => true,
            Act::Skip { step } => self.open(step).is_some_and(|(at, op)| {
                op == Op::Compensation || self.outline.steps[at].kind == StepKind::Retriable
            }),
            Act::Resolve { step, outcome } => self.open(step).is_some_and(|(at, op)| {
                let final_word =
                    op == Op::Compensation || self.outline.steps[at].kind == StepKind::Retriable;
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
        let at = self.outline.position(step)?;
        Some((at, self.books[at].open()?))
    }
}
