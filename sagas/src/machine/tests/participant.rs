//! A service as the orchestrator sees it: the barrier of `amends_barrier.enter` and `leave`, and a
//! ledger of the effects. A naive one has no barrier, and does whatever comes.

use std::time::Duration;

use proptest::prelude::*;

use super::plans::UNREADABLE;
use crate::{Json, Op, wire::Reply};

/// How a participant does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Ok,
    /// Says ok with an output that no mapping can read.
    Unreadable,
    Rejects,
    /// Refuses the first time, but has no barrier to keep it to its word.
    Fickle,
    /// Breaks so many times first.
    Breaks(u32),
    /// Accepts, and does it after so many seconds, or refuses after all, or forgets it.
    Accepts(u32),
    RefusesLater(u32),
    Forgets,
    /// Does it, but its replies never arrive.
    Mute,
    /// Does nothing.
    Dead,
}

/// How it undoes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undoing {
    Breaks(u32),
    Accepts(u32),
    Rejects,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Character {
    pub(super) manner: Manner,
    pub(super) undoing: Undoing,
    pub(super) naive: bool,
}

pub(super) fn character() -> impl Strategy<Value = Character> {
    let manner = prop_oneof![
        40 => Just(Manner::Ok),
        1 => Just(Manner::Unreadable),
        1 => Just(Manner::Rejects),
        2 => Just(Manner::Fickle),
        2 => (1_u32..4).prop_map(Manner::Breaks),
        2 => (0_u32..100).prop_map(Manner::Accepts),
        1 => (0_u32..100).prop_map(Manner::RefusesLater),
        1 => Just(Manner::Forgets),
        1 => Just(Manner::Mute),
        1 => Just(Manner::Dead),
    ];
    let undoing = prop_oneof![
        10 => Just(Undoing::Breaks(0)),
        2 => (1_u32..4).prop_map(Undoing::Breaks),
        1 => (0_u32..100).prop_map(Undoing::Accepts),
        1 => Just(Undoing::Rejects),
    ];
    let naive = prop::bool::weighted(0.15);
    (manner, undoing, naive).prop_map(|(manner, undoing, naive)| Character {
        manner,
        undoing,
        naive: naive || manner == Manner::Fickle,
    })
}

/// What follows from a command.
pub(super) enum Answer {
    Reply(Reply),
    /// `pending`, and [`Participant::finish`] after the delay.
    Later(Duration),
    Silence,
}

pub(super) struct Participant {
    at: usize,
    pub(super) character: Character,
    action: Option<Reply>,
    undo: Option<Reply>,
    /// The compensation came first: the action must not take effect any more.
    tombstone: bool,
    tries: [u32; 2],
    /// The ledger.
    pub(super) applied: u32,
    pub(super) undone: u32,
}

impl Participant {
    pub(super) fn new(at: usize, character: Character) -> Self {
        let (action, undo) = (None, None);
        Self { at, character, action, undo, tombstone: false, tries: [0; 2], applied: 0, undone: 0 }
    }

    pub(super) fn command(&mut self, op: Op) -> Answer {
        let remembered = if op == Op::Action { &self.action } else { &self.undo };
        if let Some(reply) = remembered
            && !self.character.naive
        {
            return self.heard(op, reply.clone());
        }
        let reply = if op == Op::Action { self.act() } else { self.compensate() };
        match reply {
            Ok(reply) => {
                if !matches!(reply, Reply::Retry { .. }) {
                    self.remember(op, reply.clone());
                }
                self.heard(op, reply)
            }
            Err(delay) => {
                self.remember(op, Reply::Pending);
                delay.map_or(Answer::Reply(Reply::Pending), Answer::Later)
            }
        }
    }

    /// The deferred work is done now, unless it was undone before.
    pub(super) fn finish(&mut self, op: Op) -> Option<Reply> {
        let remembered = if op == Op::Action { &self.action } else { &self.undo };
        if !self.character.naive && remembered.as_ref().is_some_and(Reply::settles) {
            return remembered.clone(); // an operator did it by hand
        }
        let reply = match (op, self.character.manner) {
            (Op::Action, _) if self.tombstone && !self.character.naive => void(),
            (Op::Action, Manner::RefusesLater(_)) => no("changed_my_mind"),
            (Op::Action, _) => self.apply(),
            (Op::Compensation, _) => self.revert(),
        };
        self.remember(op, reply.clone());
        match self.heard(op, reply) {
            Answer::Reply(reply) => Some(reply),
            _ => None,
        }
    }

