//! What becomes of an attempt: done, accepted, broken, given up.

use std::time::Duration;

use super::{
    Kind, Phase,
    builder::TurnBuilder,
    fact::{TIMED_OUT, UNMAPPABLE, message_json},
};
use crate::{AttemptId, Json, Op};

/// How long the real reply may take after `pending`, for a step without `within`: a day.
const PENDING_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl TurnBuilder<'_> {
    /// An action is done. The steps after it could not go on with an output that does not fit: better
    /// to turn back now than behind the pivot. An attempt more would bring the same output from the
    /// barrier; so one that was given up stays so.
    pub(super) fn done(&mut self, at: usize, attempt: u32, output: &Json) {
        let about = Some((at, Op::Action, attempt));
        match self.check_output(at, output) {
            Ok(()) => self.record(Kind::Done, about, Some(output.clone()), None),
            Err(_) if self.state.steps[at].action.phase == Phase::GivenUp => {}
            Err(error) => {
                let message = format!("the output does not fit its type: {error}");
                self.record(Kind::Broke, about, Some(message_json(None, &message)), None);
                self.set_cause(at, UNMAPPABLE, &message);
            }
        }
    }

    /// The attempt in flight was accepted: the real reply comes later.
    pub(super) fn accepted(&mut self, at: usize, op: Op) {
        let attempt = self.state.steps[at].op(op).attempt;
        let due = self.give_up_at(at, op).unwrap_or(self.now + PENDING_MAX);
        // A saga that turned back does not wait for days: it undoes what was accepted.
        let due = (op == Op::Compensation || !self.state.turned).then_some(due);
        self.record(Kind::Pending, Some((at, op, attempt)), None, due);
        if due.is_none() {
            self.set_cause(at, "unknown", "the saga turned back while the step was pending");
        }
    }

    /// The last attempt broke: it is repeated after a delay, or given up.
    pub(super) fn broke(
        &mut self,
        at: usize,
        op: Op,
        kind: Kind,
        message: &str,
        after: Option<Duration>,
    ) {
        let (plan, state) = (self.step(at), self.state.steps[at].op(op));
        let attempt = state.attempt;
        let counted = attempt - state.counted_from.min(attempt);
        let retry = if op == Op::Action { plan.retry } else { plan.compensation_retry };
        let id = AttemptId { saga: self.state.id, step: self.name(at).into(), op, attempt };
        let due = self.now + after.unwrap_or_else(|| retry.delay(counted, &id.effect()));
        let limit = self.give_up_at(at, op);
        let given_up = counted >= retry.attempts()
            || limit.is_some_and(|limit| due >= limit)
            || (op == Op::Action && self.state.turned);
        let due = (!given_up).then_some(due);
        let code = (kind == Kind::TimedOut).then_some(TIMED_OUT);
        self.record(kind, Some((at, op, attempt)), Some(message_json(code, message)), due);
        if given_up {
            let message = format!("given up after attempt {attempt}: {message}");
            self.set_cause_given_up(at, op, &message);
        }
    }

    /// As [`TurnBuilder::set_cause`], for an operation that was given up in the last fact.
    pub(super) fn set_cause_given_up(&mut self, at: usize, op: Op, message: &str) {
        let code = match self.state.steps[at].op(op).phase {
            Phase::Unknown => "unknown",
            Phase::Rejected => TIMED_OUT,
            _ => "given_up",
        };
        self.set_cause(at, code, message);
    }
}
