//! The members of a JSON object: each once, and nothing but an object will do. Types that derive their
//! decoder also take an array for an object, and what they say of a wrong one names no remedy.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer as _,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::JsonError;

/// The members of an object, by their names. One that is `null` counts as absent.
pub(crate) struct Members<'a> {
    /// What the object is, for what is said of it: "the reply".
    what: &'static str,
    members: BTreeMap<Cow<'a, str>, &'a str>,
}

/// Longest part of a wrong value that is quoted.
const QUOTED_MAX: usize = 40;

impl<'a> Members<'a> {
    /// Reads an object that was checked as a payload.
    ///
    /// # Errors
    /// [`JsonError::Invalid`] when it is no object, or holds a member twice.
    pub(crate) fn of(what: &'static str, json: &'a str) -> Result<Self, JsonError> {
        let kind = Kind::of(json);
        if kind != Kind::Object {
            return Err(JsonError::Invalid(format!("{what} is {kind}; it must be an object")));
        }
        let mut members = BTreeMap::new();
        for (name, value) in pairs(json)? {
            if let Some(twice) = members.insert(name.clone(), value).map(|_| name) {
                let twice: String = twice.chars().take(QUOTED_MAX).collect();
                let wrong = format!("{what} holds the member `{twice}` twice");
                return Err(JsonError::Invalid(wrong));
            }
        }
        Ok(Self { what, members })
    }

    /// Whether there is such a member.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// A member as it was written.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a str> {
        self.members.get(name).copied().filter(|raw| Kind::of(raw) != Kind::Null)
    }

    /// A member that is text.
    ///
    /// # Errors
    /// [`JsonError::Invalid`] when it is anything else.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, JsonError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let text = serde_json::from_str(raw);
        text.map(Some).map_err(|_| self.wrong(name, raw, "text in double quotes"))
    }

    /// A member that counts something.
    ///
    /// # Errors
    /// [`JsonError::Invalid`] when it is anything else, also `1.0` and `"1"`.
    pub(crate) fn count(&self, name: &str) -> Result<Option<u64>, JsonError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let count = serde_json::from_str(raw);
        count.map(Some).map_err(|_| self.wrong(name, raw, "a whole number from 0"))
    }

    /// What is said of a member of a wrong type.
    fn wrong(&self, name: &str, raw: &str, wanted: &str) -> JsonError {
        let (what, kind) = (self.what, Kind::of(raw));
        let quoted: String = raw.chars().take(QUOTED_MAX).collect();
        let found = if kind == Kind::Number { quoted } else { kind.to_string() };
        JsonError::Invalid(format!("the member `{name}` of {what} is {found}; it must be {wanted}"))
    }
}

/// Whether a JSON text is an object with all of these members, however often it has them.
pub(crate) fn has_all(json: &str, names: &[&str]) -> bool {
    let Ok(pairs) = pairs(json) else { return false };
    let has = |name: &str| {
        pairs.iter().any(|(found, value)| found == name && Kind::of(value) != Kind::Null)
    };
    names.iter().all(|name| has(name))
}

/// A member's name, borrowed where it has no escapes, and its value as it was written.
type Pair<'a> = (Cow<'a, str>, &'a str);

fn pairs(json: &str) -> Result<Vec<Pair<'_>>, JsonError> {
    let mut parser = serde_json::Deserializer::from_str(json);
    let pairs = parser.deserialize_map(Pairs(PhantomData));
    pairs.map_err(|error| JsonError::Invalid(error.to_string()))
}

/// Which of the six a JSON text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    Text,
    Boolean,
    Null,
    Number,
}

impl Kind {
    /// Of a text that is JSON: its first byte says it.
    fn of(json: &str) -> Self {
        match json.trim_start().as_bytes().first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b'"') => Self::Text,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'n') => Self::Null,
            _ => Self::Number,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::Text => "text",
            Self::Boolean => "a boolean",
            Self::Null => "null",
            Self::Number => "a number",
        })
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Collects what an object holds.
struct Pairs<'a>(PhantomData<&'a ()>);

impl<'de> Visitor<'de> for Pairs<'de> {
    type Value = Vec<Pair<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some((Name(name), value)) = entries.next_entry::<Name<'de>, &'de RawValue>()? {
            pairs.push((name, value.get()));
        }
        Ok(pairs)
    }
}
