//! Orders or trips from a file.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::Path,
};

use amends_app::{During as _, Failed};

use crate::{example::Example, message::Message};

/// Most lines that are read.
const LINES_MAX: usize = 1_000_000;

/// A message for each line of a file; `-` is standard input.
pub(crate) fn read(example: Example, file: &Path) -> Result<Vec<Message>, Failed> {
    let what = format!("the {} in {}", example.noun(), file.display());
    let reader: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).during(&what)?)
    };
    let mut messages = Vec::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.during(&what)?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if messages.len() == LINES_MAX {
            return Err(Failed::new(format!("{what} have more than {LINES_MAX} lines")));
        }
        messages.push(Message { subject: example.subject(), body: line.into() });
    }
    if messages.is_empty() {
        return Err(Failed::new(format!(
            "{what}: there are none, one JSON object a line is expected"
        )));
    }
    Ok(messages)
}
