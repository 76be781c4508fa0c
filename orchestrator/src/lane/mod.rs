//! A lane owns the sagas whose ids hash to it: it takes the events that wait, decides them all on
//! cached state, writes them in one statement, and hands over what is to be published.

mod cache;
mod draft;
mod look;
mod news;
mod park;
mod turn;
mod wake;

use amends::{Definition, Json, SagaId, TraceParent, machine::ReplyEvent};
use std::sync::Arc;
use tokio::sync::mpsc;

use crate::{
    bus::{Delivery, Outgoing},
    store::Due,
};
use cache::Entry;
pub(crate) use turn::Lane;

/// Events decided in one statement at most: more makes a batch slower than it saves round trips.
pub(crate) const BATCH_MAX: usize = 500;

/// Events that may wait before a lane; then its listeners wait.
const QUEUE_MAX: usize = 2 * BATCH_MAX;

/// Timers decided in one statement at most, and as many may wait: few, as each batch is a burst of
/// reading and publishing that the other lanes feel.
const TIMERS_MAX: usize = 25;

/// Something for a saga, and the message that it came in.
pub(crate) struct Item {
    /// The saga, which names the lane.
    pub(crate) saga: SagaId,
    pub(crate) incoming: Incoming,
    /// Acked when all is done; absent for timers.
    pub(crate) delivery: Option<Delivery>,
}

pub(crate) enum Incoming {
    /// A trigger.
    Start(Box<Start>),
    /// A reply.
    Reply(ReplyEvent),
    /// A timer.
    Wake(Due),
    /// A message for another replica.
    Leave,
    /// A message that could not be read, with the reason.
    Dead(String),
}

/// A trigger that was read.
pub(crate) struct Start {
    pub(crate) definition: Arc<Definition>,
    pub(crate) key: Option<String>,
    pub(crate) locks: Vec<String>,
    pub(crate) input: Json,
    pub(crate) trace: Option<TraceParent>,
}

/// What comes of an item.
pub(crate) enum Verdict {
    /// Publish these (perhaps none), then ack.
    Publish(Vec<Outgoing>),
    /// Keep it as a dead letter, then ack.
    Bury(String),
    /// It contradicts cached state, which may be outdated: decide again on a fresh one.
    Recheck,
    /// Keep it in Postgres for a replica that knows the saga's version, then ack.
    Park,
    /// Leave it to another replica: no ack.
    Leave,
}

/// The lanes of this process. Messages go to the lane of their saga. Timers go to a lane of their own,
/// as a saga that is woken has to be read first: ten thousand that break at once, because a service
/// hangs, must not hold up the replies of others. To the other lanes that one is like another replica,
/// but for the states that it hands over to them.
#[derive(Clone)]
pub(crate) struct Lanes {
    lanes: Successors,
    timers: mpsc::Sender<Waiting>,
}

/// What waits before a lane.
#[expect(clippy::large_enum_variant, reason = "nearly all are items")]
pub(crate) enum Waiting {
    Item(Item),
    /// The state of one of its sagas after a turn in another lane.
    State(SagaId, Box<Entry>),
}

/// Where each lane of messages takes what waits.
#[derive(Clone)]
pub(crate) struct Successors {
    inboxes: Arc<[mpsc::Sender<Waiting>]>,
}

impl Successors {
    fn of(&self, saga: SagaId) -> Option<&mpsc::Sender<Waiting>> {
        // The last bytes of the id are a hash already.
        let hash = saga.0.as_u128() as usize;
        self.inboxes.get(hash % self.inboxes.len())
    }

    /// Hands a state to the lane that gets the saga's next message; without room that reads it.
    fn hand_over(&self, saga: SagaId, entry: Entry) {
        if let Some(inbox) = self.of(saga) {
            inbox.try_send(Waiting::State(saga, Box::new(entry))).ok();
        }
    }
}

/// Where the lanes take what waits.
pub(crate) struct Outlets {
    pub(crate) lanes: Vec<mpsc::Receiver<Waiting>>,
    /// The lane of timers, and whom it hands states to.
    pub(crate) timers: (mpsc::Receiver<Waiting>, Successors),
}

impl Lanes {
    /// `count` lanes and one for timers, and where each takes its items from.
    pub(crate) fn new(count: usize) -> (Self, Outlets) {
        let (inboxes, outlets): (Vec<_>, _) =
            (0..count.max(1)).map(|_| mpsc::channel(QUEUE_MAX)).unzip();
        let (timers, timers_out) = mpsc::channel(TIMERS_MAX);
        let lanes = Successors { inboxes: inboxes.into() };
        let outlets = Outlets { lanes: outlets, timers: (timers_out, lanes.clone()) };
        (Self { lanes, timers }, outlets)
    }

    /// Hands an item to its lane; waits while that lane is full.
    pub(crate) async fn send(&self, item: Item) {
        let inbox = match item.incoming {
            Incoming::Wake(_) => Some(&self.timers),
            _ => self.lanes.of(item.saga),
        };
        if let Some(inbox) = inbox
            && inbox.send(Waiting::Item(item)).await.is_err()
        {
            tracing::debug!("a lane has ended; the message will be delivered again");
        }
    }
}
