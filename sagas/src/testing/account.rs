//! The checker's own account of one step, or one element of a list, from the facts alone.

use crate::{
    Json, Op, StepKind, StepOutline,
    machine::{Fact, Kind, Time},
};

/// Where one operation stands, in an operator's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Stand {
    /// Not asked for, or settled.
    #[default]
    Closed,
    InFlight,
    /// Given up, or between two attempts: can be repeated.
    Waits,
    /// Its answer comes by itself: accepted, or not a service's work.
    Accepted,
}

/// The attempts at one operation.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    pub(crate) asked: u32,
    /// Attempts before an operator gave fresh patience.
    pub(crate) before: u32,
    /// The first attempt that counts.
    pub(crate) first_asked: Option<Time>,
    pub(crate) stand: Stand,
    /// The fact since which an operator can speak of it: asked for first, never asked for because its
    /// input is unmappable, or, for an undoing, after a late success.
    pub(crate) since: u32,
}

#[derive(Debug, Default)]
pub(crate) struct StepAccount {
    /// The step in the outline, and which element of it this is.
    pub(crate) plan: usize,
    pub(crate) element: Option<u32>,
    pub(crate) action: Attempts,
    pub(crate) undo: Attempts,
    pub(crate) done: bool,
    /// Rejected, or never asked for because its input is unmappable.
    pub(crate) refused: bool,
    pub(crate) input: Option<Json>,
    pub(crate) output: Option<Json>,
    pub(crate) undone: bool,
    /// The first attempt at undoing that counts after a late success.
    pub(crate) undo_from: u32,
    pub(crate) lates: u32,
    /// An operator goes on without it.
    pub(crate) skipped: bool,
    pub(crate) undo_skipped: bool,
    /// Its condition does not hold.
    pub(crate) omitted: bool,
    /// A list whose elements have accounts of their own.
    pub(crate) spread: bool,
}

impl StepAccount {
    pub(crate) const fn attempts(&mut self, op: Op) -> &mut Attempts {
        match op {
            Op::Action => &mut self.action,
            Op::Compensation => &mut self.undo,
        }
    }

    /// Whether an effect may stand that is to be undone.
    pub(crate) const fn exposed(&self, plan: &StepOutline) -> bool {
        plan.task.has_effect()
            && self.action.asked > 0
            && !self.refused
            && !self.undone
            && !self.undo_skipped
    }

    /// Whether nothing more is needed of it; a list is judged by its elements.
    pub(crate) const fn settled(&self) -> bool {
        self.done || self.skipped || self.omitted || self.spread
    }

    /// What an operator may speak of: the compensation once it was asked for.
    pub(crate) fn open(&self) -> Option<Op> {
        let ops = [(Op::Compensation, &self.undo), (Op::Action, &self.action)];
        ops.into_iter().find(|(_, attempts)| attempts.stand != Stand::Closed).map(|(op, _)| op)
    }

    /// Takes a fact about one of the operations.
    pub(crate) fn take(&mut self, fact: &Fact, op: Op, plan: &StepOutline) {
        let kind = plan.kind;
        let must = op == Op::Compensation || kind == StepKind::Retriable;
        let lost = op == Op::Action && kind == StepKind::Compensatable;
        let given_up = matches!(fact.kind, Kind::Broke | Kind::TimedOut | Kind::Pending)
            && fact.next.due.is_none();
        let stand = match fact.kind {
            Kind::Rejected | Kind::Unmappable if must => Stand::Waits,
            _ if given_up && lost => Stand::Closed,
            Kind::Pending if fact.next.due.is_some() => Stand::Accepted,
            Kind::Broke | Kind::TimedOut | Kind::Pending | Kind::Resumed => Stand::Waits,
            Kind::Resolved => self.attempts(op).stand,
            _ => Stand::Closed,
        };
        self.attempts(op).stand = stand;
        if fact.kind == Kind::Unmappable {
            self.attempts(op).since = fact.seq;
        }
        match (fact.kind, op) {
            (Kind::Done, Op::Compensation) => self.undone = true,
            (Kind::Done | Kind::Late, Op::Action) => {
                (self.done, self.refused) = (true, false);
                self.output.clone_from(&fact.detail);
            }
            (Kind::Rejected | Kind::Unmappable, Op::Action) => self.refused = true,
            // Waiting has no effect that could be unknown.
            (_, Op::Action) if given_up && lost && !plan.task.has_effect() => self.refused = true,
            (Kind::Skipped, Op::Action) => (self.skipped, self.refused) = (true, false),
            (Kind::Skipped, Op::Compensation) => self.undo_skipped = true,
            (Kind::Omitted, _) => self.omitted = true,
            (Kind::Expanded, _) => self.spread = true,
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
    pub(crate) fn fresh_patience(&mut self, kind: StepKind) {
        let compensatable = kind == StepKind::Compensatable;
        for (attempts, can) in [(&mut self.action, true), (&mut self.undo, compensatable)] {
            if can && attempts.stand == Stand::Waits {
                attempts.before = attempts.asked;
                attempts.first_asked = None;
                attempts.stand = Stand::Closed;
            }
        }
    }
}
