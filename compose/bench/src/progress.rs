//! What a benchmark says while it runs.

use std::{io::Write as _, time::Instant};

/// Says how far it is.
pub(crate) struct Progress {
    began: Instant,
}

impl Progress {
    /// Counts from now on.
    pub(crate) fn start() -> Self {
        Self { began: Instant::now() }
    }

    pub(crate) fn say(&self, line: &str) {
        say(&format!("{:>4} s  {line}", self.began.elapsed().as_secs()));
    }
}

/// A line for who waits.
pub(crate) fn say(line: &str) {
    // With stderr closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}
