//! Messages in hand: delivered to a listener, and neither acked nor let go of. They are bounded, and
//! kept alive.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use async_nats::{Client, Subject};
use bytes::Bytes;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior},
};

use super::{
    limit,
    requests::{BATCH, BATCH_BYTES},
    topology::OWN_ACK_WAIT,
};

/// Messages of one listener in hand: more than the lanes and the publications of their batches have under
/// way, and so few that signs of life for all of them cost little.
const MESSAGES_MAX: usize = 5_000;

/// The same in bytes: a few pulls, so that one is read while others are decided, and no more memory
/// than that, whatever comes.
const BYTES_MAX: usize = 4 * BATCH_BYTES;

/// A message that is in hand for so long gets a sign of life, each time: so few do that calm costs nothing,
/// and one such sign may be lost.
const SILENT: Duration = Duration::from_millis(OWN_ACK_WAIT.as_millis() as u64 / 3);

/// Between two looks for such messages.
const LOOK: Duration = Duration::from_millis(SILENT.as_millis() as u64 / 2);

/// Nobody is kept from a message for longer by one that holds it: longer than any statement that ends,
/// and than letters wait to be kept.
const KEPT_MAX: Duration = Duration::from_secs(60);

/// What names a message: its sequence in the stream, and its time, because a stream that is made anew counts
/// from 1 again.
type Key = (u64, i64);

struct Held {
    /// Where it is acked.
    reply: Subject,
    bytes: usize,
    since: Instant,
    /// When the server heard of it last.
    spoken: Instant,
    /// Whether this replica led when it took it.
    led: bool,
}

#[derive(Default)]
struct Messages {
    held: HashMap<Key, Held>,
    bytes: usize,
}

/// What a listener has in hand.
pub(super) struct Hand {
    client: Client,
    leads: watch::Receiver<bool>,
    messages: Mutex<Messages>,
    /// Notified when there may be room.
    released: Notify,
}

impl Hand {
    pub(super) fn new(client: Client, leads: watch::Receiver<bool>) -> Arc<Self> {
        let (messages, released) = (Mutex::default(), Notify::new());
        let hand = Arc::new(Self { client, leads, messages, released });
        tokio::spawn(keep_alive(Arc::downgrade(&hand)));
        hand
    }

    fn messages(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for so many batches.
    pub(super) fn has_room(&self, batches: usize) -> bool {
        let messages = self.messages();
        messages.held.len() + batches * BATCH <= MESSAGES_MAX
            && messages.bytes + batches * BATCH_BYTES <= BYTES_MAX
    }

    /// Waits until there is room for a batch. One task at a time.
    pub(super) async fn room(&self) {
        while !self.has_room(1) {
            self.released.notified().await;
        }
    }

    /// Takes a message in hand. `None` when it is there already: that it was delivered again gives it time,
    /// too.
    pub(super) fn take(
        self: &Arc<Self>,
        key: Key,
        reply: Subject,
        bytes: usize,
    ) -> Option<HeldMessage> {
        let now = Instant::now();
        let mut messages = self.messages();
        match messages.held.entry(key) {
            Entry::Occupied(mut held) => {
                held.get_mut().spoken = now;
                return None;
            }
            Entry::Vacant(place) => {
                let led = *self.leads.borrow();
                place.insert(Held { reply, bytes, since: now, spoken: now, led });
            }
        }
        messages.bytes += bytes;
        Some(HeldMessage { hand: Arc::clone(self), key })
    }

    /// Gives room back, of a message that stays in hand or of one that does not.
    fn release(&self, key: Key, stays: bool) {
        let mut messages = self.messages();
        let bytes = if stays {
            messages.held.get_mut(&key).map(|held| std::mem::take(&mut held.bytes))
        } else {
            messages.held.remove(&key).map(|held| held.bytes)
        };
        messages.bytes = messages.bytes.saturating_sub(bytes.unwrap_or(0));
        drop(messages);
        self.released.notify_one();
    }

    /// Where signs of life are due now. Not for what this replica took as the leader that it is no more:
    /// that is the next one's.
    fn silent(&self) -> Vec<Subject> {
        let (now, leads) = (Instant::now(), *self.leads.borrow());
        let mut messages = self.messages();
        let silent = messages.held.values_mut().filter(|held| {
            now - held.spoken >= SILENT && now - held.since < KEPT_MAX && (leads || !held.led)
        });
        let replies = silent.map(|held| {
            held.spoken = now;
            held.reply.clone()
        });
        replies.collect()
    }
}

/// Speaks for what is in hand, for as long as anything may be.
async fn keep_alive(hand: Weak<Hand>) {
    let mut beat = tokio::time::interval(LOOK);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let Some(hand) = hand.upgrade() else { return };
        let signs = async {
            for reply in hand.silent() {
                if let Err(error) = hand.client.publish(reply, Bytes::from_static(b"+WPI")).await {
                    tracing::debug!(%error, "a sign of life was not sent");
                }
            }
        };
        // Without a connection they come back when there is one, and are known then.
        tokio::time::timeout(limit::ACK, signs).await.ok();
    }
}

/// A message in hand; let go of when it is dropped.
pub(super) struct HeldMessage {
    hand: Arc<Hand>,
    key: Key,
}

impl HeldMessage {
    /// Its body is no longer in memory.
    pub(super) fn release_bytes(&self) {
        self.hand.release(self.key, true);
    }

    /// Acks it. A lost ack only causes a redelivery, so nothing waits for the server's word.
    pub(super) async fn ack(&self) {
        let reply = self.hand.messages().held.get(&self.key).map(|held| held.reply.clone());
        let Some(reply) = reply else { return };
        let sent = tokio::time::timeout(limit::ACK, self.hand.client.publish(reply, Bytes::new()));
        if !matches!(sent.await, Ok(Ok(()))) {
            tracing::debug!("an ack was not sent; the message will be delivered again");
        }
    }
}

impl Drop for HeldMessage {
    fn drop(&mut self) {
        self.hand.release(self.key, false);
    }
}
