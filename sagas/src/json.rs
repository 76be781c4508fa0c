//! Payloads: JSON text, checked once at the edge and then passed on byte for byte.

use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// Largest payload in bytes. A NATS server closes the connection above its `max_payload` (1 MiB by
/// default), and a compensation carries two payloads and headers.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;

/// Deepest nesting of a payload: below the recursion limits of serde_json and Postgres.
pub const PAYLOAD_DEPTH_MAX: usize = 64;

/// A JSON text within the limits: at most [`PAYLOAD_BYTES_MAX`] and [`PAYLOAD_DEPTH_MAX`], valid
/// UTF-8 without U+0000 (Postgres cannot read such a text with `->>`). It is never re-written:
/// numbers keep their digits, objects their order. Cheap to clone.
///
/// ```
/// use amends::Json;
/// let json = Json::parse(br#"{"price": 10.50}"#)?;
/// assert_eq!(json.as_str(), r#"{"price": 10.50}"#);
/// assert_eq!(Json::of(&[1, 2])?.read::<Vec<u8>>()?, [1, 2]);
/// # Ok::<(), amends::JsonError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Arc<str>);

impl Json {
    /// Checks a text that came from outside.
    ///
    /// # Errors
    /// [`JsonError`] with what is wrong and where.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        if bytes.len() > PAYLOAD_BYTES_MAX {
            return Err(JsonError::TooLarge(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| JsonError::NotUtf8)?;
        if text.starts_with(BYTE_ORDER_MARK) {
            return Err(JsonError::ByteOrderMark);
        }
        if text.trim_ascii().is_empty() {
            return Err(JsonError::Empty);
        }
        let mut parser = serde_json::Deserializer::from_str(text);
        Checked { depth: 0 }
            .deserialize(&mut parser)
            .and_then(|()| parser.end())
            .map_err(JsonError::from_parser)?;
        Ok(Self(text.trim().into()))
    }

    /// Writes a value.
    ///
    /// # Errors
    /// [`JsonError`] when the value cannot be written or its text breaks a limit.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, JsonError> {
        let text = serde_json::to_vec(value).map_err(|e| JsonError::Invalid(e.to_string()))?;
        Self::parse(&text)
    }

    /// Takes a text that the store wrote earlier, and so was checked when it came in.
    #[must_use]
    pub fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    /// `null`.
    #[must_use]
    pub fn null() -> Self {
        Self("null".into())
    }

    /// Reads the text as a type.
    ///
    /// # Errors
    /// The parser's words.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        serde_json::from_str(&self.0).map_err(|e| JsonError::Invalid(e.to_string()))
    }

    /// The text as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What two texts have in common that differ at most in white space between tokens: 128 bits of
    /// SHA-256. Numbers count by their digits, never through a float; the order of keys counts.
    #[must_use]
    pub fn digest(&self) -> [u8; 16] {
        let mut tokens = Vec::with_capacity(self.0.len());
        tokens.extend(without_spaces(&self.0));
        let mut digest = [0; 16];
        digest.copy_from_slice(&Sha256::digest(&tokens)[..16]);
        digest
    }
}

/// The bytes of a JSON text without white space outside strings.
fn without_spaces(text: &str) -> impl Iterator<Item = u8> + '_ {
    let (mut in_string, mut escaped) = (false, false);
    text.bytes().filter(move |c| {
        if in_string {
            (in_string, escaped) = (*c != b'"' || escaped, *c == b'\\' && !escaped);
            return true;
        }
        in_string = *c == b'"';
        !c.is_ascii_whitespace()
    })
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Self::parse(raw.get().as_bytes()).map_err(D::Error::custom)
    }
}

