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

/// Letters that are kept up to a bound, and counted beyond it: of one subject, and one reason but for its
/// details.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Kind {
    pub(crate) subject: String,
    pub(crate) reason: String,
}

/// Characters of a reason without its details.
const KIND_MAX: usize = 100;

impl Letter {
    pub(crate) fn kind(&self) -> Kind {
        Kind { subject: self.subject.clone(), reason: without_details(&self.reason) }
    }

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

/// A reason without what differs from message to message: what is quoted, words with a digit in them, and what
/// comes behind the first colon.
///
/// Other values could stand in a reason, so Postgres bounds the number of kinds, too.
fn without_details(reason: &str) -> String {
    let mut plain = String::new();
    let mut rest = reason;
    while let Some(at) = rest.find(['`', '"', ':']) {
        let (before, found) = rest.split_at(at);
        plain.push_str(before);
        let quote = found.chars().next().unwrap_or(':');
        if quote == ':' {
            rest = "";
            break;
        }
        plain.push('…');
        // What is opened and not closed goes to the end.
        rest = found[1..].split_once(quote).map_or("", |(_, behind)| behind);
    }
    plain.push_str(rest);
    let word = |word: &str| {
        if word.contains(|c: char| c.is_ascii_digit()) { "…" } else { word }.to_owned()
    };
    let words: Vec<_> = plain.split_whitespace().map(word).collect();
    words.join(" ").chars().take(KIND_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_the_reason_without_its_details() {
        for (reason, kind) in [
            (
                "the payload is not JSON: expected value at line 1 column 7",
                "the payload is not JSON",
            ),
            (
                "the body does not fit the definition's input: missing field `card` at line 2",
                "the body does not fit the definition's input",
            ),
            (
                "the key `o:17` of `order` was used before with another body, by saga 01890a5d-ac96",
                "the key … of … was used before with another body, by saga …",
            ),
            ("there is no saga 01890a5d-ac96-774b-bcce-b302099a8057", "there is no saga …"),
            (
                "attempt 7 of the action of `inventory.reserve` was never sent",
                "attempt … of the action of … was never sent",
            ),
            (
                "the payload has 262145 bytes; at most 262144 are allowed: pass a reference",
                "the payload has … bytes; at most … are allowed",
            ),
            (r#"the name "a ` b" is not allowed"#, "the name … is not allowed"),
            ("the content type `text/plain", "the content type …"),
            ("", ""),
            (":", ""),
        ] {
            assert_eq!(without_details(reason), kind, "{reason}");
        }
        assert_eq!(without_details(&"é".repeat(500)).chars().count(), KIND_MAX);
    }
}
