//! Text from outside, for a terminal.

/// Characters that are not seen themselves and change how others are: those of the categories Cf, Zl and Zp of Unicode.
/// See Unicode Technical Report 36, "Unicode Security Considerations".
const HIDDEN: [(char, char); 19] = [
    ('\u{00ad}', '\u{00ad}'),
    ('\u{0600}', '\u{0605}'),
    ('\u{061c}', '\u{061c}'),
    ('\u{06dd}', '\u{06dd}'),
    ('\u{070f}', '\u{070f}'),
    ('\u{0890}', '\u{0891}'),
    ('\u{08e2}', '\u{08e2}'),
    ('\u{180e}', '\u{180e}'),
    // Zero-width characters, marks of direction, line and paragraph separators, embeddings and overrides.
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    // Invisible operators, isolates.
    ('\u{2060}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    // Tags.
    ('\u{e0000}', '\u{e007f}'),
];

/// Text from outside on one line. A control character, which a terminal might obey, or one that is not seen
/// itself and changes how others are, is shown as U+FFFD.
///
/// ```
/// use amends::transcript::printable;
/// assert_eq!(printable("a\u{1b}[2Jb\u{202e}c\u{200b}d\u{2028}"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}");
/// assert_eq!(printable("Zażółć 東京 🙂"), "Zażółć 東京 🙂");
/// ```
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) { '\u{fffd}' } else { c }).collect()
}

fn is_hidden(c: char) -> bool {
    c.is_control() || HIDDEN.iter().any(|(first, last)| (*first..=*last).contains(&c))
}
