//! Sending replies.

use std::time::Duration;

use amends::{
    AttemptId, Json, NameError, TraceContext, check_name,
    wire::{self, AMENDS_ID},
};
use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;

/// How often a reply is sent until the command is left to be delivered again.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(250);

/// How long the server may take to say that a reply is stored.
const STORED: Duration = Duration::from_secs(2);

/// Sends the replies of a service. A handler's own replies are sent for it; this is for those that
/// come later, after [`Halt::Pending`](crate::Halt::Pending):
///
/// 1. in one transaction, do what is left to do and call
///    [`barrier::leave`](crate::barrier::leave) with the reply and the `Amends-Id` of the command;
/// 2. after its commit, [`Replies::send`] the same reply.
///
/// A crash between them loses nothing: the orchestrator repeats the command, and the barrier then
/// answers with the reply that was left.
///
/// ```no_run
/// use amends::{AttemptId, Json, wire::Reply};
/// use amends_workers::{Database, Replies, barrier};
///
/// /// A person has decided. `amends_id` is `cx.id` of the attempt that answered `Halt::Pending`, as text.
/// async fn decided(
///     database: &Database,
///     nats: async_nats::Client,
///     amends_id: &str,
///     approved: bool,
/// ) -> Result<(), Box<dyn std::error::Error>> {
///     let id: AttemptId = amends_id.parse()?;
///     let reply = Reply::Ok(Json::of(&approved)?).to_json()?; // the step's output
///
///     let mut session = database.session().await?;
///     let mut tx = barrier::begin(&mut session).await?;
///     let close = "delete from review.open_case where amends_id = $1";
///     sqlx::query(close).bind(amends_id).execute(&mut *tx).await?;
///     barrier::leave(&mut tx, &id, &reply).await?;
///     tx.commit().await?;
///     session.give_back();
///
///     Replies::new(nats, "review")?.send(&id, None, &reply).await?;
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Replies {
    jetstream: jetstream::Context,
    subject: String,
}

impl Replies {
    /// Replies of the service called `service`.
    ///
    /// # Errors
    /// [`NameError`] when that cannot be a service's name.
    pub fn new(client: async_nats::Client, service: &str) -> Result<Self, NameError> {
        check_name("service", service)?;
        let context = jetstream::context::ContextBuilder::new().timeout(STORED).ack_timeout(STORED);
        Ok(Self { jetstream: context.build(client), subject: wire::reply_subject(service) })
    }

    /// Sends a reply, and waits until it is stored. A reply that arrives twice does no harm.
    ///
    /// # Errors
    /// [`ReplyError`] when it could not be stored after some tries.
    pub async fn send(
        &self,
        id: &AttemptId,
        trace: Option<&TraceContext>,
        reply: &Json,
    ) -> Result<(), ReplyError> {
        self.send_and_tell(id, trace, reply, |_| ()).await
    }

    /// As [`send`](Self::send); `tell` hears of each try.
    pub(crate) async fn send_and_tell(
        &self,
        id: &AttemptId,
        trace: Option<&TraceContext>,
        reply: &Json,
        tell: impl Fn(Result<(), &dyn std::error::Error>),
    ) -> Result<(), ReplyError> {
        let mut tried = 1;
        loop {
            let sent = self.once(id, trace, reply).await;
            tell(sent.as_ref().map(|_| ()).map_err(|error| error as _));
            let Err(error) = sent else { return Ok(()) };
            if tried == TRIES {
                return Err(ReplyError(error));
            }
            tracing::debug!(%id, %error, "a reply was not stored, sending it again");
            tokio::time::sleep(PAUSE * tried).await;
            tried += 1;
        }
    }

    async fn once(
        &self,
        id: &AttemptId,
        trace: Option<&TraceContext>,
        reply: &Json,
    ) -> Result<(), jetstream::context::PublishError> {
        let id = id.to_string();
        let mut headers = HeaderMap::new();
        headers.insert(AMENDS_ID, id.as_str());
        if let Some(trace) = trace {
            // Named apart from the command's own span, which has the plain id.
            let trace = trace.child(&format!("reply:{id}"));
            trace.headers().for_each(|(name, value)| headers.insert(name, value));
        }
        let body = Bytes::copy_from_slice(reply.as_str().as_bytes());
        let stored =
            self.jetstream.publish_with_headers(self.subject.clone(), headers, body).await?;
        stored.await.map(drop)
    }
}

/// A reply that could not be stored.
#[derive(Debug, thiserror::Error)]
#[error("the reply was not stored in {stream}: {0}", stream = wire::REPLIES_STREAM)]
pub struct ReplyError(jetstream::context::PublishError);
