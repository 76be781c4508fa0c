//! Pull requests to one consumer: under load the next one is open before the last one has ended, as a
//! server that waits to be asked again hands out large messages at a fifth of its speed.
//!
//! Not with the client's `Stream` and `Batch`: a `Stream` asks for more by itself, whether there is room or
//! not, and a `Batch` that asks without waiting has no limit for a server that says nothing.

use std::{sync::atomic::Ordering, time::Duration};

use async_nats::{
    Client, Message, PublishError, StatusCode, Subject, SubscribeError, Subscriber,
    jetstream::consumer::pull::BatchConfig,
};
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout};

/// Messages asked for at once. Batches of 200 and more cost the same per message.
pub(super) const BATCH: usize = 500;

/// The same in bytes: read in a fraction of a second, and so many that a server that waits to be asked again
/// is rare, also among the largest messages.
pub(super) const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Requests that are open at once. The second is asked for when half a batch has come, so that they do not
/// end together: the server serves them in turns.
const OPEN_MAX: usize = 2;

/// How long the server keeps a request, at most: what it sends to a process that is frozen, or gone, it sends
/// within this time.
const EXPIRES: Duration = Duration::from_secs(1);

/// Silence after which a request is forgotten: the server restarted, or the connection is dead.
const SILENCE: Duration = Duration::from_secs(2);

/// Between two looks, while nothing comes, whether the connection is a new one.
const LOOK: Duration = Duration::from_millis(200);

/// Why nothing is delivered.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("there is no such consumer")]
    NoConsumer,
    #[error("no answer within {} s", SILENCE.as_secs())]
    Silence,
    #[error("the connection is a new one")]
    Reconnected,
    #[error("the client was closed")]
    Closed,
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("the server answers {status} {description}")]
    Refused { status: StatusCode, description: String },
}

/// Whether a request waits for messages that are not there yet.
#[derive(Clone, Copy)]
pub(super) enum Wait {
    Yes,
    No,
}

pub(super) struct Requests {
    client: Client,
    subject: String,
    inbox: String,
    subscriber: Subscriber,
    /// Connections so far: a server forgets the requests of one that is lost.
    connects: u64,
    open: Vec<Request>,
    asked: u64,
    /// What came since a request was sent: messages, and their bytes.
    received: (usize, usize),
    /// The next message is larger than a batch.
    oversize: bool,
    /// More may be there than the last batch had room for.
    more: bool,
}

/// One that has not ended.
struct Request {
    /// Where the server says that it has.
    inbox: Subject,
    since: Instant,
    /// Whether it asks for one message, of any size: the server does not say that this one has ended.
    is_single: bool,
}

impl Requests {
    pub(super) async fn open(
        client: &Client,
        stream: &str,
        consumer: &str,
    ) -> Result<Self, RequestError> {
        let inbox = client.new_inbox();
        let connects = connects(client);
        let subscriber = bounded(client.subscribe(format!("{inbox}.*"))).await??;
        Ok(Self {
            client: client.clone(),
            subject: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
            inbox,
            subscriber,
            connects,
            open: Vec::new(),
            asked: 0,
            received: (0, 0),
            oversize: false,
            more: false,
        })
    }

    /// Requests that have not ended: each may still bring a batch.
    pub(super) const fn count(&self) -> usize {
        self.open.len()
    }

    /// Whether it is time to ask for a batch.
    pub(super) fn is_due(&mut self) -> bool {
        // The server has ended these, and its word is lost, or it is one of the few ends that it says nothing of.
        self.open.retain(|request| request.since.elapsed() < SILENCE);
        let (messages, bytes) = self.received;
        let half = messages >= BATCH / 2 || bytes >= BATCH_BYTES / 2;
        self.open.is_empty() || (half && self.open.len() < OPEN_MAX)
    }

    /// Asks for a batch.
    pub(super) async fn ask(&mut self, wait: Wait) -> Result<(), RequestError> {
        let is_single = self.oversize;
        let (batch, max_bytes) = if is_single { (1, 0) } else { (BATCH, BATCH_BYTES) };
        let (no_wait, expires) = match wait {
            Wait::Yes => (false, Some(expires())),
            Wait::No => (true, None),
        };
        let config = BatchConfig { batch, max_bytes, no_wait, expires, ..Default::default() };
        self.asked += 1;
        (self.received, self.oversize, self.more) = ((0, 0), false, false);
        let inbox = Subject::from(format!("{}.{}", self.inbox, self.asked));
        let request = Request { inbox: inbox.clone(), since: Instant::now(), is_single };
        self.open.push(request);
        let (subject, body) = (self.subject.clone(), serde_json::to_vec(&config)?.into());
        Ok(bounded(self.client.publish_with_reply(subject, inbox, body)).await??)
    }

    /// The next message; `None` when a request has ended. May be dropped while it waits, without loss.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, RequestError> {
        if self.open.is_empty() {
            return Ok(None);
        }
        let message = self.wait().await?;
        if is_delivery(&message) {
            let (messages, bytes) = self.received;
            self.received = (messages + 1, bytes + message.length);
            self.more |= self.open.iter().any(|request| request.is_single);
            self.open.retain(|request| !request.is_single);
            return Ok(Some(message));
        }
        self.open.retain(|request| request.inbox != message.subject);
        let status = message.status.unwrap_or(StatusCode::OK);
        let description = message.description.unwrap_or_default();
        match status {
            StatusCode::NOT_FOUND | StatusCode::TIMEOUT => {}
            StatusCode::NO_RESPONDERS => return Err(RequestError::NoConsumer),
            _ if description.contains("MaxBytes") => {
                self.oversize = self.open.is_empty() && self.received.0 == 0;
                self.more = true;
            }
            _ if description == "Batch Completed" => self.more = true,
            _ => return Err(RequestError::Refused { status, description }),
        }
        Ok(None)
    }

    /// Whether the last batch ended because it was full.
    pub(super) const fn was_full(&self) -> bool {
        self.more
    }

    async fn wait(&mut self) -> Result<Message, RequestError> {
        let began = Instant::now();
        loop {
            match timeout(LOOK, self.subscriber.next()).await {
                Ok(message) => return message.ok_or(RequestError::Closed),
                Err(_) if connects(&self.client) != self.connects => {
                    return Err(RequestError::Reconnected);
                }
                Err(_) if began.elapsed() >= SILENCE => return Err(RequestError::Silence),
                Err(_) => {}
            }
        }
    }

    /// Takes back what was asked for. What had been sent already is still handed out, rather than left to its
    /// redelivery.
    pub(super) async fn close(mut self) -> Vec<Message> {
        let mut rest = Vec::new();
        if !matches!(bounded(self.subscriber.drain()).await, Ok(Ok(()))) {
            return rest;
        }
        while let Ok(Some(message)) = timeout(SILENCE, self.subscriber.next()).await {
            if is_delivery(&message) {
                rest.push(message);
            }
        }
        rest
    }
}

/// Not always the same: of several replicas that read a consumer, the one whose request is the oldest gets
/// what is due again. In step that would be the same one each time, which may be the one that leaves it to
/// another.
fn expires() -> Duration {
    EXPIRES.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// The server's own words are not to be acked.
const fn is_delivery(message: &Message) -> bool {
    message.reply.is_some()
}

fn connects(client: &Client) -> u64 {
    client.statistics().connects.load(Ordering::Relaxed)
}

async fn bounded<T>(sent: impl Future<Output = T>) -> Result<T, RequestError> {
    timeout(SILENCE, sent).await.map_err(|_| RequestError::Silence)
}
