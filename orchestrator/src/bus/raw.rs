//! Messages as the server stores them, read and deleted by their sequence: also those that the client
//! cannot parse.

use amends::machine::Time;
use async_nats::jetstream;
use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    error::{TopologyError, unavailable},
    limit::answer,
};

/// A message as the server stores it.
pub(crate) struct RawMessage {
    /// With U+FFFD for each byte that is not UTF-8: the server's JSON has no other form for it.
    pub(crate) subject: String,
    pub(crate) headers: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) stored_at: Time,
}

impl RawMessage {
    /// Whether the client's parser takes it: UTF-8, and a colon in each line of headers.
    pub(crate) fn is_readable(&self) -> bool {
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

    /// Reads a message by its sequence, in the server's JSON, which carries any bytes. `None` when it is
    /// gone.
    pub(crate) async fn read(
        jetstream: &jetstream::Context,
        stream: &str,
        sequence: u64,
    ) -> Result<Option<Self>, TopologyError> {
        let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
        let request = format!(r#"{{"seq":{sequence}}}"#);
        let client = jetstream.client();
        let found = answer(client.request(subject, request.into())).await?;
        let text = String::from_utf8_lossy(&found.payload);
        let json: serde_json::Value = serde_json::from_str(&text).map_err(unavailable)?;
        let Some(message) = json.get("message") else { return Ok(None) };
        let field = |name: &str| message.get(name).and_then(|v| v.as_str()).unwrap_or_default();
        let bytes = |name: &str| BASE64_STANDARD.decode(field(name)).unwrap_or_default();
        Ok(Some(Self {
            subject: field("subject").to_owned(),
            headers: bytes("hdrs"),
            body: bytes("data"),
            stored_at: field("time").parse().unwrap_or_default(),
        }))
    }
}

/// Deletes a message of a stream.
///
/// # Errors
/// [`TopologyError::Unavailable`].
pub(crate) async fn delete(
    jetstream: &jetstream::Context,
    stream: &str,
    sequence: u64,
) -> Result<(), TopologyError> {
    let stream = answer(jetstream.get_stream_no_info(stream)).await?;
    answer(stream.delete_message(sequence)).await?;
    Ok(())
}
