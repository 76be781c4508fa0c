//! From a command line to what was asked for.

use clap::{ArgMatches, Command};

use crate::complaint::end_usage;

/// What the process was called with, or its end with help or what is wrong.
#[must_use]
pub fn matches(command: Command) -> ArgMatches {
    discreet(command).try_get_matches().unwrap_or_else(|error| end_usage(&error))
}

/// The same command line, which shows no value of the environment, and whose usage errors show how a command is
/// called: not those flags that are set already, of which most come from the environment.
fn discreet(mut command: Command) -> Command {
    command.build();
    with_usage(command)
}

fn with_usage(mut command: Command) -> Command {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().to_owned();
    command
        .override_usage(usage)
        .mut_args(|arg| arg.hide_env_values(true))
        .mut_subcommands(with_usage)
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::discreet;

    #[test]
    fn usage_errors_are_discreet() {
        let flag = |name: &'static str| Arg::new(name).long(name);
        let command = Command::new("shop")
            .arg(flag("url").global(true).env("PATH"))
            .subcommand(Command::new("show").arg(Arg::new("id").required(true)));
        let error = discreet(command.clone()).try_get_matches_from(["shop", "show"]).unwrap_err();
        let text = error.render().to_string();
        assert!(text.contains("Usage: shop show [OPTIONS] <id>\n"), "{text}");
        assert!(!text.contains("--url"), "{text}");
        let help = discreet(command).try_get_matches_from(["shop", "show", "--help"]).unwrap_err();
        let help = help.render().to_string();
        assert!(help.contains("[env: PATH]") && help.contains("Usage: shop show"), "{help}");
    }
}
