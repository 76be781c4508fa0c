//! Standard output as people see it: its width and colours, where it is a terminal. Anything else gets text as it is.

use std::io::IsTerminal as _;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use terminal_size::Width;

/// What standard output shows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terminal {
    /// Columns; `None` where nothing is cut.
    pub(crate) width: Option<usize>,
    pub(crate) colours: bool,
}

impl Terminal {
    /// Standard output: `NO_COLOR` and `TERM=dumb` mean no colours, and what is piped has none.
    pub(crate) fn of_stdout() -> Self {
        let stdout = std::io::stdout();
        if !stdout.is_terminal() {
            return Self::default();
        }
        let width = terminal_size::terminal_size_of(&stdout).map(|(Width(width), _)| width.into());
        let colours = AutoStream::choice(&stdout) != ColorChoice::Never;
        Self { width: width.filter(|width| *width > 0), colours }
    }

    /// As much of a cell of a table as a terminal has room for, with a sign where it is cut.
    pub(crate) fn shorten(self, cell: &str, chars: usize) -> String {
        match (self.width, cell.char_indices().nth(chars)) {
            (Some(_), Some((end, _))) => format!("{}…", &cell[..end]),
            _ => cell.to_owned(),
        }
    }

    /// A saga's status or the verdict of a check, or a text about it, in its colour.
    pub(crate) fn paint(self, status: &str, text: &str) -> String {
        let style = if self.colours { style_of(status) } else { Style::new() };
        format!("{style}{text}{style:#}")
    }
}

/// Whether standard output is a terminal where text can be drawn over.
pub(crate) fn can_redraw() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn style_of(status: &str) -> Style {
    let colour = match status {
        "completed" | "ok" => AnsiColor::Green,
        "stuck" | "failed" => AnsiColor::Red,
        "compensating" | "compensated" | "warning" => AnsiColor::Yellow,
        "paused" | "queued" | "skipped" => AnsiColor::Cyan,
        _ => return Style::new(),
    };
    Style::new().fg_color(Some(colour.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_cut_on_a_terminal_only() {
        let terminal = Terminal { width: Some(80), colours: false };
        assert_eq!(terminal.shorten("ärger", 3), "ärg…");
        assert_eq!(terminal.shorten("ärger", 5), "ärger");
        assert_eq!(Terminal::default().shorten("ärger", 3), "ärger");
    }
}
