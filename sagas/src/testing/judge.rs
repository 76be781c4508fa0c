//! Which acts a saga allows, judged from the checker's accounts.

use super::{
    account::Stand,
    breach::{Kept, hold},
    checker::Checker,
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
        // Whether a retry can compute what it could not before, only the definition knows.
        let open = allowed && event.command == OperatorCommand::Retry && !self.repeats();
        let fits = allowed == answer.is_ok() || open;
        hold!(fits, Operators, "{event:?} is answered with {answer:?}");
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
            OperatorCommand::GiveOutput(Some(_)) => Kind::Resolved,
            OperatorCommand::GiveOutput(None) => Kind::Skipped,
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
            let explained =
                first.next.error.as_ref().is_some_and(|error| {
                    error.code == "cancelled" && error.message == event.reason
                });
            hold!(explained, Reason, "a cancelled saga says why: {first:?}");
        }
        Ok(())
    }

    fn allows(&self, event: &OperatorAct) -> bool {
        if self.status.ended() {
            return false;
        }
        let waits = self.waiting().next().is_some();
        match &event.command {
            OperatorCommand::Retry => !self.paused && (waits || self.no_output && !self.turned),
            OperatorCommand::Cancel => !self.turned && !self.decided(),
            OperatorCommand::Pause => !self.paused && self.status != Status::Stuck,
            OperatorCommand::Resume => self.paused,
            OperatorCommand::GiveOutput(_) => self.no_output && !self.turned,
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
                    let account = &self.accounts[at];
                    let attempts = if op == Op::Action { &account.action } else { &account.undo };
                    let fits = match outcome {
                        // A list is answered with its elements' outputs.
                        Reply::Ok(output) => {
                            let list = self.plan(at).each.is_some() && account.element.is_none();
                            op == Op::Compensation || !list || output.read::<Vec<Json>>().is_ok()
                        }
                        Reply::Rejected { .. } => !final_word,
                        _ => false,
                    };
                    let task = &self.plan(at).task;
                    let runs = attempts.stand == Stand::Accepted;
                    let goes_on = matches!(task, Task::Saga { .. }) && runs;
                    fits && !goes_on && attempts.since < event.seen
                })
            }
        }
    }

    /// The attempts of what can be repeated.
    fn waiting(&self) -> impl Iterator<Item = u32> {
        let accounts = self.accounts.iter().enumerate();
        accounts.flat_map(|(at, account)| {
            let can = self.plan(at).kind == StepKind::Compensatable;
            let attempts = [(&account.action, true), (&account.undo, can)];
            let waits = attempts.into_iter().filter(|(a, can)| *can && a.stand == Stand::Waits);
            waits.map(|(attempts, _)| attempts.asked)
        })
    }

    /// Whether something that was asked for before is repeated.
    fn repeats(&self) -> bool {
        self.waiting().any(|asked| asked > 0)
    }

    fn open(&self, step: &str) -> Option<(usize, Op)> {
        let at = self.position(step)?;
        Some((at, self.accounts[at].open()?))
    }
}
