//! What must hold of every turn, judged from the facts alone: the checker keeps books of its own,
//! and never asks the machine's state what is allowed.

use std::time::Duration;

use super::{
    book::{Book, Stand},
    participant::Participant,
    world::Seen,
};
use crate::{
    Json, Op, Outline, StepKind,
    machine::{Fact, Kind, Phase, Send, State, Status},
};

pub(super) struct Checker {
    pub(super) outline: Outline,
    pub(super) books: Vec<Book>,
    pub(super) turned: bool,
    pub(super) paused: bool,
    pub(super) no_output: bool,
    /// The number after the last act.
    pub(super) acted: u32,
    pub(super) status: Status,
    /// An operator said how an operation ended: the next fact says it too.
    resolving: Option<(usize, Op)>,
    pub(super) seen: Seen,
}

impl Checker {
    pub(super) fn new(outline: &Outline) -> Self {
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

    pub(super) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// A turn that is committed.
    pub(super) fn turn(&mut self, facts: &[Fact], state: &State) {
        for fact in facts {
            assert_ne!(self.status, Status::Completed, "a completed saga went on: {fact:?}");
            self.saw(fact.kind.as_str());
            self.happened(fact);
            if let Some(status) = fact.next.status {
                self.entered(status, fact, state);
            }
            for send in &fact.next.sends {
                assert!(!self.paused, "sent while it is paused: {send:?}");
                match send.op {
                    Op::Action => self.action_sent(fact, send),
                    Op::Compensation => self.compensation_sent(fact.seq, send),
                }
            }
        }
        assert_eq!(self.status, state.status, "the facts tell the status");
        self.stands(state);
    }

    fn happened(&mut self, fact: &Fact) {
        if fact.kind.is_act() {
            self.acted(fact);
        }
        let resolved = self.resolving.take();
        let Some((at, op)) = fact.step.zip(fact.op) else {
            assert_eq!(resolved, None, "an operator's word is lost");
            self.no_output |= fact.kind == Kind::Unmappable;
            return;
        };
        if fact.kind == Kind::Resolve {
            self.resolving = Some((at, op));
        }
        if let Some(about) = resolved {
            assert_eq!(about, (at, op), "an operator spoke of something else");
            assert!(matches!(fact.kind, Kind::Done | Kind::Rejected), "{fact:?}");
        }
        let kind = self.outline.steps[at].kind;
        let book = &self.books[at];
        let again = book.done && op == Op::Action;
        assert!(!again, "step {at} is done, and {:?} after it", fact.kind);
        let skipped = if op == Op::Action { book.skipped } else { book.undo_skipped };
        assert!(!skipped, "step {at} is skipped, and {:?} after it", fact.kind);
        let settles = matches!(fact.kind, Kind::Done | Kind::Rejected);
        assert!(
            op == Op::Action || !settles || fact.attempt >= book.undo_from || resolved.is_some(),
            "step {at}: attempt {} at undoing may have run before the late success",
            fact.attempt
        );
        if matches!(fact.kind, Kind::Broke | Kind::TimedOut) && fact.next.due.is_none() {
            self.gave_up(at, op, fact);
        }
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
    }

    fn acted(&mut self, fact: &Fact) {
        assert!(!self.status.ended(), "an operator moved what has ended");
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
    }

    /// Patience ends with the last attempt that counts, with the time, or by turning back.
    fn gave_up(&self, at: usize, op: Op, fact: &Fact) {
        let (plan, book) = (&self.outline.steps[at], &self.books[at]);
        let (effort, most) = match op {
            Op::Action => (&book.action, plan.retry.attempts()),
            Op::Compensation => (&book.undo, plan.compensation_retry.attempts()),
        };
        let tries = fact.attempt - effort.before;
        let timed = op == Op::Action && (plan.within_ms.is_some() || self.turned);
        let deferred = effort.stand == Stand::Accepted;
        assert!(tries >= most || timed || deferred, "step {at} is given up after {tries} attempts");
    }

    fn action_sent(&mut self, fact: &Fact, send: &Send) {
        let now = fact.at;
        let plan = &self.outline.steps[send.step];
        let step = &plan.name;
        assert!(!self.turned, "{step} is asked for after turning back");
        let before =
            self.outline.steps.iter().zip(&self.books).filter(|(p, _)| p.stage < plan.stage);
        for (earlier, book) in before {
            let settled = book.done || book.skipped;
            assert!(settled, "{step} is asked for before {} is done", earlier.name);
        }
        let book = &mut self.books[send.step];
        assert!(!book.done && !book.skipped, "{step} is asked for, and needs nothing");
        let book = &mut book.action;
        assert_ne!(book.stand, Stand::InFlight, "{step} is asked for twice at once");
        assert_eq!(send.attempt, book.asked + 1, "{step}: attempts are numbered without gaps");
        let tries = send.attempt - book.before;
        assert!(tries <= plan.retry.attempts(), "{step} is asked for too often");
        assert_eq!(send.input.is_some(), send.attempt == 1, "{step}: its input, once");
        let first = *book.first_asked.get_or_insert(now);
        let limit = plan.within_ms.map(|ms| first + Duration::from_millis(ms));
        assert!(limit.is_none_or(|limit| now < limit), "{step} is asked for after its time");
        let timeout = now + Duration::from_millis(plan.attempt_timeout_ms);
        let due = limit.map_or(timeout, |limit| limit.min(timeout));
        assert_eq!(
            send.due,
            Some(due),
            "{step} may answer for its timeout, and not after its time"
        );
        if send.attempt == 1 {
            book.since = fact.seq;
        }
        book.asked = send.attempt;
        book.stand = Stand::InFlight;
    }

    fn compensation_sent(&mut self, seq: u32, send: &Send) {
        let plan = &self.outline.steps[send.step];
        let step = &plan.name;
        assert_eq!(plan.kind, StepKind::Compensatable, "{step} has no compensation");
        assert!(self.turned, "{step} is undone, but the saga has not turned back");
        let book = &self.books[send.step];
        assert!(book.action.asked > 0 && !book.refused, "{step} is undone for nothing");
        assert!(!book.undo_skipped, "{step} is undone, and an operator said to leave it");
        assert_eq!(send.attempt, book.undo.asked + 1, "{step}: attempts are numbered without gaps");
        let most = plan.compensation_retry.attempts() + book.lates;
        assert!(send.attempt - book.undo.before <= most, "{step} is undone too often");
        if send.attempt == 1 {
            for (other, book) in self.outline.steps.iter().zip(&self.books) {
                let in_flight = book.action.stand == Stand::InFlight;
                assert!(!in_flight, "{step} is undone while {} is in flight", other.name);
                let open = other.stage > plan.stage && book.exposed();
                assert!(!open, "{step} is undone before the later {}", other.name);
            }
        }
        let undo = &mut self.books[send.step].undo;
        if send.attempt == 1 {
            undo.since = seq;
        }
        undo.asked = send.attempt;
        undo.stand = Stand::InFlight;
    }

    fn entered(&mut self, status: Status, fact: &Fact, state: &State) {
        let error = fact.next.error.as_ref();
        match status {
            Status::Compensating | Status::Compensated => {
                assert!(self.turned || error.is_some(), "it turned back without a reason");
                self.turn_back();
            }
            Status::Paused if error.is_some() => {
                assert!(self.paused && !self.turned, "a pause needs no other reason than its act");
                self.saw("turned back while paused");
                self.turn_back();
            }
            Status::Stuck => {
                let error = error.expect("a stuck saga says why");
                let culprit = self.outline.position(&error.step).map(|at| &state.steps[at]);
                let given_up = culprit.map_or(state.no_output, |s| {
                    [s.action.phase, s.compensation.phase].contains(&Phase::GivenUp)
                });
                assert!(given_up, "it is stuck for another reason than {error:?}");
            }
            Status::Completed => assert!(fact.next.output.is_some(), "a completed saga answers"),
            _ => {}
        }
        if self.status == Status::Stuck {
            self.saw("stuck was healed");
        }
        self.status = status;
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
    fn stands(&self, state: &State) {
        assert_eq!(self.resolving, None, "an operator's word is lost");
        assert_eq!(self.paused, state.paused, "the facts tell whether it is paused");
        let held = matches!(state.status, Status::Stuck | Status::Paused);
        assert!(state.due().is_none() || !self.paused, "it would wake up in its pause");
        let rests = state.status.ended() || held;
        assert!(rests || state.due().is_some(), "it would sleep for ever: {state:#?}");
        match state.status {
            Status::Paused => assert!(self.paused, "nobody paused it"),
            Status::Completed => {
                let whole = |b: &Book| (b.done || b.skipped) && b.undo.asked == 0;
                assert!(self.books.iter().all(whole), "it ended before all was done");
            }
            Status::Compensated => {
                assert!(!self.books.iter().any(Book::exposed), "it ended before all was undone");
            }
            Status::Running | Status::Compensating => assert!(!self.paused, "it is paused"),
            _ => {}
        }
    }

    /// The body of a compensation says what is known of its action.
    pub(super) fn command(&self, step: usize, op: Op, body: &str) {
        let output = self.books[step].output.as_ref().map_or("null", Json::as_str);
        let told = op == Op::Action || body.ends_with(&format!(r#","output":{output}}}"#));
        assert!(told, "step {step} is undone without its output {output}: {body}");
    }

    /// A reply was taken, and will not be delivered again.
    pub(super) fn heard_ok(&mut self, step: usize, op: Op, attempt: u32) {
        let book = &self.books[step];
        match op {
            Op::Action => {
                let noted = book.done || book.skipped;
                assert!(noted, "step {step} was done, and nobody noted it");
            }
            Op::Compensation if book.undo_skipped => {}
            Op::Compensation => {
                let counts = attempt >= book.undo_from;
                assert!(!counts || book.undone, "step {step} was undone, and nobody noted it");
                if !counts {
                    self.saw("reply too old");
                }
            }
        }
    }

    /// The end of a run: what became of the effects.
    pub(super) fn end(&self, participants: &[Participant]) {
        let ended = self.status.ended() || self.status == Status::Stuck && !self.paused;
        assert!(ended, "nothing will ever happen again, and it is {}", self.status);
        for ((at, side), book) in participants.iter().enumerate().zip(&self.books) {
            let (applied, undone) = (side.applied, side.undone);
            let ledger = format!("step {at}: applied {applied}, undone {undone}");
            if side.character.naive {
                continue;
            }
            assert!(applied <= 1 && undone <= applied, "{ledger}");
            match self.status {
                Status::Completed if book.skipped => assert_eq!(undone, 0, "{ledger}"),
                Status::Completed => assert!(applied == 1 && undone == 0, "{ledger}"),
                Status::Compensated if book.undo_skipped => {}
                Status::Compensated => assert_eq!(applied, undone, "{ledger}"),
                _ => {}
            }
        }
    }
}
