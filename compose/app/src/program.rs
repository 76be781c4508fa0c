//! The `main` of a program.

use std::process::ExitCode;

use crate::{app::App, cli, process};

impl App {
    /// The whole program, until its process ends: parses the command line, runs one command, and says how it
    /// ended. 0: done; 1: it failed, with one line on stderr that says why; 2: the command line is wrong.
    ///
    /// It belongs first into `main`, before any thread is started.
    #[must_use]
    pub fn main(self) -> ExitCode {
        process::main(
            self.name(),
            || cli::parse(&self),
            async |(settings, commands): cli::Parsed| {
                commands.run(&settings, &self, || cli::command(&self)).await
            },
        )
    }
}
