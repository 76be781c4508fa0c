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
