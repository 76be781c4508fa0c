//! What must hold of every turn, judged from the facts alone: the checker keeps books of its own,
//! and never asks the machine's state what is allowed.

use std::time::Duration;

use super::{participant::Participant, world::Seen};
use crate::{
    Json, Op, Outline, StepKind,
    machine::{Fact, Kind, Phase, Send, State, Status, Time},
};

#[derive(Default)]
struct Book {
    asked: u32,
    first_asked: Option<Time>,
    in_flight: bool,
    done: bool,
    /// Said no, or was never asked for because its input is unmappable.
    refused: bool,
    output: Option<Json>,
    undo_asked: u32,
    undone: bool,
    /// The first attempt at undoing that counts after a late success.
    undo_from: u32,
    lates: u32,
}

pub(super) struct Checker {
    outline: Outline,
    books: Vec<Book>,
    turned: bool,
    status: Status,
    pub(super) seen: Seen,
}

impl Checker {
    pub(super) fn new(outline: &Outline) -> Self {
        let books = outline.steps.iter().map(|_| Book::default()).collect();
        Self {
            outline: outline.clone(),
            books,
            turned: false,
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
                match send.op {
                    Op::Action => self.action_sent(fact.at, send),
                    Op::Compensation => self.compensation_sent(send),
                }
            }
        }
        assert_eq!(self.status, state.status, "the facts tell the status");
        self.stands(state);
    }

    fn happened(&mut self, fact: &Fact) {
        let Some((at, op)) = fact.step.zip(fact.op) else { return };
        let book = &mut self.books[at];
        if op == Op::Compensation {
            let settles = matches!(fact.kind, Kind::Done | Kind::Rejected);
            assert!(
                !settles || fact.attempt >= book.undo_from,
                "step {at}: attempt {} at undoing may have run before the late success",
                fact.attempt
            );
            book.undone |= fact.kind == Kind::Done;
            return;
        }
        assert!(!book.done, "step {at} is done, and {:?} after it", fact.kind);
        book.in_flight &= fact.kind == Kind::Resumed;
        match fact.kind {
            Kind::Done | Kind::Late => {
                (book.done, book.refused) = (true, false);
                book.output.clone_from(&fact.detail);
            }
            Kind::Rejected | Kind::Unmappable => book.refused = true,
            _ => {}
        }
        let compensatable = self.outline.steps[at].kind == StepKind::Compensatable;
        let broke = matches!(fact.kind, Kind::Broke | Kind::TimedOut | Kind::Pending);
        if broke && fact.next.due.is_none() && compensatable {
            self.saw("unknown");
        }
        let book = &mut self.books[at];
        if fact.kind == Kind::Late {
            book.undone = false;
            book.undo_from = book.undo_asked + 1;
            book.lates += 1;
            if !compensatable {
                self.saw("late, not compensatable");
            }
        }
    }

    fn action_sent(&mut self, now: Time, send: &Send) {
        let plan = &self.outline.steps[send.step];
        let step = &plan.name;
        assert!(!self.turned, "{step} is asked for after turning back");
        let before =
            self.outline.steps.iter().zip(&self.books).filter(|(p, _)| p.stage < plan.stage);
        for (earlier, book) in before {
            assert!(book.done, "{step} is asked for before {} is done", earlier.name);
        }
        let book = &mut self.books[send.step];
        assert!(!book.done && !book.in_flight, "{step} is asked for twice at once");
        assert_eq!(send.attempt, book.asked + 1, "{step}: attempts are numbered without gaps");
        assert!(send.attempt <= plan.retry.attempts(), "{step} is asked for too often");
        assert_eq!(send.input.is_some(), send.attempt == 1, "{step}: its input, once");
        let first = *book.first_asked.get_or_insert(now);
        let limit = plan.within_ms.map(|ms| first + Duration::from_millis(ms));
        assert!(limit.is_none_or(|limit| now < limit), "{step} is asked for after its time");
        assert!(limit.is_none_or(|limit| send.due <= limit), "{step} may answer after its time");
        assert!(send.due <= now + Duration::from_millis(plan.attempt_timeout_ms));
        book.asked = send.attempt;
        book.in_flight = true;
    }

    fn compensation_sent(&mut self, send: &Send) {
        let plan = &self.outline.steps[send.step];
        let step = &plan.name;
        assert_eq!(plan.kind, StepKind::Compensatable, "{step} has no compensation");
        assert!(self.turned, "{step} is undone, but the saga has not turned back");
        let book = &self.books[send.step];
        assert!(book.asked > 0 && !book.refused, "{step} is undone for nothing");
        assert_eq!(send.attempt, book.undo_asked + 1, "{step}: attempts are numbered without gaps");
        let most = plan.compensation_retry.attempts() + book.lates;
        assert!(send.attempt <= most, "{step} is undone too often");
        if send.attempt == 1 {
            for (other, book) in self.outline.steps.iter().zip(&self.books) {
                assert!(!book.in_flight, "{step} is undone while {} is in flight", other.name);
                let open = book.asked > 0 && !book.refused && !book.undone;
                let later = other.stage > plan.stage;
                assert!(!(later && open), "{step} is undone before the later {}", other.name);
            }
        }
        self.books[send.step].undo_asked = send.attempt;
    }

    fn entered(&mut self, status: Status, fact: &Fact, state: &State) {
        let error = fact.next.error.as_ref();
        match status {
            Status::Compensating | Status::Compensated => {
                assert!(self.turned || error.is_some(), "it turned back without a reason");
                self.turned = true;
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

    /// What must hold between turns.
    fn stands(&self, state: &State) {
        let rests = state.status.ended() || state.status == Status::Stuck;
        assert!(rests || state.due().is_some(), "it would sleep for ever: {state:#?}");
        match state.status {
            Status::Completed => assert!(self.books.iter().all(|b| b.done && b.undo_asked == 0)),
            Status::Compensated => {
                let undone = |b: &Book| b.asked == 0 || b.refused || b.undone;
                assert!(self.books.iter().all(undone), "it ended before all was undone");
            }
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
            Op::Action => assert!(book.done, "step {step} was done, and nobody noted it"),
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
        let ended = self.status.ended() || self.status == Status::Stuck;
        assert!(ended, "nothing will ever happen again, and it is {}", self.status);
        for (at, side) in participants.iter().enumerate() {
            let (applied, undone) = (side.applied, side.undone);
            let ledger = format!("step {at}: applied {applied}, undone {undone}");
            if side.character.naive {
                continue;
            }
            assert!(applied <= 1 && undone <= applied, "{ledger}");
            match self.status {
                Status::Completed => assert!(applied == 1 && undone == 0, "{ledger}"),
                Status::Compensated => assert_eq!(applied, undone, "{ledger}"),
                _ => {}
            }
        }
    }
}
