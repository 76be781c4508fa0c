//! What must hold of every turn, judged from the facts alone: the checker keeps books of its own,
//! and never asks the machine's state what is allowed.

use std::{collections::BTreeMap, time::Duration};

use super::{
    book::{Book, Stand},
    breach::{Kept, hold},
};
use crate::{
    Json, Op, Outline, StepKind,
    machine::{Fact, Kind, Phase, Send, State, Status},
};

/// What happened, and how often.
pub(crate) type Seen = BTreeMap<&'static str, usize>;

pub(crate) struct Checker {
    pub(crate) outline: Outline,
    pub(crate) books: Vec<Book>,
    pub(crate) turned: bool,
    pub(crate) paused: bool,
    pub(crate) no_output: bool,
    /// The number after the last act.
    pub(crate) acted: u32,
    pub(crate) status: Status,
    /// An operator said how an operation ended: the next fact says it too.
    resolving: Option<(usize, Op)>,
    pub(crate) seen: Seen,
}

impl Checker {
    pub(crate) fn new(outline: &Outline) -> Self {
        let books = outline.steps.iter().map(|_| Book::default()).collect();
        Self {
            outline: outline.clone(),
            books,
            turned: false,
            paused: false,
            no_output: false,
            acted: 0,
            resolving: None,
            status: Status::Running,
            seen: Seen::new(),
        }
    }

