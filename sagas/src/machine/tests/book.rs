//! What the checker knows of one step, from the facts alone.

use crate::{
    Json, Op, StepKind,
    machine::{Fact, Kind, Time},
};

/// Where one operation stands, in an operator's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stand {
    /// Not asked for, or settled.
    #[default]
    Closed,
    InFlight,
    /// Given up, or between two attempts: can be repeated.
    Waits,
    Accepted,
}

/// One operation.
#[derive(Debug, Default)]
pub(super) struct Effort {
    pub(super) asked: u32,
    /// Attempts before an operator gave fresh patience.
    pub(super) before: u32,
    /// The first attempt that counts.
    pub(super) first_asked: Option<Time>,
    pub(super) stand: Stand,
    /// The fact since which an operator can speak of it: asked for first, never asked for because its
    /// input is unmappable, or, for an undoing, after a late success.
    pub(super) since: u32,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) action: Effort,
    pub(super) undo: Effort,
    pub(super) done: bool,
    /// Said no, or was never asked for because its input is unmappable.
    pub(super) refused: bool,
    pub(super) output: Option<Json>,
    pub(super) undone: bool,
    /// The first attempt at undoing that counts after a late success.
    pub(super) undo_from: u32,
    pub(super) lates: u32,
    /// An operator goes on without it.
    pub(super) skipped: bool,
    pub(super) undo_skipped: bool,
}

impl Book {
    pub(super) const fn effort(&mut self, op: Op) -> &mut Effort {
        match op {
            Op::Action => &mut self.action,
            Op::Compensation => &mut self.undo,
        }
    }

    /// Whether an effect may stand that is to be undone.
    pub(super) const fn exposed(&self) -> bool {
        self.action.asked > 0 && !self.refused && !self.undone && !self.undo_skipped
    }

    /// What an operator may speak of: the compensation once it was asked for.
    pub(super) fn open(&self) -> Option<Op> {
        let ops = [(Op::Compensation, &self.undo), (Op::Action, &self.action)];
        ops.into_iter().find(|(_, effort)| effort.stand != Stand::Closed).map(|(op, _)| op)
    }

    /// Takes a fact about one of the operations.
    pub(super) fn take(&mut self, fact: &Fact, op: Op, kind: StepKind) {
        let must = op == Op::Compensation || kind == StepKind::Retriable;
        let lost = op == Op::Action && kind == StepKind::Compensatable;
        let stand = match fact.kind {
            Kind::Rejected | Kind::Unmappable if must => Stand::Waits,
            Kind::Broke | Kind::TimedOut | Kind::Pending if fact.next.due.is_none() && lost => {
                Stand::Closed
            }
            Kind::Pending if fact.next.due.is_some() => Stand::Accepted,
            Kind::Broke | Kind::TimedOut | Kind::Pending | Kind::Resumed => Stand::Waits,
            Kind::Resolve => self.effort(op).stand,
            _ => Stand::Closed,
        };
        self.effort(op).stand = stand;
        if fact.kind == Kind::Unmappable {
            self.effort(op).since = fact.seq;
        }
        match (fact.kind, op) {
            (Kind::Done, Op::Compensation) => self.undone = true,
            (Kind::Done | Kind::Late, Op::Action) => {
                (self.done, self.refused) = (true, false);
                self.output.clone_from(&fact.detail);
            }
            (Kind::Rejected | Kind::Unmappable, Op::Action) => self.refused = true,
            (Kind::Skip, Op::Action) => (self.skipped, self.refused) = (true, false),
            (Kind::Skip, Op::Compensation) => self.undo_skipped = true,
            _ => {}
        }
        if fact.kind == Kind::Late {
            self.undone = false;
            self.undo.since = fact.seq;
            self.undo_from = self.undo.asked + 1;
            self.lates += 1;
            let reopened = kind != StepKind::Compensatable;
            self.undo.stand = if reopened { Stand::Waits } else { Stand::Closed };
        }
    }

    /// An operator has what waits repeated: what is in flight, accepted or settled is left alone, and
    /// what has no compensation.
    pub(super) fn fresh_patience(&mut self, kind: StepKind) {
        let compensatable = kind == StepKind::Compensatable;
        for (effort, can) in [(&mut self.action, true), (&mut self.undo, compensatable)] {
            if can && effort.stand == Stand::Waits {
                effort.before = effort.asked;
                effort.first_asked = None;
                effort.stand = Stand::Closed;
            }
        }
    }
}
