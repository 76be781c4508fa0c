//! What is under way: lost, doubled, delayed and reordered, as the schedule of faults says and at random.

use std::time::Duration;

use super::{
    message::{LogLine, Message},
    schedule::Fate,
    sim::Sim,
};
use crate::{
    AttemptId, Op, SagaId,
    machine::{Phase, Time},
};

impl Sim<'_> {
    /// Into the pipe, with what the schedule has for it.
    pub(super) fn fated(&mut self, fate: Fate, id: &AttemptId, message: Message) {
        if fate != Fate::Arrives {
            self.note(|| format!("       FAULT {fate:?}: {}", LogLine(&message)));
        }
        match fate {
            Fate::Arrives => self.send(id.saga, message),
            Fate::Lost => {}
            Fate::Twice => {
                self.post(id.saga, message.clone());
                self.post(id.saga, message);
            }
            Fate::AfterTimeout => {
                let at = self.deadline(id).unwrap_or(self.now) + Duration::from_millis(1);
                self.pipe.push((at, id.saga, message));
            }
            Fate::AfterGivenUp | Fate::AtLast => {
                self.held.push((fate, id.saga, id.clone(), message));
            }
        }
    }

    fn deadline(&self, id: &AttemptId) -> Option<Time> {
        self.sagas.get(&id.saga)?.op(id)?.due
    }

    /// Lets go what was held back: for ever, or until its action is given up.
    pub(super) fn release(&mut self, now: Fate) -> bool {
        let held = std::mem::take(&mut self.held);
        let before = self.pipe.len();
        for (fate, saga, id, message) in held {
            if now == Fate::AtLast || (fate == Fate::AfterGivenUp && self.gave_up(&id)) {
                self.post(saga, message);
            } else {
                self.held.push((fate, saga, id, message));
            }
        }
        self.pipe.len() > before
    }

    fn gave_up(&self, id: &AttemptId) -> bool {
        let Some(saga) = self.sagas.get(&id.saga) else { return true };
        let phase = saga.op(id).map(|op| op.phase);
        !matches!(phase, Some(Phase::InFlight | Phase::Backoff | Phase::Pending))
    }

    /// Into the pipe: lost, doubled or delayed at random.
    pub(super) fn send(&mut self, saga: SagaId, message: Message) {
        match self.random.pick(20) {
            17 => return self.note(|| format!("       lost: {}", LogLine(&message))),
            18 => self.post(saga, message.clone()),
            19 => (0..3).for_each(|_| self.post(saga, message.clone())),
            _ => {}
        }
        self.post(saga, message);
    }

    pub(super) fn post(&mut self, saga: SagaId, message: Message) {
        let delay =
            [1, 1, 1, 1, 1, 2, 3, 10, 10, 20, 300, 1_000, 5_000, 30_000, 120_000, 100_000_000]
                [self.random.pick(16)];
        self.pipe.push((self.now + Duration::from_millis(delay), saga, message));
    }

    /// In some time.
    pub(super) fn post_in(&mut self, delay: Duration, saga: SagaId, message: Message) {
        self.pipe.push((self.now + delay, saga, message));
    }

    /// Once nothing else happens.
    pub(super) fn hold_back(&mut self, saga: SagaId, message: Message) {
        let id = AttemptId { saga, step: "".into(), op: Op::Action, attempt: 1 };
        self.held.push((Fate::AtLast, saga, id, message));
    }

    /// At once, before whatever is under way.
    pub(super) fn post_now(&mut self, saga: SagaId, message: Message) {
        self.pipe.push((self.now, saga, message));
    }
}
