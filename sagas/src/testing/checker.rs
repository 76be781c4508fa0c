//! What must hold of every turn, judged from the facts alone: the checker keeps an account of its
//! own of each step, and never asks the machine's state what is allowed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    account::{Stand, StepAccount},
    breach::{Kept, hold},
};
use crate::{
    Definition, EventId, Json, Op, Outline, StepKind, StepOutline, Task,
    machine::{Fact, Kind, Phase, State, Status, Time},
};

/// What happened, and how often.
pub(crate) type Seen = BTreeMap<&'static str, usize>;

pub(crate) struct Checker {
    pub(super) definition: Arc<Definition>,
    pub(crate) accounts: Vec<StepAccount>,
    pub(super) turned: bool,
    pub(super) paused: bool,
    pub(super) queued: bool,
    pub(super) no_output: bool,
    /// When the saga must have ended.
    pub(super) deadline: Option<Time>,
    /// The number after the last act.
    pub(super) acted: u32,
    pub(super) status: Status,
    /// An operator said how an operation ended: the next fact says it too.
    resolving: Option<(usize, Op)>,
    /// The events that were taken.
    taken: Vec<EventId>,
    pub(super) seen: Seen,
}

impl Checker {
    pub(crate) fn new(definition: Arc<Definition>) -> Self {
        let outline = definition.outline();
        let account = |plan| StepAccount { plan, ..StepAccount::default() };
        Self {
            accounts: (0..outline.steps.len()).map(account).collect(),
            turned: false,
            paused: false,
            queued: outline.locks > 0,
            no_output: false,
            deadline: None,
            acted: 0,
            resolving: None,
            taken: Vec::new(),
            status: Status::Running,
            seen: Seen::new(),
            definition,
        }
    }

    pub(super) fn outline(&self) -> &Outline {
        self.definition.outline()
    }

    /// The outline of the step, or of the list that it is an element of.
    pub(super) fn plan(&self, at: usize) -> &StepOutline {
        &self.definition.outline().steps[self.accounts[at].plan]
    }

    pub(super) fn name(&self, at: usize) -> String {
        let list = &self.plan(at).name;
        self.accounts[at].element.map_or_else(|| list.clone(), |n| format!("{list}.{n}"))
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        (0..self.accounts.len()).find(|at| self.name(*at) == name)
    }

