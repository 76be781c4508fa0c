//! Messages that the NATS client cannot parse (a header or a subject that is not UTF-8): it drops the
//! connection instead of handing them over, again at each redelivery. They are read another way,
//! kept as dead letters, and removed.

use amends::{machine::Time, wire};
use async_nats::jetstream;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;

use super::{Topology, TopologyError, delivery::source, topology::unavailable};
use crate::{letter::Letter, store::Store};

/// Messages looked at in one round: more than a client has in hand at once.
const LOOK_MAX: u64 = 2000;

/// Looks for unreadable messages where deliveries are repeated, and buries them. One consumer that
/// cannot be looked after does not keep the others from it.
///
/// # Errors
/// The last [`TopologyError::Unavailable`].
pub(super) async fn remove(topology: &Topology, store: &Store) -> Result<(), TopologyError> {
    let mut looked = Ok(());
    for (stream, consumer) in topology.read_consumers().await {
        looked = remove_from(topology, store, &stream, &consumer).await.and(looked);
    }
    looked
}

async fn remove_from(
    topology: &Topology,
    store: &Store,
    stream: &str,
    consumer: &str,
) -> Result<(), TopologyError> {
    let mut found = topology.pull_consumer(stream, consumer).await?;
    let info = found.info().await.map_err(unavailable)?;
    if info.num_redelivered == 0 {
        return Ok(());
    }
    let first = info.ack_floor.stream_sequence + 1;
    let last = info.delivered.stream_sequence.min(first.saturating_add(LOOK_MAX));
    for sequence in first..=last {
        let raw = raw(topology.jetstream(), stream, sequence).await?;
        if let Some(message) = raw.filter(|m| !m.readable()) {
            bury(topology.jetstream(), store, stream, consumer, sequence, message).await?;
        }
    }
    Ok(())
}

/// A message as the server stores it.
struct Raw {
    /// With U+FFFD for each byte that is not UTF-8: the server's JSON has no other form for it.
    subject: String,
    headers: Vec<u8>,
    body: Vec<u8>,
    stored_at: Time,
}

impl Raw {
    /// Whether the client's parser takes it: UTF-8, and a colon in each line of headers.
    fn readable(&self) -> bool {
        let headers = std::str::from_utf8(&self.headers);
        let lines_are_fine = headers.is_ok_and(|text| {
            let mut lines = text.split("\r\n").skip(1).take_while(|line| !line.is_empty());
            lines.all(|line| {
                line.split_once(':').is_some_and(|(name, _)| {
                    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic())
                })
            })
        });
        lines_are_fine && !self.subject.contains(char::REPLACEMENT_CHARACTER)
    }
}

/// Reads a message by its sequence, in the server's JSON, which carries any bytes. `None` when it is
/// gone.
async fn raw(
    jetstream: &jetstream::Context,
    stream: &str,
    sequence: u64,
) -> Result<Option<Raw>, TopologyError> {
    let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
    let request = format!(r#"{{"seq":{sequence}}}"#);
    let answer = jetstream.client().request(subject, request.into()).await.map_err(unavailable)?;
    let text = String::from_utf8_lossy(&answer.payload);
    let json: serde_json::Value = serde_json::from_str(&text).map_err(unavailable)?;
    let Some(message) = json.get("message") else { return Ok(None) };
    let field = |name: &str| message.get(name).and_then(|v| v.as_str()).unwrap_or_default();
    let bytes = |name: &str| BASE64_STANDARD.decode(field(name)).unwrap_or_default();
    Ok(Some(Raw {
        subject: field("subject").to_owned(),
        headers: bytes("hdrs"),
        body: bytes("data"),
        stored_at: field("time").parse().unwrap_or_default(),
    }))
}

async fn bury(
    jetstream: &jetstream::Context,
    store: &Store,
    stream: &str,
    consumer: &str,
    sequence: u64,
    message: Raw,
) -> Result<(), TopologyError> {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
    let letter = Letter {
        source: source(stream, consumer, sequence, message.stored_at),
        subject: message.subject,
        reason: "a header or the subject is malformed or not UTF-8".to_owned(),
        headers: vec![("raw".to_owned(), lossy(&message.headers))],
        body: Bytes::from(message.body),
    };
    let kept = store.bury(&[letter]).await;
    let kept = kept.map_err(|e| TopologyError::Unavailable(format!("{e:?}")))?;
    let ours = [wire::EVENTS_STREAM, wire::REPLIES_STREAM].contains(&stream);
    // Said and counted once: on a stream of the user's it is found again at each look.
    if !kept.is_empty() {
        metrics::counter!("amends_dead_letters_total").increment(1);
        let what_now =
            if ours { "it is removed" } else { "it disturbs this stream of yours: remove it" };
        tracing::warn!(
            stream,
            sequence,
            "an unreadable message was kept as a dead letter: {what_now}"
        );
    }
    if ours {
        let held = jetstream.get_stream_no_info(stream).await.map_err(unavailable)?;
        held.delete_message(sequence).await.map_err(unavailable)?;
    }
    Ok(())
}
