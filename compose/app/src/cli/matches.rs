//! From a command line to what was asked for.

use std::ffi::OsStr;

use clap::{ArgMatches, Command};

use crate::complaint::end_usage;

/// Commands that need no servers, or start their own.
const WITHOUT_SERVERS: [&str; 4] = ["dev", "check", "completions", "man"];

/// Whether a variable says where servers are, who logs in there, or in which way.
fn is_of_servers(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    name.starts_with("NATS_") || name == "DATABASE_URL" || name == "AMENDS_REQUIRE_TLS"
}

/// The arguments of the process; or its end, with help or with the mistake.
#[must_use]
pub fn matches(command: Command) -> ArgMatches {
    discreet(command).try_get_matches().unwrap_or_else(|error| end_usage(&error))
}

/// The same command line, which shows no value of the environment, and whose usage errors show how a command is
/// called: not those flags that are set already, of which most come from the environment. The help of a command
/// without servers shows no flags about them.
fn discreet(mut command: Command) -> Command {
    // Only then each command has the flags that all have.
    command.build();
    with_usage(command).mut_subcommands(|one| {
        if !WITHOUT_SERVERS.contains(&one.get_name()) {
            return one;
        }
        one.mut_args(
            |arg| {
                if arg.get_env().is_some_and(is_of_servers) { arg.hide(true) } else { arg }
            },
        )
    })
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

    use super::{WITHOUT_SERVERS, discreet};
    use crate::{app::App, cli::parse};

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

    #[test]
    fn a_command_without_servers_asks_for_none() {
        let help_of = |name: &str| {
            let called = discreet(parse::command(&App::new("shop")));
            called.try_get_matches_from(["shop", name, "--help"]).unwrap_err().render().to_string()
        };
        let flags = [
            "--database-url",
            "--nats-url",
            "--nats-creds",
            "--nats-login-timeout",
            "--nats-ca",
            "--nats-inbox-prefix",
            "--require-tls",
        ];
        for name in WITHOUT_SERVERS {
            let help = help_of(name);
            assert!(flags.iter().all(|flag| !help.contains(flag)), "{help}");
            assert!(help.contains("--log-format"), "{help}");
        }
        let help = help_of("all");
        assert!(flags.iter().all(|flag| help.contains(flag)), "{help}");
    }
}
