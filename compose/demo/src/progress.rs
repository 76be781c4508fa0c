//! What a demo shows while it runs: a bar on a terminal, lines elsewhere.

use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines where no terminal is.
const LINES: Duration = Duration::from_secs(3);

pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    noun: &'static str,
    last: Instant,
}

impl Progress {
    pub(crate) fn new(total: u64, noun: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = format!("{{bar:40}} {{pos}}/{{len}} {noun} ended  {{msg}}");
            let style = ProgressStyle::with_template(&style)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style)
        });
        Self { bar, total, noun, last: Instant::now() }
    }

    pub(crate) fn set(&mut self, ended: u64, message: String) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(ended);
                bar.set_message(message);
            }
            None if self.last.elapsed() >= LINES => {
                self.last = Instant::now();
                self.say(&format!("{ended}/{} {} ended  {message}", self.total, self.noun));
            }
            None => {}
        }
    }

    /// A line that stays.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            // With stderr closed there is nobody to tell.
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }

    pub(crate) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
