//! What to try beside a `dev` that runs: one example of each saga, as commands to paste.

use amends::{Definition, Json, Saga};
use serde::Serialize;

use crate::app::App;

/// An input with which a saga goes well.
pub(crate) struct Example {
    subject: String,
    /// JSON.
    body: String,
    /// What names its saga in `show`.
    key: Option<String>,
}

impl Example {
    /// `None` where the definition is not sound or has no such input: `check` says why.
    pub(crate) fn of<S: Saga<Input: Serialize>>(input: &S::Input) -> Option<Self> {
        let definition = Definition::of::<S>().ok()?;
        let input = Json::of(input).ok()?;
        let key = definition.admit(&input).ok()?.key;
        Some(Self {
            subject: definition.outline().trigger.clone(),
            body: input.as_str().to_owned(),
            key,
        })
    }
}

/// The commands; `executable` is this program as its user has called it.
pub(crate) fn tour(app: &App, executable: &str) -> String {
    let mut text = String::new();
    for example in app.examples() {
        let Example { subject, body, .. } = example;
        text += &format!("  nats --server \"$NATS_URL\" pub {subject} {}\n", quoted(body));
    }
    text += "  psql \"$DATABASE_URL\" -c 'select key, status, step, error from amends.sagas'\n";
    for key in app.examples().iter().filter_map(|example| example.key.as_ref()) {
        text += &format!("  {executable} show {}\n", quoted(key));
    }
    text + app.further_hints()
}

/// One word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_word_of_a_shell() {
        for (text, word) in [("o-1", "o-1"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'")] {
            assert_eq!(super::quoted(text), word);
        }
    }
}
