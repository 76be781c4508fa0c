//! Answers on standard output.

use std::io::{ErrorKind, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::failed::{During as _, Failed};

/// Prints a value as JSON: in one line for a program, indented on a terminal.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failed> {
    let pretty = std::io::stdout().is_terminal();
    let text =
        if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    print(&(text.during("the answer cannot be written as JSON")? + "\n"))
}

/// Prints to stdout. A reader that went away (`| head`) is no failure.
///
/// # Errors
/// When stdout cannot be written.
pub fn print(text: &str) -> Result<(), Failed> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failed::caused_by("stdout", error))
        }
        _ => Ok(()),
    }
}

/// Lines of cells, each column as wide as its widest cell.
pub(crate) fn columns<const N: usize>(lines: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let text = lines.iter().map(|line| {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    });
    text.collect()
}
