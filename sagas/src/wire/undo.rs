//! The body of a compensation.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};

/// The body of a compensation: the action's input, and its output, or `null` when its outcome is
/// unknown. It is read from an object with both members; others are ignored, and one that comes twice
/// is refused.
///
/// ```
/// use amends::wire::Undo;
/// let undo: Undo<u8, String> = serde_json::from_str(r#"{"input":2,"output":"room 7"}"#)?;
/// assert_eq!(undo, Undo { input: 2, output: Some("room 7".to_owned()) });
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Undo<I, O> {
    /// What the action was given.
    pub input: I,
    /// What the action answered, if anybody knows.
    pub output: Option<O>,
}

impl<'de, I: Deserialize<'de>, O: Deserialize<'de>> Deserialize<'de> for Undo<I, O> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    Input,
    Output,
    #[serde(other)]
    Other,
}

struct Members<I, O>(PhantomData<(I, O)>);

impl<'de, I: Deserialize<'de>, O: Deserialize<'de>> Visitor<'de> for Members<I, O> {
    type Value = Undo<I, O>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the members `input` and `output`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let (mut input, mut output) = (None, None);
        while let Some(name) = entries.next_key()? {
            match name {
                Name::Input if input.is_some() => return Err(A::Error::duplicate_field("input")),
                Name::Output if output.is_some() => {
                    return Err(A::Error::duplicate_field("output"));
                }
                Name::Input => input = Some(entries.next_value()?),
                Name::Output => output = Some(entries.next_value()?),
                Name::Other => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        let input = input.ok_or_else(|| A::Error::missing_field("input"))?;
        // One that nobody knows is said to be null.
        let output = output.ok_or_else(|| A::Error::missing_field("output"))?;
        Ok(Undo { input, output })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Undo<String, u8>, String> {
        serde_json::from_str(body).map_err(|error| error.to_string())
    }

    #[test]
    fn an_object_with_both_members_is_read() {
        let undo = |output| Ok(Undo { input: "i".to_owned(), output });
        assert_eq!(read(r#"{"input":"i","output":7}"#), undo(Some(7)));
        assert_eq!(read(r#"{"output":null,"input":"i"}"#), undo(None));
        assert_eq!(read(r#"{"output":7,"later":[{}],"input":"i","later":1}"#), undo(Some(7)));
        let written = serde_json::to_string(&Undo { input: "i", output: None::<u8> }).unwrap();
        assert_eq!(read(&written), undo(None));
    }

    #[test]
    fn another_shape_is_refused() {
        for (body, words) in [
            (r#"["i",7]"#, "an object with the members `input` and `output`"),
            (r#""i""#, "an object with the members `input` and `output`"),
            ("null", "an object with the members `input` and `output`"),
            ("{}", "missing field `input`"),
            (r#"{"input":"i"}"#, "missing field `output`"),
            (r#"{"output":7}"#, "missing field `input`"),
            (r#"{"input":null,"output":7}"#, "expected a string"),
            (r#"{"input":"i","input":"i","output":7}"#, "duplicate field `input`"),
            (r#"{"input":"i","output":7,"output":null}"#, "duplicate field `output`"),
            (r#"{"input":"i","output":"7"}"#, "expected u8"),
            (r#"{"input":"i","output":7.0}"#, "expected u8"),
            (r#"{"input":"i","output":256}"#, "expected u8"),
            (r#"{"input":"i","output":7}x"#, "trailing characters"),
            ("", "EOF"),
        ] {
            let error = read(body).unwrap_err();
            assert!(error.contains(words), "{body}: {error}");
        }
    }
}
