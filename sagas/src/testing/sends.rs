//! What may be sent, and when.

use std::time::Duration;

use super::{
    account::Stand,
    breach::{Kept, hold},
    checker::Checker,
};
use crate::{
    Op, StepKind, Task,
    machine::{Fact, Send, Time},
};

impl Checker {
    pub(super) fn action_sent(&mut self, fact: &Fact, send: &Send) -> Kept {
        hold!(send.step < self.accounts.len(), Fold, "there is no such step: {send:?}");
        let at = send.step;
        let step = self.name(at);
        hold!(!self.turned, Plan, "{step} is asked for after turning back");
        self.after_the_stages_before(at)?;
        let too_late = self.deadline.is_some_and(|deadline| deadline <= fact.at);
        let late = too_late && !self.decided();
        hold!(!late, Patience, "{step} is asked for after the saga's deadline");
        let account = &self.accounts[at];
        hold!(!account.settled(), Plan, "{step} is asked for, and needs nothing");
        let plan = self.plan(at);
        hold!(plan.each.is_none() || account.element.is_some(), Plan, "{step} is a list");
        let element = account.element.is_none() || send.attempt > 1 || account.input == send.input;
        hold!(element, Plan, "{step} is not given what the list says: {send:?}");
        let attempts = &account.action;
        hold!(attempts.stand != Stand::InFlight, Plan, "{step} is asked for twice at once");
        let next = send.attempt == attempts.asked + 1;
        hold!(next, Patience, "{step}: attempts are numbered without gaps, not {}", send.attempt);
        let tries = send.attempt - attempts.before;
        let few = tries <= plan.retry.attempts() || !plan.task.is_call();
        hold!(few, Patience, "{step} is asked for too often");
        hold!(send.input.is_some() == (send.attempt == 1), Fold, "{step}: its input, once");
        let first = attempts.first_asked.unwrap_or(fact.at);
        self.in_time(fact, send, first)?;
        let accepted = !plan.task.is_call();
        let attempts = &mut self.accounts[at].action;
        attempts.first_asked = Some(first);
        if send.attempt == 1 {
            attempts.since = fact.seq;
        }
        attempts.asked = send.attempt;
        attempts.stand = if accepted { Stand::Accepted } else { Stand::InFlight };
        self.few_at_once(at, Op::Action)
    }

    /// A step may answer for its timeout, and not after its time.
    fn in_time(&self, fact: &Fact, send: &Send, first: Time) -> Kept {
        let (plan, step) = (self.plan(send.step), || self.name(send.step));
        let after = |ms| fact.at + Duration::from_millis(ms);
        let over = match plan.task {
            Task::Call => Some(after(plan.attempt_timeout_ms)),
            Task::Delay { ms } => Some(after(ms)),
            Task::Until => {
                let until = send.input.as_ref().and_then(|until| until.read().ok());
                Some(until.map_or(fact.at, |until: Time| until.max(fact.at)))
            }
            Task::Event { .. } | Task::Saga { .. } => None,
        };
        let limit = plan.within_ms.map(|ms| first + Duration::from_millis(ms));
        let in_time = limit.is_none_or(|limit| fact.at < limit);
        hold!(in_time, Patience, "{} is asked for after its time", step());
        let due = over.into_iter().chain(limit).min();
        hold!(send.due == due, Patience, "{} is due at {:?}, not {due:?}", step(), send.due);
        Ok(())
    }

    /// Of a list, so many elements run at once and no more.
    fn few_at_once(&self, at: usize, op: Op) -> Kept {
        let list = self.accounts[at].plan;
        let Some(most) = self.plan(at).each else { return Ok(()) };
        let running = self.accounts.iter().filter(|account| {
            let stand = if op == Op::Action { account.action.stand } else { account.undo.stand };
            account.plan == list && matches!(stand, Stand::InFlight | Stand::Accepted)
        });
        let running = u32::try_from(running.count()).unwrap_or(u32::MAX);
        let name = || self.name(list);
        hold!(running <= most, Plan, "{running} elements of {} run at once, not {most}", name());
        Ok(())
    }

    pub(super) fn compensation_sent(&mut self, seq: u32, send: &Send) -> Kept {
        hold!(send.step < self.accounts.len(), Fold, "there is no such step: {send:?}");
        let at = send.step;
        let (plan, step, account) = (self.plan(at), self.name(at), &self.accounts[at]);
        let undoable = plan.kind == StepKind::Compensatable && plan.task.has_effect();
        hold!(undoable && !account.spread, Plan, "{step} has no compensation");
        hold!(self.turned, Plan, "{step} is undone, but the saga has not turned back");
        let for_nothing = account.action.asked == 0 || account.refused;
        hold!(!for_nothing, Plan, "{step} is undone for nothing");
        hold!(
            !account.undo_skipped,
            Operators,
            "{step} is undone, and an operator said to leave it"
        );
        let next = send.attempt == account.undo.asked + 1;
        hold!(next, Patience, "{step}: attempts are numbered without gaps, not {}", send.attempt);
        let most = plan.compensation_retry.attempts() + account.lates;
        let tries = send.attempt - account.undo.before;
        hold!(tries <= most, Patience, "{step} is undone too often");
        if send.attempt == 1 {
            self.in_reverse(at)?;
        }
        let accepted = !plan.task.is_call();
        let undo = &mut self.accounts[at].undo;
        if send.attempt == 1 {
            undo.since = seq;
        }
        undo.asked = send.attempt;
        undo.stand = if accepted { Stand::Accepted } else { Stand::InFlight };
        self.few_at_once(at, Op::Compensation)
    }

    fn in_reverse(&self, at: usize) -> Kept {
        let stage = self.plan(at).stage;
        for (other, account) in self.accounts.iter().enumerate() {
            let names = || (self.name(at), self.name(other));
            let in_flight = account.action.stand == Stand::InFlight;
            hold!(!in_flight, Order, "undone while another is in flight: {:?}", names());
            let plan = self.plan(other);
            let open = plan.stage > stage && account.exposed(plan);
            hold!(!open, Order, "undone before a later one: {:?}", names());
        }
        Ok(())
    }
}
