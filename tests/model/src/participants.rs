//! The services: their barrier, and what they have done.

use amends::Op;

use crate::{
    happened::{Happened, Seen},
    message::Answer,
};

/// One step's rows in the barrier, and its effects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Effect {
    pub(crate) applied: u8,
    pub(crate) undone: u8,
    action: Option<Row>,
    compensation: Option<Row>,
    /// A person had a hand in it.
    pub(crate) by_hand: bool,
}

/// A row of the barrier: what was answered, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Row(Option<Answer>);

/// What to do with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Run,
    Answer(Answer),
}

impl Effect {
    /// `amends_barrier.enter`, without what it writes.
    pub(crate) fn verdict(&self, op: Op) -> Verdict {
        let action = self.action.and_then(|row| row.0);
        match (op, self.action) {
            (Op::Action, None) => Verdict::Run,
            (Op::Compensation, None) => Verdict::Answer(Answer::Ok),
            (Op::Compensation, _)
                if matches!(action, Some(Answer::Rejected | Answer::Compensated)) =>
            {
                Verdict::Answer(Answer::Ok)
            }
            (Op::Compensation, _) => {
                self.compensation.and_then(|row| row.0).map_or(Verdict::Run, Verdict::Answer)
            }
            (Op::Action, _)
                if self.compensation.is_some() || action == Some(Answer::Compensated) =>
            {
                Verdict::Answer(Answer::Compensated)
            }
            (Op::Action, _) => action.map_or(Verdict::Run, Verdict::Answer),
        }
    }

    /// A command's transaction: enter, the business, which answers `wanted`, and leave.
    pub(crate) fn serve(&mut self, op: Op, wanted: Answer, seen: &mut Seen) -> Answer {
        if let Verdict::Answer(answer) = self.verdict(op) {
            match (op, self.action) {
                (Op::Compensation, None) => {
                    seen.add(Happened::EmptyUndo);
                    self.action = Some(Row(Some(Answer::Compensated)));
                }
                (Op::Action, _) if answer == Answer::Compensated => {
                    seen.add(Happened::RefusedAction);
                }
                _ => seen.add(Happened::Replayed),
            }
            return answer;
        }
        // What was accepted and not done yet is called off: there is nothing to undo.
        let nothing = op == Op::Compensation && self.is_accepted(Op::Action);
        match (op, wanted) {
            // All is rolled back.
            (_, Answer::Retry) | (Op::Compensation, Answer::Rejected) => {}
            (Op::Action, answer) => self.action = Some(Row(Some(answer))),
            (Op::Compensation, answer) => self.compensation = Some(Row(Some(answer))),
        }
        if wanted == Answer::Ok && !nothing {
            self.done(op);
        }
        wanted
    }

    const fn done(&mut self, op: Op) {
        match op {
            Op::Action => self.applied = self.applied.saturating_add(1),
            Op::Compensation => self.undone = self.undone.saturating_add(1),
        }
    }

    /// Whether the service has accepted an operation that it is to do yet.
    pub(crate) fn is_accepted(&self, op: Op) -> bool {
        self.row(op) == Some(Row(Some(Answer::Pending)))
    }

    const fn row(&self, op: Op) -> Option<Row> {
        match op {
            Op::Action => self.action,
            Op::Compensation => self.compensation,
        }
    }

    /// What was accepted is done now, unless it was undone meanwhile.
    pub(crate) fn finish(&mut self, op: Op) -> Answer {
        if op == Op::Action && self.compensation.is_some() {
            return Answer::Compensated;
        }
        // What was called off before it was done has nothing to undo.
        if !(op == Op::Compensation && self.is_accepted(Op::Action)) {
            self.done(op);
        }
        match op {
            Op::Action => self.action = Some(Row(Some(Answer::Ok))),
            Op::Compensation => self.compensation = Some(Row(Some(Answer::Ok))),
        }
        Answer::Ok
    }

    /// A person does it, or sees to it that it is never done, and says so.
    pub(crate) fn by_hand(&mut self, op: Op, yes: bool) -> Answer {
        self.by_hand = true;
        let action = self.action.and_then(|row| row.0).filter(|answer| answer.settles());
        match (op, action) {
            (Op::Compensation, _) => {
                if self.applied > self.undone {
                    self.done(op);
                } else if action.is_none() {
                    self.action = Some(Row(Some(Answer::Compensated)));
                }
                self.compensation = Some(Row(Some(Answer::Ok)));
                Answer::Ok
            }
            (Op::Action, Some(answer)) => answer,
            (Op::Action, None) if yes && self.compensation.is_none() => {
                self.done(op);
                self.action = Some(Row(Some(Answer::Ok)));
                Answer::Ok
            }
            (Op::Action, None) => {
                self.action = Some(Row(Some(Answer::Compensated)));
                Answer::Compensated
            }
        }
    }

    /// Whether an effect stands.
    pub(crate) const fn stands(&self) -> bool {
        self.applied > self.undone
    }

    /// The rows that a barrier without a memory would have.
    pub(crate) const fn forget(&mut self) {
        (self.action, self.compensation) = (None, None);
    }
}
