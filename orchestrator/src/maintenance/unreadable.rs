//! Messages that the NATS client cannot parse (a header or a subject that is not UTF-8): it drops the
//! connection instead of handing them over, again at each redelivery. They are read another way,
//! kept as dead letters, and removed.

use amends::wire;
use bytes::Bytes;

use crate::{
    burial::Keeper,
    bus::{RawMessage, Topology, TopologyError, delete, message_source},
    letter::Letter,
    store::StoreError,
};

/// Messages looked at in one round: more than a client has in hand at once.
const MESSAGES_MAX: u64 = 2000;

/// Why unreadable messages are not removed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemoveError {
    #[error(transparent)]
    Stream(#[from] TopologyError),
    #[error("dead letters cannot be kept: {0:?}")]
    Store(StoreError),
}

/// Looks for unreadable messages where deliveries are repeated, and buries them. One consumer that
/// cannot be looked after does not keep the others from it.
///
/// # Errors
/// The last [`RemoveError`].
pub(super) async fn remove(topology: &Topology, keeper: &Keeper) -> Result<(), RemoveError> {
    let mut done = Ok(());
    for (stream, consumer) in topology.read_consumers().await {
        done = remove_from(topology, keeper, &stream, &consumer).await.and(done);
    }
    done
}

async fn remove_from(
    topology: &Topology,
    keeper: &Keeper,
    stream: &str,
    consumer: &str,
) -> Result<(), RemoveError> {
    let state = topology.consumer_state(stream, consumer).await?;
    if state.num_redelivered == 0 {
        return Ok(());
    }
    let first = state.ack_floor.stream_sequence + 1;
    let last = state.delivered.stream_sequence.min(first.saturating_add(MESSAGES_MAX));
    for sequence in first..=last {
        let message = RawMessage::read(topology.jetstream(), stream, sequence).await?;
        if let Some(message) = message.filter(|message| !message.is_readable()) {
            let source = message_source(stream, consumer, sequence, message.stored_at);
            let is_ours = [wire::EVENTS_STREAM, wire::REPLIES_STREAM].contains(&stream);
            keeper.bury(&[letter(source, message, is_ours)]).await.map_err(RemoveError::Store)?;
            // One in a stream of the user's stays, and is found again at each look.
            if is_ours {
                delete(topology.jetstream(), stream, sequence).await?;
            }
        }
    }
    Ok(())
}

fn letter(source: String, message: RawMessage, is_ours: bool) -> Letter {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
    let what_now =
        if is_ours { "it is removed" } else { "it disturbs this stream of yours, remove it" };
    Letter {
        source,
        subject: message.subject.replace('\0', "\u{fffd}"),
        reason: format!("a header or the subject is malformed or not UTF-8: {what_now}"),
        headers: vec![("raw".to_owned(), lossy(&message.headers))],
        body: Bytes::from(message.body),
    }
}
