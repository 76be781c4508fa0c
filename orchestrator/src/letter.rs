//! A message that could not be used.

use bytes::Bytes;

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
