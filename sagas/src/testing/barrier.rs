//! The participants' barrier, as `migrations/participant/0001_barrier.sql` has it: the same rows,
//! the same verdicts.

use std::{collections::BTreeMap, sync::Arc};

use crate::{AttemptId, Json, Op, SagaId, wire::Reply};

/// What to do with a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Do the business, then leave. For a compensation, what its action answered, if anything.
    Run(Option<Reply>),
    /// Do nothing; send this reply again.
    Replay(Reply),
    /// Do nothing; send this reply.
    Void(Reply),
}

/// An effect.
type Key = (SagaId, Arc<str>, Op);

/// One service's table `amends_barrier.effect`, and those of the others.
#[derive(Debug, Default)]
pub(crate) struct Barrier {
    rows: BTreeMap<Key, Option<Reply>>,
    /// What the transaction under way has inserted.
    entered: Vec<Key>,
}

fn key(id: &AttemptId, op: Op) -> Key {
    (id.saga, Arc::clone(&id.step), op)
}

/// The rejection of an action that comes after its compensation.
fn compensated() -> Reply {
    let message = "the step was compensated before this action came".to_owned();
    Reply::Rejected { code: "compensated".into(), message }
}

fn is_compensated(reply: Option<&Reply>) -> bool {
    matches!(reply, Some(Reply::Rejected { code, .. }) if code == "compensated")
}

fn done() -> Reply {
    Reply::Ok(Json::null())
}

impl Barrier {
    /// `amends_barrier.enter`: the first statement of a command's transaction.
    pub(crate) fn enter(&mut self, id: &AttemptId) -> Verdict {
        self.entered.clear();
        let undo = id.op == Op::Compensation;
        let action = key(id, Op::Action);
        if !self.rows.contains_key(&action) {
            self.insert(action, undo.then(compensated));
            return if undo { Verdict::Void(done()) } else { Verdict::Run(None) };
        }
        let answered = self.rows.get(&action).cloned().flatten();
        if undo { self.enter_compensation(id, answered) } else { self.enter_action(id, answered) }
    }

    fn enter_compensation(&mut self, id: &AttemptId, action: Option<Reply>) -> Verdict {
        if matches!(action, Some(Reply::Rejected { .. })) {
            return Verdict::Void(done());
        }
        let row = key(id, Op::Compensation);
        if !self.rows.contains_key(&row) {
            self.insert(row, None);
            return Verdict::Run(action);
        }
        match self.rows.get(&row).cloned().flatten() {
            Some(reply) => Verdict::Replay(reply),
            None => Verdict::Run(action),
        }
    }

    fn enter_action(&self, id: &AttemptId, action: Option<Reply>) -> Verdict {
        let undone = self.rows.contains_key(&key(id, Op::Compensation));
        if undone || is_compensated(action.as_ref()) {
            return Verdict::Void(compensated());
        }
        match action {
            None => Verdict::Run(None),
            Some(reply) => Verdict::Replay(reply),
        }
    }

    fn insert(&mut self, row: Key, reply: Option<Reply>) {
        self.entered.push(row.clone());
        self.rows.insert(row, reply);
    }

    /// The transaction is rolled back.
    pub(crate) fn roll_back(&mut self) {
        for row in self.entered.drain(..) {
            self.rows.remove(&row);
        }
    }

    /// `amends_barrier.leave`: the last statement. False when it raises: another reply is remembered,
    /// or the action was compensated meanwhile.
    pub(crate) fn leave(&mut self, id: &AttemptId, reply: &Reply) -> bool {
        let row = key(id, id.op);
        let final_reply = self.remembered(id).is_some_and(Reply::settles);
        let undone = id.op == Op::Action && self.rows.contains_key(&key(id, Op::Compensation));
        if final_reply || undone {
            return self.remembered(id) == Some(reply);
        }
        self.rows.insert(row, Some(reply.clone()));
        true
    }

    /// What an effect answered.
    pub(crate) fn remembered(&self, id: &AttemptId) -> Option<&Reply> {
        self.rows.get(&key(id, id.op))?.as_ref()
    }

    /// The answer to work that was accepted and is to be done now, if it must not be done any more:
    /// it is settled already, or undone.
    pub(crate) fn settled(&self, id: &AttemptId) -> Option<Reply> {
        let remembered = self.remembered(id).filter(|reply| reply.settles());
        let undone = id.op == Op::Action && self.rows.contains_key(&key(id, Op::Compensation));
        remembered.cloned().or_else(|| undone.then(compensated))
    }

    /// A person settles an effect by hand, or has a row removed.
    pub(crate) fn by_hand(&mut self, id: &AttemptId, reply: Option<Reply>) {
        match reply {
            Some(reply) => self.rows.insert(key(id, id.op), Some(reply)).map(drop),
            None => self.rows.remove(&key(id, id.op)).map(drop),
        };
    }
}

impl Reply {
    /// Whether it is a final word.
    pub(crate) const fn settles(&self) -> bool {
        matches!(self, Self::Ok(_) | Self::Rejected { .. })
    }
}
