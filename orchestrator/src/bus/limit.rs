//! A limit for each wait on NATS.
//!
//! The client limits how long it waits for an answer, but not how long a request waits to be sent: while
//! it has no connection, or one that takes nothing more, its queue fills, and whoever comes then waits
//! for a place in it.

use std::{future::IntoFuture, time::Duration};

use async_nats::jetstream;

use super::error::{TopologyError, unavailable};

/// How long the client waits for an answer: longer than a server that changes its leader, or writes to a
/// busy disk, needs for it.
const ANSWER: Duration = Duration::from_secs(5);

/// The same with the wait to be sent. The client's own limit comes first where it can: its error says more.
const REQUEST: Duration = Duration::from_secs(6);

/// How long an ack or a sign of life may wait to be sent. What is not sent by then is of no use: the
/// message is delivered again.
pub(super) const ACK: Duration = Duration::from_secs(1);

/// JetStream, with the client's limits.
pub(crate) fn context(client: async_nats::Client) -> jetstream::Context {
    jetstream::context::ContextBuilder::new().timeout(ANSWER).ack_timeout(ANSWER).build(client)
}

/// Waits for an answer of NATS, but not for ever.
///
/// # Errors
/// [`TopologyError::Unavailable`]: the request's own error, or that there is no answer.
pub(super) async fn answer<T, E>(
    request: impl IntoFuture<Output = Result<T, E>>,
) -> Result<T, TopologyError>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match tokio::time::timeout(REQUEST, request.into_future()).await {
        Ok(answer) => answer.map_err(unavailable),
        Err(_) => Err(unavailable(format!("no answer within {} s", REQUEST.as_secs()))),
    }
}
