//! What is under way between replicas, services and the outside.

use amends::{Op, machine::Time};

/// A sending of an operation, by positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Attempt {
    pub(crate) saga: u8,
    pub(crate) step: u8,
    pub(crate) op: Op,
    pub(crate) attempt: u8,
}

/// What a service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// Done.
    Ok,
    /// Rejected by the service's rules.
    Rejected,
    /// Refused by the barrier.
    Compensated,
    /// The attempt broke.
    Retry,
    /// Accepted.
    Pending,
}

impl Answer {
    /// Whether it is a final word.
    pub(crate) const fn settles(self) -> bool {
        matches!(self, Self::Ok | Self::Rejected | Self::Compensated)
    }
}

/// A message in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Message {
    /// Starts a saga.
    Trigger(u8),
    /// Something that a step waits for, and when it was stored.
    Event(u8, Time),
    /// For a service.
    Command(Attempt),
    /// Of a service, and when it was stored.
    Reply(Attempt, Answer, Time),
}

/// The streams: what is stored and not acked, in no order, with copies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Pipe(Vec<Message>);

impl Pipe {
    /// The messages, each once.
    pub(crate) fn each(&self) -> impl Iterator<Item = Message> + '_ {
        let first = |at: usize| at == 0 || self.0[at] != self.0[at - 1];
        (0..self.0.len()).filter(move |at| first(*at)).map(|at| self.0[at])
    }

    pub(crate) fn copies(&self, message: Message) -> usize {
        self.0.iter().filter(|other| **other == message).count()
    }

    /// Stores a message, but no copy of one that is there.
    pub(crate) fn publish(&mut self, message: Message) {
        if self.copies(message) == 0 {
            self.double(message);
        }
    }

    pub(crate) fn double(&mut self, message: Message) {
        let at = self.0.partition_point(|other| *other < message);
        self.0.insert(at, message);
    }

    pub(crate) fn remove(&mut self, message: Message) {
        if let Some(at) = self.0.iter().position(|other| *other == message) {
            self.0.remove(at);
        }
    }
}
