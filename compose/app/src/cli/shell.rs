//! Completion scripts of shells, and pages for `man`.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::{
    failed::{During as _, Failed},
    print::print,
};

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell that will read the script
    pub(super) shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The folder to write the pages to, e.g. ~/.local/share/man/man1
    pub(super) folder: PathBuf,
}

impl CompletionsArgs {
    /// Prints a script that the shell reads.
    pub(super) fn run(&self, command: &Command) -> Result<(), Failed> {
        let (mut shown, name) = (shown(command), command.get_name());
        // Not to standard output itself, where a pipe that is closed early would be a panic.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut shown, name, &mut script);
        print(&String::from_utf8(script).during("the script")?)
    }
}

/// The command line without what is for its own use.
fn shown(command: &Command) -> Command {
    let commands = command.get_subcommands().filter(|command| !command.is_hide_set());
    Command::new(command.get_name().to_owned())
        .args(command.get_arguments().cloned())
        .subcommands(commands.cloned())
}

impl ManArgs {
    /// Writes a page for the program, and one for each command.
    pub(super) fn run(&self, command: Command) -> Result<(), Failed> {
        let what = format!("the pages in {}", self.folder.display());
        std::fs::create_dir_all(&self.folder).during(&what)?;
        clap_mangen::generate_to(command, &self.folder).during(&what)
    }
}
