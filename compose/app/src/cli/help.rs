//! `--help`: commands in groups, by who needs them.

use clap::Command;

/// A heading, and the commands below it.
type Group<'a> = (&'a str, &'a [&'a str]);

/// The groups of the commands that every program has, beside those to try it with.
pub const GROUPS: [Group<'static>; 5] = [
    ("Run it", &["orchestrator", "worker", "migrate"]),
    ("Before a deploy", &["check", "graph", "plan"]),
    ("Look", &["list", "show", "top"]),
    ("Act", &["start", "retry", "skip", "resolve", "reply", "cancel", "pause", "resume"]),
    ("Maintain", &["letters", "locks", "break-lock", "definitions", "retire", "reinstate"]),
];

/// The same command line, its `--help` with commands in these groups.
#[must_use]
pub fn with_groups<'a>(command: Command, groups: impl IntoIterator<Item = Group<'a>>) -> Command {
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}Options:\n{{options}}{{after-help}}",
        list(&command, groups)
    );
    command.help_template(template)
}

fn list<'a>(command: &Command, groups: impl IntoIterator<Item = Group<'a>>) -> String {
    let width = command.get_subcommands().map(|c| c.get_name().len()).max().unwrap_or(0);
    let mut text = String::new();
    for (heading, names) in groups {
        text += &format!("{heading}:\n");
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            text += &format!("  {name:width$}  {about}\n");
        }
        text += "\n";
    }
    text
}
