//! What to try beside a `dev` that runs: one example of each saga, as commands to paste.

use crate::example::Example;

/// The commands; `executable` is this program as its user has called it.
pub(crate) fn tour(examples: &[Example], hints: &str, executable: &str) -> String {
    let mut text = String::new();
    for example in examples {
        let Example { subject, body, .. } = example;
        text += &format!("  nats --server \"$NATS_URL\" pub {subject} {}\n", quoted(body));
    }
    text += "  psql \"$DATABASE_URL\" -c 'select key, status, step, error from amends.sagas'\n";
    for key in examples.iter().filter_map(|example| example.key.as_ref()) {
        text += &format!("  {executable} show {}\n", quoted(key));
    }
    text + hints
}

/// What the program's author wrote about its examples, with the keys that the examples have now.
pub(crate) fn hints_about(hints: &str, written: &[Example], now: &[Example]) -> String {
    let keys = written
        .iter()
        .zip(now)
        .filter_map(|(written, now)| Some((written.key.as_ref()?, now.key.as_ref()?)));
    keys.fold(hints.to_owned(), |hints, (old, new)| with_key(&hints, old, new))
}

/// The text with another key where this one stands in JSON.
fn with_key(text: &str, old: &str, new: &str) -> String {
    text.replace(&format!("\"{old}\""), &format!("\"{new}\""))
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
    fn hints_follow_the_key() {
        let hints = r#"pub visas.granted '{"trip_id":"t-1","visa":"t-10"}'"#;
        let now = r#"pub visas.granted '{"trip_id":"t-1-2","visa":"t-10"}'"#;
        assert_eq!(super::with_key(hints, "t-1", "t-1-2"), now);
    }

    #[test]
    fn a_word_of_a_shell() {
        for (text, word) in [("o-1", "o-1"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'")] {
            assert_eq!(super::quoted(text), word);
        }
    }
}
