//! A message that could not be used.

use bytes::Bytes;

/// Longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 2000;

/// A dead letter.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    /// `<stream>:<sequence>@<stored at, µs> <consumer>`: a redelivery is kept once.
    pub(crate) source: String,
    pub(crate) subject: String,
    pub(crate) reason: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Letter {
    /// The headers as a JSON object of arrays, without what Postgres cannot keep.
    pub(crate) fn headers_json(&self) -> String {
        let mut object = serde_json::Map::new();
        for (name, value) in &self.headers {
            let value = value.replace('\0', "\u{fffd}");
            let name = name.replace('\0', "\u{fffd}");
            let values = object.entry(name).or_insert_with(|| serde_json::Value::Array(Vec::new()));
            if let Some(values) = values.as_array_mut() {
                values.push(value.into());
            }
        }
        serde_json::Value::Object(object).to_string()
    }
}

/// A reason as it is kept: bounded, and storable.
pub(crate) fn reason(text: &str) -> String {
    let text = text.replace('\0', "\u{fffd}");
    let mut end = text.len().min(REASON_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
