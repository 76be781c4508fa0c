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
pub(crate) use turn::Lane;

/// Events decided in one statement at most: more makes a batch slower than it saves round trips.
pub(crate) const BATCH_MAX: usize = 500;

/// Events that may wait before a lane; then its listeners wait.
const QUEUE_MAX: usize = 2 * BATCH_MAX;

/// Timers decided in one statement at most, and as many may wait. Their sagas have to be read first:
/// ten thousand that break at once, because a service hangs, must not hold up the replies of others.
const TIMERS_MAX: usize = 100;

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

/// The lanes of this process.
#[derive(Clone)]
pub(crate) struct Lanes {
    ways: Arc<[Way]>,
}

/// The way into a lane.
struct Way {
    messages: mpsc::Sender<Item>,
    timers: mpsc::Sender<Item>,
}

impl Lanes {
    /// `count` lanes, and where each takes its items from.
    pub(crate) fn new(count: usize) -> (Self, Vec<Inbox>) {
        let (ways, inboxes): (Vec<_>, _) = (0..count.max(1)).map(|_| way()).unzip();
        (Self { ways: ways.into() }, inboxes)
    }

    /// Hands an item to its lane; waits while that lane is full.
    pub(crate) async fn send(&self, item: Item) {
        // The last bytes of the id are a hash already.
        let hash = item.saga.0.as_u128() as usize;
        let Some(way) = self.ways.get(hash % self.ways.len()) else { return };
        let timer = matches!(item.incoming, Incoming::Wake(_));
        let inbox = if timer { &way.timers } else { &way.messages };
        if inbox.send(item).await.is_err() {
            tracing::debug!("a lane has ended; the message will be delivered again");
        }
    }
}

fn way() -> (Way, Inbox) {
    let (messages, messages_in) = mpsc::channel(QUEUE_MAX);
    let (timers, timers_in) = mpsc::channel(TIMERS_MAX);
    (Way { messages, timers }, Inbox { messages: messages_in, timers: timers_in })
}

/// What waits before a lane.
pub(crate) struct Inbox {
    messages: mpsc::Receiver<Item>,
    timers: mpsc::Receiver<Item>,
}

impl Inbox {
    /// Waits for an item and takes what waits beside it; nothing when all senders are gone.
    async fn take(&mut self) -> Vec<Item> {
        let mut items = Vec::with_capacity(BATCH_MAX);
        tokio::select! {
            biased;
            count = self.messages.recv_many(&mut items, BATCH_MAX) => if count == 0 {
                // The clock may send for longer than the listeners.
                items.extend(self.timers.recv().await);
            },
            Some(timer) = self.timers.recv() => items.push(timer),
        }
        while items.len() < BATCH_MAX
            && let Ok(message) = self.messages.try_recv()
        {
            items.push(message);
        }
        items.extend((1..TIMERS_MAX).map_while(|_| self.timers.try_recv().ok()));
        items
    }
}
