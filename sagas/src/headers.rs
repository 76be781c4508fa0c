//! The headers of a message, as far as one is read.

use mediatype::{MediaType, names};

/// The headers of a message, in any order, with a pair for each value.
#[derive(Debug, Clone, Default)]
pub struct Headers<'a>(Vec<(&'a str, &'a str)>);

/// Why a header cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Which of the values counts nobody can say.
    #[error("the header {0} comes more than once: send it once")]
    Twice(String),
    /// Not of the form that RFC 9110 gives it.
    #[error("the content type `{0}` is malformed: write for instance application/json")]
    Malformed(String),
    /// A body of another type, whatever is in it.
    #[error(
        "the content type `{0}` is not JSON: publish JSON as application/json, or without a content type"
    )]
    NotJson(String),
}

/// Longest part of a wrong value that is quoted.
const QUOTED_MAX: usize = 80;

impl<'a> FromIterator<(&'a str, &'a str)> for Headers<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl<'a> Headers<'a> {
    /// The value of a header of Amends, whose name is written just so.
    ///
    /// # Errors
    /// [`HeaderError::Twice`].
    pub fn get(&self, name: &str) -> Result<Option<&'a str>, HeaderError> {
        self.only(name, |found| found == name)
    }

    /// The value of a header that came from elsewhere, whose name is written in any case.
    ///
    /// # Errors
    /// [`HeaderError::Twice`].
    pub(crate) fn get_in_any_case(&self, name: &str) -> Result<Option<&'a str>, HeaderError> {
        self.only(name, |found| found.eq_ignore_ascii_case(name))
    }

    /// All values of a header that came from elsewhere, whose name is written in any case.
    pub(crate) fn all_in_any_case(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, v)| *v)
    }

    fn only(&self, name: &str, is: impl Fn(&str) -> bool) -> Result<Option<&'a str>, HeaderError> {
        let mut values = self.0.iter().filter(|(found, _)| is(found)).map(|(_, value)| *value);
        let value = values.next();
        match values.next() {
            None => Ok(value),
            Some(_) => Err(HeaderError::Twice(name.to_owned())),
        }
    }

    /// What the publisher said of the body's type, if anything.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub(crate) fn content_type(&self) -> Result<Option<ContentType>, HeaderError> {
        self.get_in_any_case("Content-Type")?.map(ContentType::parse).transpose()
    }

    /// Whether the body may be JSON, by what is said of it.
    ///
    /// # Errors
    /// [`HeaderError`] when it is said to be something else.
    pub fn expect_json(&self) -> Result<(), HeaderError> {
        match self.content_type()? {
            None | Some(ContentType::Json) => Ok(()),
            Some(other) => Err(HeaderError::NotJson(other.to_string())),
        }
    }
}

/// A type of bodies, without its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContentType {
    /// `application/json`, or another type whose syntax is JSON: `application/…+json`.
    Json,
    /// A CloudEvent in its JSON format: `application/cloudevents+json`.
    CloudEvent,
    /// Several of them: `application/cloudevents-batch+json`.
    CloudEventBatch,
    /// Any other type, in lower case.
    Other(String),
}

impl ContentType {
    /// Reads a content type by RFC 9110: in any case, with parameters, with white space around them.
    ///
    /// # Errors
    /// [`HeaderError::Malformed`].
    pub(crate) fn parse(text: &str) -> Result<Self, HeaderError> {
        let quoted = || text.chars().take(QUOTED_MAX).collect();
        let parsed = MediaType::parse(text.trim_matches([' ', '\t']));
        let parsed = parsed.map_err(|_| HeaderError::Malformed(quoted()))?;
        let essence = parsed.essence();
        let is_json = parsed.suffix.is_some_and(|suffix| suffix == names::JSON)
            || (parsed.suffix.is_none() && parsed.subty == names::JSON);
        let subtype = parsed.subty.as_str().to_ascii_lowercase();
        let application = parsed.ty == names::APPLICATION;
        Ok(match (application, is_json, subtype.as_str()) {
            (true, true, "cloudevents") => Self::CloudEvent,
            (true, true, "cloudevents-batch") => Self::CloudEventBatch,
            (true, true, _) => Self::Json,
            _ => Self::Other(essence.to_string().to_ascii_lowercase()),
        })
    }
}

impl std::fmt::Display for ContentType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Json => "application/json",
            Self::CloudEvent => "application/cloudevents+json",
            Self::CloudEventBatch => "application/cloudevents-batch+json",
            Self::Other(essence) => essence,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_ours_has_one_name_and_comes_once() {
        let headers: Headers<'_> =
            [("Amends-Id", "a"), ("amends-id", "b"), ("x", "1"), ("x", "1")].into_iter().collect();
        assert_eq!(headers.get("Amends-Id"), Ok(Some("a")));
        assert_eq!(headers.get("AMENDS-ID"), Ok(None));
        assert_eq!(headers.get("x"), Err(HeaderError::Twice("x".to_owned())));
        assert_eq!(Headers::default().get("x"), Ok(None));
    }

    #[test]
    fn a_body_is_json_unless_its_type_says_otherwise() {
        let check = |value| [("content-type", value)].into_iter().collect::<Headers<'_>>();
        assert_eq!(Headers::default().expect_json(), Ok(()));
        for json in ["application/json", "APPLICATION/JSON ;q=1", "application/amends.reply+json"] {
            assert_eq!(check(json).expect_json(), Ok(()), "{json}");
        }
        for other in ["application/jsonfoo", "text/plain", "application/cloudevents+json"] {
            assert_eq!(check(other).expect_json(), Err(HeaderError::NotJson(other.to_owned())));
        }
    }
}
