//! A lane owns the sagas whose ids hash to it: it takes the events that wait, has them decided as one
//! [`Batch`](amends::turn::Batch) on cached states, writes what follows in one statement, and hands over
//! what is to be published.

mod cache;
mod inbox;
mod load;
mod log;
mod park;
mod queue;
mod settle;

use amends::{
    SagaId,
    turn::{self, Input, Instance},
};
use std::sync::Arc;

use crate::{
    admission::{Class, Place},
    bus::Delivery,
};
pub(crate) use queue::Receiver;
use queue::{Sender, queue};
pub(crate) use settle::Lane;

/// Events decided in one statement at most: more makes a batch slower than it saves round trips.
pub(crate) const BATCH_MAX: usize = 500;

/// Messages of a definition that may wait before a lane; then their listener waits. As many as a listener has in
/// hand: who listens to replies never waits, as those of other definitions come after it.
const QUEUE_MAX: usize = 5_000;

/// States from the lane of timers that may wait before a lane.
const STATES_MAX: usize = 1_000;

/// Timers decided in one statement at most, and as many may wait: few, as each batch is a burst of
/// reading and publishing that the other lanes feel.
const TIMERS_MAX: usize = 25;

/// Something for a lane, and the message that it came in.
pub(crate) struct Item {
    pub(crate) incoming: Incoming,
    /// Acked when all is done; absent for timers.
    pub(crate) delivery: Option<Delivery>,
    /// The definition, for taking turns.
    pub(crate) class: Class,
    /// Room for the saga that it begins.
    pub(crate) _place: Option<Place>,
}

pub(crate) enum Incoming {
    /// Something for a saga.
    Turn(turn::Item),
    /// A message for another replica, about this saga.
    Leave(SagaId),
    /// A message that could not be read, with the reason, and the saga that it would have been about.
    Dead(SagaId, String),
}

impl Item {
    /// A message for a saga.
    pub(crate) const fn new(saga: SagaId, input: Input, delivery: Option<Delivery>) -> Self {
        Self::of(Incoming::Turn(turn::Item { saga, input }), delivery)
    }

    pub(crate) const fn of(incoming: Incoming, delivery: Option<Delivery>) -> Self {
        Self { incoming, delivery, class: 0, _place: None }
    }

    /// The saga, which names the lane.
    pub(crate) const fn saga(&self) -> SagaId {
        match &self.incoming {
            Incoming::Turn(item) => item.saga,
            Incoming::Leave(saga) | Incoming::Dead(saga, _) => *saga,
        }
    }
}

/// The lanes of this process. Messages go to the lane of their saga. Timers go to a lane of their own,
/// as a saga that is woken has to be read first: ten thousand that break at once, because a service
/// hangs, must not hold up the replies of others. To the other lanes that one is like another replica,
/// but for the states that it hands over to them.
#[derive(Clone)]
pub(crate) struct Lanes {
    messages: MessageLanes,
    timers: Arc<Sender<LaneInput>>,
}

/// What a lane takes from its queue.
#[expect(clippy::large_enum_variant, reason = "nearly all are items")]
pub(crate) enum LaneInput {
    Item(Item),
    /// The state of one of its sagas after a turn in another lane.
    State(SagaId, Box<Instance>),
}

/// The way to the lanes of messages.
#[derive(Clone)]
pub(crate) struct MessageLanes {
    queues: Arc<[Sender<LaneInput>]>,
}

impl MessageLanes {
    /// The queue of a saga's lane.
    fn of(&self, saga: SagaId) -> Option<&Sender<LaneInput>> {
        // The last bytes of the id are a hash already.
        let hash = saga.0.as_u128() as usize;
        self.queues.get(hash % self.queues.len())
    }

    /// Hands a state to the lane that gets the saga's next message; without room that reads it.
    fn hand_over(&self, saga: SagaId, instance: Instance) {
        if let Some(queue) = self.of(saga) {
            queue.try_send(0, LaneInput::State(saga, Box::new(instance)), STATES_MAX).ok();
        }
    }
}

/// The ends of the queues that the lanes take from.
pub(crate) struct Queues {
    pub(crate) messages: Vec<Receiver<LaneInput>>,
    /// Of the lane of timers, with those that it hands states over to.
    pub(crate) timers: (Receiver<LaneInput>, MessageLanes),
}

impl Lanes {
    /// `count` lanes, in which so many classes take turns, and one for timers; and where each takes its items from.
    pub(crate) fn new(count: usize, classes: usize) -> (Self, Queues) {
        let (senders, receivers): (Vec<_>, _) =
            (0..count.max(1)).map(|_| queue(classes, QUEUE_MAX)).unzip();
        let (timers, fired) = queue(1, TIMERS_MAX);
        let messages = MessageLanes { queues: senders.into() };
        let queues = Queues { messages: receivers, timers: (fired, messages.clone()) };
        (Self { messages, timers: Arc::new(timers) }, queues)
    }

    /// Hands an item to its lane; waits while its part of that is full.
    pub(crate) async fn send(&self, item: Item) {
        let queue = match item.incoming {
            Incoming::Turn(turn::Item { input: Input::Timer(_), .. }) => Some(&*self.timers),
            _ => self.messages.of(item.saga()),
        };
        if let Some(queue) = queue
            && queue.send(item.class, LaneInput::Item(item)).await.is_err()
        {
            tracing::debug!("a lane has ended; the message will be delivered again");
        }
    }
}
