//! Answers on standard output.

use std::io::{ErrorKind, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::{
    failed::{During as _, Failed},
    terminal::Terminal,
};

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

/// The head of the column whose cells have the colour of a status.
const STATUS: &str = "STATUS";

/// Prints a table, cut at the width of a terminal, and below it a text.
///
/// # Errors
/// When stdout cannot be written.
pub(crate) fn print_table<const N: usize>(
    lines: &[[String; N]],
    below: &str,
) -> Result<(), Failed> {
    print(&(table(lines, Terminal::of_stdout()) + below))
}

/// Lines of cells, each column as wide as its widest cell.
pub(crate) fn columns<const N: usize>(lines: &[[String; N]]) -> String {
    table(lines, Terminal::default())
}

/// The same as this terminal shows them.
fn table<const N: usize>(lines: &[[String; N]], terminal: Terminal) -> String {
    let mut widths = [0; N];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let status = lines.first().and_then(|heads| heads.iter().position(|head| head == STATUS));
    let (mut text, mut cut) = (String::new(), 0);
    for line in lines {
        let padded = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let whole = padded.collect::<Vec<_>>().join("  ").trim_end().to_owned();
        let shown = fit(&whole, terminal.width);
        cut += usize::from(shown != whole);
        let before = |at: usize| widths.iter().take(at).map(|width| width + 2).sum();
        text += &match status.and_then(|at| Some((before(at), line.get(at)?))) {
            Some((start, status)) => coloured(&shown, start, status, terminal),
            None => shown,
        };
        text.push('\n');
    }
    match cut {
        0 => text,
        1 => text + "1 line is cut to the width of the terminal: `| cat` shows all of it\n",
        cut => {
            text + &format!(
                "{cut} lines are cut to the width of the terminal: `| cat` shows all of them\n"
            )
        }
    }
}

/// As much of a line as the terminal is wide, with a sign where it is cut.
fn fit(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if line.chars().count() > width => {
            line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
        }
        _ => line.to_owned(),
    }
}

/// The line with the status that begins at this character in its colour, where it was not cut.
fn coloured(line: &str, start: usize, status: &str, terminal: Terminal) -> String {
    let at = line.char_indices().nth(start).map_or(line.len(), |(at, _)| at);
    let (before, rest) = line.split_at(at);
    match rest.strip_prefix(status) {
        Some(behind) => format!("{before}{}{behind}", terminal.paint(status, status)),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> [[String; 3]; 3] {
        [["KEY", "STATUS", "WHY"], ["é-1", "stuck", "no route"], ["o-20", "running", ""]]
            .map(|line| line.map(str::to_owned))
    }

    #[test]
    fn a_pipe_gets_all_and_no_colours() {
        let whole = "KEY   STATUS   WHY\né-1   stuck    no route\no-20  running\n";
        assert_eq!(columns(&lines()), whole);
    }

    #[test]
    fn a_terminal_gets_what_fits_and_is_told() {
        let terminal = Terminal { width: Some(18), colours: false };
        let cut = "KEY   STATUS   WHY\né-1   stuck    no…\no-20  running\n\
                   1 line is cut to the width of the terminal: `| cat` shows all of it\n";
        assert_eq!(table(&lines(), terminal), cut);
        let narrow = table(&lines(), Terminal { width: Some(8), colours: true });
        assert!(narrow.starts_with("KEY   S…\né-1   s…\n"), "{narrow}");
        assert!(narrow.contains("3 lines are cut"), "{narrow}");
    }

    #[test]
    fn a_status_has_a_colour() {
        let text = table(&lines(), Terminal { width: None, colours: true });
        assert!(text.contains("é-1   \x1b[31mstuck\x1b[0m    no route\n"), "{text:?}");
        assert_eq!(text.matches('\x1b').count(), 2, "{text:?}");
    }
}