    /// The steps that were asked for; a list when one of its elements was.
    pub(super) fn asked(&self) -> impl Iterator<Item = String> + '_ {
        let asked = (0..self.accounts.len()).filter(|at| self.accounts[*at].action.asked > 0);
        asked.map(|at| self.plan(at).name.clone())
    }

    pub(crate) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// A turn that is committed.
    pub(crate) fn turn(&mut self, facts: &[Fact], state: &State) -> Kept {
        for fact in facts {
            let over = self.status == Status::Completed && fact.kind != Kind::UndoAsked;
            hold!(!over, Once, "a completed saga went on: {fact:?}");
            self.saw(fact.kind.as_str());
            self.happened(fact)?;
            if let Some(status) = fact.next.status {
                self.entered(status, fact, state)?;
            }
            for send in &fact.next.sends {
                hold!(!self.paused, Operators, "sent while it is paused: {send:?}");
                hold!(!self.queued, Plan, "sent without its locks: {send:?}");
                match send.op {
                    Op::Action => self.action_sent(fact, send)?,
                    Op::Compensation => self.compensation_sent(fact.seq, send)?,
                }
            }
        }
        hold!(self.status == state.status, Fold, "the facts tell the status: {}", self.status);
        self.stands(state)
    }

    fn happened(&mut self, fact: &Fact) -> Kept {
        if fact.kind.is_act() {
            self.acted(fact)?;
        }
        hold!((fact.kind == Kind::Started) == (fact.seq == 0), Once, "it started twice: {fact:?}");
        let resolved = self.resolving.take();
        let Some((at, op)) = fact.step.zip(fact.op) else {
            hold!(resolved.is_none(), Operators, "an operator's word is lost");
            return self.saga_happened(fact);
        };
        hold!(at < self.accounts.len(), Fold, "there is no step {at}: {fact:?}");
        if fact.kind == Kind::Resolved {
            self.resolving = Some((at, op));
        }
        if let Some(about) = resolved {
            hold!(about == (at, op), Operators, "an operator spoke of something else: {fact:?}");
            let ends = matches!(fact.kind, Kind::Done | Kind::Rejected);
            hold!(ends, Operators, "an operator said how it ended, not {fact:?}");
        }
        self.allowed(fact, at, op, resolved.is_some())?;
        self.notice(fact, at, op);
        if let Some(event) = &fact.next.event {
            hold!(!self.taken.contains(event), Again, "the event {event} is taken twice");
            self.taken.push(event.clone());
        }
        let plan = self.accounts[at].plan;
        let definition = Arc::clone(&self.definition);
        self.accounts[at].take(fact, op, &definition.outline().steps[plan]);
        if fact.kind == Kind::Expanded { self.expanded(fact, at) } else { Ok(()) }
    }

    /// A fact about no step.
    fn saga_happened(&mut self, fact: &Fact) -> Kept {
        match fact.kind {
            Kind::Started => {
                let limit = self.outline().deadline_ms.map(Duration::from_millis);
                self.deadline = limit.map(|limit| fact.at + limit);
            }
            Kind::Granted => {
                hold!(self.queued, Plan, "it had its locks before");
                self.queued = false;
            }
            Kind::Deadline => {
                let over = self.deadline.take().is_some_and(|deadline| deadline <= fact.at);
                hold!(over, Patience, "its deadline has not passed: {fact:?}");
                if self.decided() {
                    self.saw("deadline too late");
                }
            }
            Kind::UndoAsked => {
                hold!(!self.turned && !self.decided(), Plan, "it cannot be undone: {fact:?}");
                self.paused = false;
            }
            Kind::Unmappable => self.no_output = true,
            Kind::Skipped | Kind::Resolved => {
                hold!(self.no_output, Operators, "it did not lack its output: {fact:?}");
                hold!(fact.next.output.is_some(), Operators, "nobody gave an output: {fact:?}");
                self.no_output = false;
                self.saw("output given");
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the pivot is done, or being decided.
    pub(super) fn decided(&self) -> bool {
        (0..self.accounts.len()).any(|at| {
            let account = &self.accounts[at];
            self.plan(at).kind != StepKind::Compensatable
                && (account.action.asked > 0 || account.done)
        })
    }

    /// A list is known.
    fn expanded(&mut self, fact: &Fact, at: usize) -> Kept {
        let inputs = fact.detail.as_ref().and_then(|inputs| inputs.read::<Vec<Json>>().ok());
        hold!(inputs.is_some(), Fold, "a list without inputs: {fact:?}");
        for (n, input) in inputs.unwrap_or_default().into_iter().enumerate() {
            let (plan, element) = (self.accounts[at].plan, u32::try_from(n).ok());
            self.accounts.push(StepAccount {
                plan,
                element,
                input: Some(input),
                ..StepAccount::default()
            });
            self.saw("element");
        }
        Ok(())
    }

    fn notice(&mut self, fact: &Fact, at: usize, op: Op) {
        let plan = self.plan(at);
        let kind = plan.kind;
        let gone = matches!(fact.kind, Kind::Broke | Kind::TimedOut | Kind::Pending);
        let lost = gone && fact.next.due.is_none() && op == Op::Action;
        let what = match (&plan.task, fact.kind) {
            (Task::Event { .. }, Kind::Done) => Some("event"),
            (Task::Event { .. }, Kind::TimedOut) => Some("event missed"),
            (Task::Delay { .. } | Task::Until, Kind::Done) => Some("delay over"),
            (Task::Saga { .. }, Kind::Done) if op == Op::Compensation => Some("child undone"),
            (Task::Saga { .. }, Kind::Done) => Some("child completed"),
            (Task::Saga { .. }, Kind::Rejected) => Some("child turned back"),
            (Task::Saga { .. }, Kind::TimedOut) => Some("child too slow"),
            (_, Kind::Late) if kind != StepKind::Compensatable => Some("late, not compensatable"),
            (_, Kind::Late) if self.accounts[at].undo_skipped => Some("late, undoing skipped"),
            _ if lost && kind == StepKind::Compensatable => Some("unknown"),
            _ => None,
        };
        what.into_iter().for_each(|what| self.saw(what));
    }

    /// Whether this may be said of a step after what was said of it before.
    fn allowed(&self, fact: &Fact, at: usize, op: Op, resolved: bool) -> Kept {
        let (account, name) = (&self.accounts[at], self.name(at));
        let again = account.done && op == Op::Action;
        hold!(!again, Once, "{name} is done, and {:?} after it", fact.kind);
        let skipped = if op == Op::Action { account.skipped } else { account.undo_skipped };
        hold!(!skipped, Operators, "{name} is skipped, and {:?} after it", fact.kind);
        let undone = account.undone && op == Op::Compensation;
        hold!(!undone, Once, "{name} is undone, and {:?} after it", fact.kind);
        let closed = account.omitted || account.spread;
        hold!(!closed, Plan, "{name} is left out or a list, and {:?} after it", fact.kind);
        let settles = matches!(fact.kind, Kind::Done | Kind::Rejected);
        hold!(
            op == Op::Action || !settles || fact.attempt >= account.undo_from || resolved,
            Unknown,
            "{name}: attempt {} at undoing may have run before the late success",
            fact.attempt
        );
        match (fact.kind, fact.next.due) {
            (Kind::Omitted | Kind::Expanded, _) => self.unfolds(fact, at),
            (Kind::Broke | Kind::TimedOut, None) => self.gave_up(at, op, fact),
            (Kind::Broke | Kind::TimedOut, Some(due)) => self.backs_off(at, op, fact, due),
            _ => Ok(()),
        }
    }

    /// A step is left out, or a list becomes its elements, when its turn has come.
    fn unfolds(&self, fact: &Fact, at: usize) -> Kept {
        let (plan, name) = (self.plan(at), self.name(at));
        hold!(!self.turned, Plan, "{name}: {} after turning back", fact.kind.as_str());
        let says =
            if fact.kind == Kind::Omitted { plan.condition.is_some() } else { plan.each.is_some() };
        hold!(
            says && self.accounts[at].element.is_none(),
            Plan,
            "{name} is {}",
            fact.kind.as_str()
        );
        hold!(self.accounts[at].action.asked == 0, Plan, "{name} was asked for before");
        self.after_the_stages_before(at)
    }

    pub(super) fn after_the_stages_before(&self, at: usize) -> Kept {
        let stage = self.plan(at).stage;
        for earlier in 0..self.accounts.len() {
            let before = self.plan(earlier).stage < stage && !self.accounts[earlier].settled();
            let (step, other) = (|| self.name(at), || self.name(earlier));
            hold!(!before, Plan, "{} begins before {} is done", step(), other());
        }
        Ok(())
    }

    fn acted(&mut self, fact: &Fact) -> Kept {
        hold!(!self.status.ended(), Operators, "an operator moved what has ended");
        self.acted = fact.seq + 1;
        match fact.kind {
            Kind::Paused => self.paused = true,
            Kind::Unpaused | Kind::Cancelled => self.paused = false,
            Kind::Retried => {
                self.no_output = false;
                let definition = Arc::clone(&self.definition);
                for account in &mut self.accounts {
                    account.fresh_patience(definition.outline().steps[account.plan].kind);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Patience ends with the last attempt that counts, with the time, or by turning back.
    fn gave_up(&self, at: usize, op: Op, fact: &Fact) -> Kept {
        let (plan, account) = (self.plan(at), &self.accounts[at]);
        let (attempts, most) = match op {
            Op::Action => (&account.action, plan.retry.attempts()),
            Op::Compensation => (&account.undo, plan.compensation_retry.attempts()),
        };
        let tries = fact.attempt.saturating_sub(attempts.before);
        let timed = op == Op::Action && (plan.within_ms.is_some() || self.turned);
        let deferred = attempts.stand == Stand::Accepted;
        let limit = plan.within_ms.zip(attempts.first_asked);
        let over = limit.is_some_and(|(ms, first)| fact.at >= first + Duration::from_millis(ms));
        let enough = if plan.task.is_call() { tries >= most || timed || deferred } else { over };
        // An output that does not fit is no reason to go on trying.
        let unreadable = fact.kind == Kind::Broke && !plan.task.is_call();
        hold!(
            enough || unreadable,
            Patience,
            "{} is given up after {tries} attempts",
            self.name(at)
        );
        Ok(())
    }

    /// Delays double up to a cap, and are spread over their upper half.
    fn backs_off(&self, at: usize, op: Op, fact: &Fact, due: Time) -> Kept {
        let (plan, account) = (self.plan(at), &self.accounts[at]);
        let (attempts, retry) = match op {
            Op::Action => (&account.action, plan.retry),
            Op::Compensation => (&account.undo, plan.compensation_retry),
        };
        let tries = fact.attempt.saturating_sub(attempts.before);
        let (first, cap) = (retry.first_ms.min(retry.cap_ms), retry.cap_ms);
        let full = (1..tries.min(40)).fold(first, |ms, _| (ms * 2).min(cap)).max(1);
        let delay = u64::try_from((due - fact.at).num_milliseconds()).unwrap_or(0);
        let fits = (full - full / 2..=full).contains(&delay);
        let name = || self.name(at);
        hold!(fits, Patience, "{}: {delay} ms after attempt {tries}, of {full}", name());
        Ok(())
    }

    fn entered(&mut self, status: Status, fact: &Fact, state: &State) -> Kept {
        let error = fact.next.error.as_ref();
        match status {
            Status::Compensating | Status::Compensated => {
                let explained = self.turned || error.is_some();
                hold!(explained, Reason, "it turned back without a reason");
                self.turn_back();
            }
            Status::Paused if error.is_some() => {
                let turns = self.paused && !self.turned;
                hold!(turns, Reason, "a pause needs no other reason than its act");
                self.saw("turned back while paused");
                self.turn_back();
            }
            Status::Stuck => {
                let step = error.map(|error| error.step.as_str());
                hold!(step.is_some(), Reason, "a stuck saga says why");
                let culprit = step.and_then(|step| self.position(step));
                let given_up = culprit.map_or(self.no_output, |at| {
                    let step = &state.steps[at];
                    [step.action.phase, step.compensation.phase].contains(&Phase::GivenUp)
                });
                hold!(given_up, Reason, "it is stuck for another reason than {error:?}");
            }
            Status::Completed => {
                hold!(fact.next.output.is_some(), Reason, "a completed saga answers");
            }
            _ => {}
        }
        if self.status == Status::Stuck {
            self.saw("stuck was healed");
        }
        self.status = status;
        Ok(())
    }

    /// What was between two attempts, or accepted, is not waited for any more.
    fn turn_back(&mut self) {
        if self.turned {
            return;
        }
        (self.turned, self.queued, self.deadline) = (true, false, None);
        for account in &mut self.accounts {
            if account.action.stand != Stand::InFlight {
                account.action.stand = Stand::Closed;
            }
        }
    }

    /// What must hold between turns.
    fn stands(&self, state: &State) -> Kept {
        hold!(self.resolving.is_none(), Operators, "an operator's word is lost");
        hold!(self.paused == state.paused, Fold, "the facts tell whether it is paused");
        hold!(self.queued == state.queued, Fold, "the facts tell whether it has its locks");
        let held = matches!(state.status, Status::Stuck | Status::Paused | Status::Queued);
        let sleeps = state.due().is_none() || !self.paused;
        hold!(sleeps, Operators, "it would wake up in its pause");
        let rests = state.status.ended() || held || self.is_waited_for();
        hold!(rests || state.due().is_some(), Ends, "it would sleep for ever");
        match state.status {
            Status::Paused => hold!(self.paused, Operators, "nobody paused it"),
            Status::Queued => hold!(self.queued, Plan, "it has all its locks"),
            Status::Completed => {
                let whole = |b: &StepAccount| b.settled() && b.undo.asked == 0;
                let all = self.accounts.iter().all(whole);
                hold!(all, Once, "it ended before all was done");
            }
            Status::Compensated => {
                let exposed = |at: &usize| self.accounts[*at].exposed(self.plan(*at));
                let exposed = (0..self.accounts.len()).find(exposed);
                let name = exposed.map_or_else(String::new, |at| self.name(at));
                hold!(exposed.is_none(), Unknown, "it ended before {name} was undone");
            }
            Status::Running | Status::Compensating => {
                hold!(!self.paused && !self.queued, Operators, "it is paused, or queued");
            }
            Status::Stuck => {}
        }
        Ok(())
    }

    /// Whether it waits for an event or for another saga, which wake it.
    fn is_waited_for(&self) -> bool {
        (0..self.accounts.len()).any(|at| {
            let account = &self.accounts[at];
            let waits = [account.action.stand, account.undo.stand].contains(&Stand::Accepted);
            waits && matches!(self.plan(at).task, Task::Event { .. } | Task::Saga { .. })
        })
    }

    /// The body of a compensation says what is known of its action.
    pub(crate) fn command(&self, step: usize, op: Op, body: &str) -> Kept {
        let output = self.accounts[step].output.as_ref().map_or("null", Json::as_str);
        let known = op == Op::Action || body.ends_with(&format!(r#","output":{output}}}"#));
        let name = || self.name(step);
        hold!(known, Wire, "{} is undone without its output {output}: {body}", name());
        Ok(())
    }

    /// A reply was taken, and will not be delivered again.
    pub(crate) fn heard_ok(&mut self, step: &str, op: Op, attempt: u32) -> Kept {
        let Some(at) = self.position(step) else { return Ok(()) };
        let account = &self.accounts[at];
        match op {
            Op::Action => {
                let noted = account.done || account.skipped;
                hold!(noted, Unknown, "{step} was done, and nobody noted it");
            }
            Op::Compensation if account.undo_skipped => {}
            Op::Compensation => {
                let counts = attempt >= account.undo_from;
                let noted = !counts || account.undone;
                hold!(noted, Unknown, "{step} was undone, and nobody noted it");
                if !counts {
                    self.saw("reply too old");
                }
            }
        }
        Ok(())
    }
}