    /// An operator does it, or sees to it that it is never done, and says so.
    pub(super) fn by_hand(&mut self, op: Op, yes: bool) -> Reply {
        let remembered = self.action.clone().filter(Reply::settles);
        let reply = match (op, remembered) {
            (Op::Compensation, _) if self.applied > self.undone => self.revert(),
            (Op::Compensation, _) => {
                self.tombstone = true;
                Reply::Ok(Json::null())
            }
            (Op::Action, Some(reply)) if !self.character.naive => reply,
            (Op::Action, _) if yes && !self.tombstone => self.apply(),
            (Op::Action, _) => {
                self.tombstone = true;
                void()
            }
        };
        self.remember(op, reply.clone());
        reply
    }

    /// The service is repaired: what it broke, forgot or refused although it must be, is done now.
    pub(super) fn heal(&mut self, retriable: bool) {
        self.character = Character { naive: self.character.naive, ..GOOD };
        let refused = |reply: &Reply| matches!(reply, Reply::Rejected { .. });
        self.action.take_if(|reply| !reply.settles() || (retriable && refused(reply)));
        self.undo.take_if(|reply| !matches!(reply, Reply::Ok(_)));
    }

    fn heard(&self, op: Op, reply: Reply) -> Answer {
        let mute = op == Op::Action && matches!(self.character.manner, Manner::Mute | Manner::Dead);
        if mute { Answer::Silence } else { Answer::Reply(reply) }
    }

    fn remember(&mut self, op: Op, reply: Reply) {
        *(if op == Op::Action { &mut self.action } else { &mut self.undo }) = Some(reply);
    }

    fn act(&mut self) -> Result<Reply, Option<Duration>> {
        if self.tombstone && !self.character.naive {
            return Ok(void());
        }
        self.tries[0] += 1;
        Ok(match self.character.manner {
            Manner::Rejects => no("no"),
            Manner::Fickle if self.tries[0] == 1 => no("not_now"),
            Manner::Breaks(times) if self.tries[0] <= times => broken(),
            Manner::Dead => broken(),
            Manner::Accepts(delay) | Manner::RefusesLater(delay) => {
                return Err(Some(Duration::from_secs(delay.into())));
            }
            Manner::Forgets => return Err(None),
            Manner::Ok | Manner::Unreadable | Manner::Breaks(_) | Manner::Mute | Manner::Fickle => {
                self.apply()
            }
        })
    }

    fn compensate(&mut self) -> Result<Reply, Option<Duration>> {
        if self.applied == 0 && !self.character.naive {
            self.tombstone = true;
            return Ok(Reply::Ok(Json::null()));
        }
        self.tries[1] += 1;
        match self.character.undoing {
            Undoing::Breaks(times) if self.tries[1] <= times => Ok(broken()),
            Undoing::Breaks(_) => Ok(self.revert()),
            Undoing::Accepts(delay) => Err(Some(Duration::from_secs(delay.into()))),
            Undoing::Rejects => Ok(no("cannot_undo")),
        }
    }

    fn apply(&mut self) -> Reply {
        self.applied += 1;
        let at = self.at;
        Reply::Ok(match self.character.manner {
            Manner::Unreadable => Json::trusted(UNREADABLE),
            _ if at.is_multiple_of(5) => Json::null(),
            _ => Json::trusted(&format!(r#"{{"done":{at}}}"#)),
        })
    }

    fn revert(&mut self) -> Reply {
        self.undone += 1;
        Reply::Ok(Json::null())
    }
}

impl Reply {
    const fn settles(&self) -> bool {
        matches!(self, Self::Ok(_) | Self::Rejected { .. })
    }
}

fn broken() -> Reply {
    Reply::Retry { message: "try again".into(), after: None }
}

fn no(code: &str) -> Reply {
    Reply::Rejected { code: code.into(), message: String::new() }
}

fn void() -> Reply {
    no("void")
}

pub(super) const GOOD: Character =
    Character { manner: Manner::Ok, undoing: Undoing::Breaks(0), naive: false };