    pub(crate) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// A turn that is committed.
    pub(crate) fn turn(&mut self, facts: &[Fact], state: &State) -> Kept {
        for fact in facts {
            hold!(self.status != Status::Completed, Once, "a completed saga went on: {fact:?}");
            self.saw(fact.kind.as_str());
            self.happened(fact)?;
            if let Some(status) = fact.next.status {
                self.entered(status, fact, state)?;
            }
            for send in &fact.next.sends {
                hold!(!self.paused, Operators, "sent while it is paused: {send:?}");
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
            self.no_output |= fact.kind == Kind::Unmappable;
            return Ok(());
        };
        if fact.kind == Kind::Resolve {
            self.resolving = Some((at, op));
        }
        if let Some(about) = resolved {
            hold!(about == (at, op), Operators, "an operator spoke of something else: {fact:?}");
            let ends = matches!(fact.kind, Kind::Done | Kind::Rejected);
            hold!(ends, Operators, "an operator said how it ended, not {fact:?}");
        }
        self.allowed(fact, at, op, resolved.is_some())?;
        let kind = self.outline.steps[at].kind;
        let gone = matches!(fact.kind, Kind::Broke | Kind::TimedOut | Kind::Pending);
        if gone && fact.next.due.is_none() && op == Op::Action && kind == StepKind::Compensatable {
            self.saw("unknown");
        }
        if fact.kind == Kind::Late && kind != StepKind::Compensatable {
            self.saw("late, not compensatable");
        }
        if fact.kind == Kind::Late && self.books[at].undo_skipped {
            self.saw("late, undoing skipped");
        }
        self.books[at].take(fact, op, kind);
        Ok(())
    }

    /// Whether this may be said of a step after what was said of it before.
    fn allowed(&self, fact: &Fact, at: usize, op: Op, resolved: bool) -> Kept {
        let (book, name) = (&self.books[at], &self.outline.steps[at].name);
        let again = book.done && op == Op::Action;
        hold!(!again, Once, "{name} is done, and {:?} after it", fact.kind);
        let skipped = if op == Op::Action { book.skipped } else { book.undo_skipped };
        hold!(!skipped, Operators, "{name} is skipped, and {:?} after it", fact.kind);
        let undone = book.undone && op == Op::Compensation;
        hold!(!undone, Once, "{name} is undone, and {:?} after it", fact.kind);
        let settles = matches!(fact.kind, Kind::Done | Kind::Rejected);
        hold!(
            op == Op::Action || !settles || fact.attempt >= book.undo_from || resolved,
            Unknown,
            "{name}: attempt {} at undoing may have run before the late success",
            fact.attempt
        );
        if !matches!(fact.kind, Kind::Broke | Kind::TimedOut) {
            return Ok(());
        }
        match fact.next.due {
            None => self.gave_up(at, op, fact),
            Some(due) => self.backs_off(at, op, fact, due),
        }
    }

    fn acted(&mut self, fact: &Fact) -> Kept {
        hold!(!self.status.ended(), Operators, "an operator moved what has ended");
        self.acted = fact.seq + 1;
        match fact.kind {
            Kind::Pause => self.paused = true,
            Kind::Unpause | Kind::Cancel => self.paused = false,
            Kind::Retry => {
                self.no_output = false;
                for (book, plan) in self.books.iter_mut().zip(&self.outline.steps) {
                    book.fresh_patience(plan.kind);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Patience ends with the last attempt that counts, with the time, or by turning back.
    fn gave_up(&self, at: usize, op: Op, fact: &Fact) -> Kept {
        let (plan, book) = (&self.outline.steps[at], &self.books[at]);
        let (effort, most) = match op {
            Op::Action => (&book.action, plan.retry.attempts()),
            Op::Compensation => (&book.undo, plan.compensation_retry.attempts()),
        };
        let tries = fact.attempt.saturating_sub(effort.before);
        let timed = op == Op::Action && (plan.within_ms.is_some() || self.turned);
        let enough = tries >= most || timed || effort.stand == Stand::Accepted;
        hold!(enough, Patience, "{} is given up after {tries} attempts", plan.name);
        Ok(())
    }

    /// Delays double up to a cap, and are spread over their upper half.
    fn backs_off(&self, at: usize, op: Op, fact: &Fact, due: crate::machine::Time) -> Kept {
        let (plan, book) = (&self.outline.steps[at], &self.books[at]);
        let (effort, retry) = match op {
            Op::Action => (&book.action, plan.retry),
            Op::Compensation => (&book.undo, plan.compensation_retry),
        };
        let tries = fact.attempt.saturating_sub(effort.before);
        let (first, cap) = retry.first_and_cap_ms();
        let full = (1..tries.min(40)).fold(first.min(cap), |ms, _| (ms * 2).min(cap)).max(1);
        let delay = u64::try_from((due - fact.at).num_milliseconds()).unwrap_or(0);
        let fits = (full - full / 2..=full).contains(&delay);
        hold!(fits, Patience, "{}: {delay} ms after attempt {tries}, of {full}", plan.name);
        Ok(())
    }

    fn action_sent(&mut self, fact: &Fact, send: &Send) -> Kept {
        let now = fact.at;
        let plan = &self.outline.steps[send.step];
        let step = &plan.name;
        hold!(!self.turned, Plan, "{step} is asked for after turning back");
        let before =
            self.outline.steps.iter().zip(&self.books).filter(|(p, _)| p.stage < plan.stage);
        for (earlier, book) in before {
            let settled = book.done || book.skipped;
            hold!(settled, Plan, "{step} is asked for before {} is done", earlier.name);
        }
        let book = &mut self.books[send.step];
        hold!(!book.done && !book.skipped, Plan, "{step} is asked for, and needs nothing");
        let book = &mut book.action;
        hold!(book.stand != Stand::InFlight, Plan, "{step} is asked for twice at once");
        let next = send.attempt == book.asked + 1;
        hold!(next, Patience, "{step}: attempts are numbered without gaps, not {}", send.attempt);
        let tries = send.attempt - book.before;
        hold!(tries <= plan.retry.attempts(), Patience, "{step} is asked for too often");
        hold!(send.input.is_some() == (send.attempt == 1), Fold, "{step}: its input, once");
        let first = *book.first_asked.get_or_insert(now);
        let limit = plan.within_ms.map(|ms| first + Duration::from_millis(ms));
        let in_time = limit.is_none_or(|limit| now < limit);
        hold!(in_time, Patience, "{step} is asked for after its time");
        let timeout = now + Duration::from_millis(plan.attempt_timeout_ms);
        let due = limit.map_or(timeout, |limit| limit.min(timeout));
        hold!(
            send.due == due,
            Patience,
            "{step} may answer for its timeout, and not after its time: {} is not {due}",
            send.due
        );
        if send.attempt == 1 {
            book.since = fact.seq;
        }
        book.asked = send.attempt;
        book.stand = Stand::InFlight;
        Ok(())
    }

    fn compensation_sent(&mut self, seq: u32, send: &Send) -> Kept {
        let plan = &self.outline.steps[send.step];
        let step = &plan.name;
        hold!(plan.kind == StepKind::Compensatable, Plan, "{step} has no compensation");
        hold!(self.turned, Plan, "{step} is undone, but the saga has not turned back");
        let book = &self.books[send.step];
        let for_nothing = book.action.asked == 0 || book.refused;
        hold!(!for_nothing, Plan, "{step} is undone for nothing");
        hold!(!book.undo_skipped, Operators, "{step} is undone, and an operator said to leave it");
        let next = send.attempt == book.undo.asked + 1;
        hold!(next, Patience, "{step}: attempts are numbered without gaps, not {}", send.attempt);
        let most = plan.compensation_retry.attempts() + book.lates;
        let tries = send.attempt - book.undo.before;
        hold!(tries <= most, Patience, "{step} is undone too often");
        if send.attempt == 1 {
            for (other, book) in self.outline.steps.iter().zip(&self.books) {
                let in_flight = book.action.stand == Stand::InFlight;
                hold!(!in_flight, Order, "{step} is undone while {} is in flight", other.name);
                let open = other.stage > plan.stage && book.exposed();
                hold!(!open, Order, "{step} is undone before the later {}", other.name);
            }
        }
        let undo = &mut self.books[send.step].undo;
        if send.attempt == 1 {
            undo.since = seq;
        }
        undo.asked = send.attempt;
        undo.stand = Stand::InFlight;
        Ok(())
    }

    fn entered(&mut self, status: Status, fact: &Fact, state: &State) -> Kept {
        let error = fact.next.error.as_ref();
        match status {
            Status::Compensating | Status::Compensated => {
                let told = self.turned || error.is_some();
                hold!(told, Told, "it turned back without a reason");
                self.turn_back();
            }
            Status::Paused if error.is_some() => {
                let turns = self.paused && !self.turned;
                hold!(turns, Told, "a pause needs no other reason than its act");
                self.saw("turned back while paused");
                self.turn_back();
            }
            Status::Stuck => {
                let step = error.map(|error| error.step.as_str());
                hold!(step.is_some(), Told, "a stuck saga says why");
                let culprit = step.and_then(|step| self.outline.position(step));
                let given_up = culprit.map_or(state.no_output, |at| {
                    let step = &state.steps[at];
                    [step.action.phase, step.compensation.phase].contains(&Phase::GivenUp)
                });
                hold!(given_up, Told, "it is stuck for another reason than {error:?}");
            }
            Status::Completed => {
                hold!(fact.next.output.is_some(), Told, "a completed saga answers");
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
        self.turned = true;
        for book in &mut self.books {
            if book.action.stand != Stand::InFlight {
                book.action.stand = Stand::Closed;
            }
        }
    }

    /// What must hold between turns.
    fn stands(&self, state: &State) -> Kept {
        hold!(self.resolving.is_none(), Operators, "an operator's word is lost");
        hold!(self.paused == state.paused, Fold, "the facts tell whether it is paused");
        let held = matches!(state.status, Status::Stuck | Status::Paused);
        let sleeps = state.due().is_none() || !self.paused;
        hold!(sleeps, Operators, "it would wake up in its pause");
        let rests = state.status.ended() || held;
        hold!(rests || state.due().is_some(), Ends, "it would sleep for ever");
        match state.status {
            Status::Paused => hold!(self.paused, Operators, "nobody paused it"),
            Status::Completed => {
                let whole = |b: &Book| (b.done || b.skipped) && b.undo.asked == 0;
                let all = self.books.iter().all(whole);
                hold!(all, Once, "it ended before all was done");
            }
            Status::Compensated => {
                let exposed = self.books.iter().position(Book::exposed);
                let name = exposed.map_or("", |at| &self.outline.steps[at].name);
                hold!(exposed.is_none(), Unknown, "it ended before {name} was undone");
            }
            Status::Running | Status::Compensating => {
                hold!(!self.paused, Operators, "it is paused");
            }
            _ => {}
        }
        Ok(())
    }

    /// The body of a compensation says what is known of its action.
    pub(crate) fn command(&self, step: usize, op: Op, body: &str) -> Kept {
        let output = self.books[step].output.as_ref().map_or("null", Json::as_str);
        let told = op == Op::Action || body.ends_with(&format!(r#","output":{output}}}"#));
        let name = &self.outline.steps[step].name;
        hold!(told, Wire, "{name} is undone without its output {output}: {body}");
        Ok(())
    }

    /// A reply was taken, and will not be delivered again.
    pub(crate) fn heard_ok(&mut self, step: usize, op: Op, attempt: u32) -> Kept {
        let (book, name) = (&self.books[step], &self.outline.steps[step].name);
        match op {
            Op::Action => {
                let noted = book.done || book.skipped;
                hold!(noted, Unknown, "{name} was done, and nobody noted it");
            }
            Op::Compensation if book.undo_skipped => {}
            Op::Compensation => {
                let counts = attempt >= book.undo_from;
                let noted = !counts || book.undone;
                hold!(noted, Unknown, "{name} was undone, and nobody noted it");
                if !counts {
                    self.saw("reply too old");
                }
            }
        }
        Ok(())
    }
}
