//! What is under way between orchestrators, services and people.

use std::fmt;

use crate::{
    AttemptId,
    machine::{Command, OperatorAct, ReplyEvent, Time},
    turn::Due,
};

#[derive(Debug, Clone)]
pub(super) enum Message {
    Trigger,
    Command(Command),
    /// A reply, and when its stream stores it.
    Reply(AttemptId, ReplyEvent, Time),
    Act(OperatorAct),
    /// A service does what it has accepted.
    Finish(AttemptId, String),
    /// Somebody publishes an event that steps wait for.
    Published(usize),
    /// Whoever held a lock lets it go, and wakes the saga that comes next.
    LockIsFree,
    /// A timer that was taken, and waits in a lane.
    Fired(Due),
}

/// A message as a line of the log.
pub(super) struct LogLine<'a>(pub(super) &'a Message);

impl fmt::Display for LogLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |id: &AttemptId| format!("{}:{}:{}", id.step, id.op, id.attempt);
        match self.0 {
            Message::Trigger => write!(f, "trigger"),
            Message::Command(command) => write!(f, "command {}", short(&command.id)),
            Message::Reply(id, event, _) => write!(f, "reply   {}  {:?}", short(id), event.reply),
            Message::Act(event) => write!(f, "act     {:?} by {}", event.command, event.by),
            Message::Finish(id, _) => write!(f, "finish  {}", short(id)),
            Message::Published(n) => write!(f, "event   {n} is published"),
            Message::LockIsFree => write!(f, "lock    let go by another saga"),
            Message::Fired(due) => write!(f, "timer   of {} fired", due.saga),
        }
    }
}
