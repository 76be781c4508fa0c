//! Dead letters on their way to Postgres: in a task of their own, so that nobody waits for them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use amends::RetryLoop;
use async_nats::jetstream;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::keeper::Keeper;
use crate::{bus::Delivery, halves::halves, letter::Letter, store::StoreError};

/// Bodies of one statement, in bytes, and its letters: a short statement, beside which others are as fast
/// as ever.
const STATEMENT_BYTES: usize = 1024 * 1024;
const STATEMENT_LETTERS: usize = 500;

/// Bodies that wait in memory; of more letters the bodies are read from their stream when their turn
/// comes, which is soon enough for them, and gives their room to events that are of use.
const WAITING_BYTES: usize = 4 * STATEMENT_BYTES;

/// Delays while letters cannot be kept.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_CAP: Duration = Duration::from_secs(2);

/// The way to the task that keeps letters.
#[derive(Clone)]
pub(crate) struct Burials {
    queue: mpsc::UnboundedSender<Burial>,
    waiting: Arc<AtomicUsize>,
}

/// A letter, and the message to be acked when it is kept.
struct Burial {
    letter: Letter,
    delivery: Delivery,
    bytes: usize,
    /// Whether its body is to be read from the stream.
    is_forgotten: bool,
    _task: TaskTrackerToken,
}

impl Burials {
    /// Starts the task; it ends with the last way to it.
    pub(crate) fn start(jetstream: jetstream::Context, keeper: Keeper) -> Self {
        let (queue, burials) = mpsc::unbounded_channel();
        let waiting = Arc::default();
        let task = Task { jetstream, keeper, waiting: Arc::clone(&waiting) };
        tokio::spawn(task.run(burials));
        Self { queue, waiting }
    }

    /// Takes over a letter, and its message until it is kept.
    pub(crate) fn bury(&self, mut letter: Letter, mut delivery: Delivery, task: TaskTrackerToken) {
        let bytes = letter.body.len();
        let is_forgotten = self.waiting.load(Ordering::Relaxed) + bytes > WAITING_BYTES;
        if is_forgotten {
            letter.body = Bytes::new();
            delivery.forget_body();
        } else {
            self.waiting.fetch_add(bytes, Ordering::Relaxed);
        }
        let burial = Burial { letter, delivery, bytes, is_forgotten, _task: task };
        if self.queue.send(burial).is_err() {
            tracing::debug!("nobody keeps letters any more; the message will be delivered again");
        }
    }
}

struct Task {
    jetstream: jetstream::Context,
    keeper: Keeper,
    waiting: Arc<AtomicUsize>,
}

impl Task {
    async fn run(self, mut burials: mpsc::UnboundedReceiver<Burial>) {
        while let Some(first) = burials.recv().await {
            let mut bytes = first.bytes;
            let mut group = vec![first];
            while bytes < STATEMENT_BYTES
                && group.len() < STATEMENT_LETTERS
                && let Ok(next) = burials.try_recv()
            {
                bytes += next.bytes;
                group.push(next);
            }
            self.bury(group).await;
        }
    }

    /// Keeps letters, and tries until Postgres takes them; in halves where it refuses the whole.
    async fn bury(&self, group: Vec<Burial>) {
        let mut retries = RetryLoop::new(RETRY_FIRST, RETRY_CAP, "burials");
        let mut left = vec![group];
        while let Some(mut group) = left.pop() {
            if let Err(why) = self.read_bodies(&mut group).await {
                self.wait(&mut retries, &why).await;
                left.push(group);
                continue;
            }
            let letters: Vec<_> = group.iter().map(|burial| burial.letter.clone()).collect();
            match self.keeper.bury(&letters).await {
                Ok(()) => {
                    retries.succeeded();
                    for burial in group {
                        self.end(&burial);
                        burial.delivery.ack().await;
                    }
                }
                Err(error @ (StoreError::Unavailable(_) | StoreError::Conflict(_))) => {
                    self.wait(&mut retries, &format!("{error:?}")).await;
                    left.push(group);
                }
                Err(_) if group.len() > 1 => left.extend(halves(group)),
                Err(error) => {
                    tracing::warn!(
                        ?error,
                        "a dead letter cannot be kept; it will be delivered again"
                    );
                    group.iter().for_each(|burial| self.end(burial));
                }
            }
        }
    }

    fn end(&self, burial: &Burial) {
        if !burial.is_forgotten {
            self.waiting.fetch_sub(burial.bytes, Ordering::Relaxed);
        }
    }

    async fn wait(&self, retries: &mut RetryLoop, why: &str) {
        let pause = retries.failed();
        if retries.is_first() {
            tracing::warn!(why, "dead letters cannot be kept; trying again until they can");
        }
        tokio::time::sleep(pause).await;
    }

    /// Gets the bodies that were forgotten.
    async fn read_bodies(&self, group: &mut [Burial]) -> Result<(), String> {
        let forgotten = |burial: &&mut Burial| burial.is_forgotten && burial.letter.body.is_empty();
        for burial in group.iter_mut().filter(forgotten) {
            match burial.delivery.read_body(&self.jetstream).await {
                Ok(Some(body)) => burial.letter.body = body,
                Ok(None) => {
                    burial.letter.reason.push_str(" (its body was gone from the stream)");
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }
}