/// Why a text is not a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Above [`PAYLOAD_BYTES_MAX`].
    #[error(
        "the payload has {0} bytes; at most {PAYLOAD_BYTES_MAX} are allowed: pass a reference to large data instead"
    )]
    TooLarge(usize),
    /// Not UTF-8.
    #[error("the payload is not UTF-8 text")]
    NotUtf8,
    /// Text of other programs, which RFC 8259 does not allow in a message.
    #[error("the payload begins with a byte order mark: send it without")]
    ByteOrderMark,
    /// Nothing at all.
    #[error("the payload is not JSON: it is empty")]
    Empty,
    /// Above [`PAYLOAD_DEPTH_MAX`].
    #[error("the payload is nested more than {PAYLOAD_DEPTH_MAX} levels deep")]
    TooDeep,
    /// U+0000 in a string or key.
    #[error("the payload holds the character U+0000, which Postgres cannot store as text")]
    Nul,
    /// Not JSON, or not of the wanted type.
    #[error("{0}")]
    Invalid(String),
}

const BYTE_ORDER_MARK: char = '\u{feff}';

const DEEP: &str = "amends: too deep";
const NUL: &str = "amends: nul";

impl JsonError {
    fn from_parser(error: serde_json::Error) -> Self {
        let text = error.to_string();
        if text.starts_with(DEEP) || text.starts_with("recursion limit") {
            Self::TooDeep
        } else if text.starts_with(NUL) {
            Self::Nul
        } else {
            Self::Invalid(format!("the payload is not JSON: {text}"))
        }
    }
}

/// Walks a value once without building it.
struct Checked {
    depth: usize,
}

impl Checked {
    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        if self.depth == PAYLOAD_DEPTH_MAX {
            return Err(E::custom(DEEP));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Checked {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if text.contains('\0') { Err(E::custom(NUL)) } else { Ok(()) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self.deeper()?)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inner = self.deeper::<A::Error>()?;
        while entries.next_key_seed(Self { depth: inner.depth })?.is_some() {
            entries.next_value_seed(Self { depth: inner.depth })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }

    #[test]
    fn limits_hold_at_their_edges() {
        assert!(Json::parse(nested(PAYLOAD_DEPTH_MAX).as_bytes()).is_ok());
        for depth in [PAYLOAD_DEPTH_MAX + 1, 100_000] {
            assert_eq!(Json::parse(nested(depth).as_bytes()), Err(JsonError::TooDeep));
        }
        let exact = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES_MAX - 2));
        assert!(Json::parse(exact.as_bytes()).is_ok());
        let over = PAYLOAD_BYTES_MAX + 1;
        assert_eq!(Json::parse(&vec![b' '; over]), Err(JsonError::TooLarge(over)));
        assert_eq!(Json::parse(br#"{"a":"\u0000"}"#), Err(JsonError::Nul));
        assert_eq!(Json::parse(br#"{"a\u0000":1}"#), Err(JsonError::Nul));
        assert_eq!(Json::parse(b"\"\xff\""), Err(JsonError::NotUtf8));
        assert_eq!(Json::parse("\u{feff}{}".as_bytes()), Err(JsonError::ByteOrderMark));
        for empty in ["", " \r\n\t"] {
            assert_eq!(Json::parse(empty.as_bytes()), Err(JsonError::Empty), "{empty:?}");
        }
        for bad in ["1e400", "{", "nul", "{\"a\":1}x", "\"\\ud800\"", "\"\0\""] {
            assert!(matches!(Json::parse(bad.as_bytes()), Err(JsonError::Invalid(_))), "{bad}");
        }
    }

    #[test]
    fn bytes_are_kept() {
        let text = r#"{"b": 1.10, "a":123456789012345678901234567890,"b":1e2}"#;
        let json = Json::parse(text.as_bytes()).unwrap();
        assert_eq!(json.as_str(), text);
        assert_eq!(serde_json::to_string(&json).unwrap(), text);
    }

    #[test]
    fn only_white_space_between_tokens_is_ignored() {
        let digest = |t: &str| Json::parse(t.as_bytes()).unwrap().digest();
        assert_eq!(digest(r#"{"a": [1, 2]}"#), digest(r#"{"a":[1,2]}"#));
        assert_ne!(digest(r#"{"a":"x y"}"#), digest(r#"{"a":"xy"}"#));
        assert_ne!(digest(r#"{"a":"\" b"}"#), digest(r#"{"a":"\"b"}"#));
        assert_ne!(digest("123456789012345678901"), digest("123456789012345678902"));
    }
}
