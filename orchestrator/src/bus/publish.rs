//! Publishing commands and changes of status.

use amends::{StatusEvent, machine::Command, turn::Message, wire};
use async_nats::{
    HeaderMap,
    jetstream::{
        self,
        context::{PublishAckFuture, PublishError},
        message::PublishMessage,
    },
};

/// Sends a message; its ack says that it is stored.
///
/// # Errors
/// The client's.
pub(crate) async fn send(
    jetstream: &jetstream::Context,
    message: &Message,
) -> Result<PublishAckFuture, PublishError> {
    let mut headers = HeaderMap::new();
    let (id, subject, body, trace) = match message {
        Message::Command(Command { id, subject, deadline, body }, trace) => {
            let id = id.to_string();
            let deadline = deadline.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            headers.insert(wire::AMENDS_ID, id.as_str());
            headers.insert(wire::AMENDS_DEADLINE, deadline);
            (id, subject, body, trace)
        }
        Message::Status(StatusEvent { subject, id, body, .. }, trace) => {
            headers.insert("Content-Type", "application/cloudevents+json");
            (id.clone(), subject, body, trace)
        }
    };
    headers.insert(wire::NATS_MSG_ID, id.as_str());
    if let Some(trace) = trace {
        trace.child(&id).headers().for_each(|(name, value)| headers.insert(name, value));
    }
    let publish = PublishMessage::build().headers(headers).payload(body.clone().into());
    jetstream.send_publish(subject.clone(), publish).await
}
