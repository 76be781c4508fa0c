//! The last words of a command that failed, on stderr: a line for people or, where `--json` is asked for, an object
//! for scripts.

use std::{
    ffi::OsStr,
    io::{self, Write as _},
};

use amends::transcript::printable;
use serde::Serialize;

use crate::{failed::Failed, program_name::program_name};

/// Why a command failed, for scripts.
#[derive(Debug, Serialize)]
struct Complaint<'a> {
    error: &'a str,
    exit_code: u8,
    /// Of a refusal by Postgres.
    #[serde(skip_serializing_if = "Option::is_none")]
    sqlstate: Option<String>,
    /// More to read, such as the ends of logs.
    #[serde(skip_serializing_if = "str::is_empty")]
    details: &'a str,
    /// How the command is called.
    #[serde(skip_serializing_if = "str::is_empty")]
    help: &'a str,
}

/// Says why a command failed.
pub(crate) fn complain(failed: &Failed) {
    let sentence = failed.sentence();
    if json_is_asked_for(std::env::args_os()) {
        write_json(&Complaint {
            error: &sentence,
            exit_code: failed.exit_code(),
            sqlstate: failed.sqlstate(),
            details: failed.details().trim(),
            help: "",
        });
    } else {
        // Errors and arguments of other people's are in it.
        write_line(&lines(&format!("{}: {failed}", program_name())));
    }
}

/// Ends the process with help, or with the mistake in its command line.
pub(crate) fn end_usage(error: &clap::Error) -> ! {
    if error.use_stderr() && json_is_asked_for(std::env::args_os()) {
        let text = error.render().to_string();
        let (sentence, help) = parts(&text);
        let exit_code = u8::try_from(error.exit_code()).unwrap_or(2);
        write_json(&Complaint { error: &sentence, exit_code, sqlstate: None, details: "", help });
        std::process::exit(exit_code.into());
    }
    let text = error.render().to_string();
    if error.use_stderr() && lines(&text) != text {
        write_line(lines(&text).trim_end());
        std::process::exit(error.exit_code());
    }
    error.exit()
}

/// The same lines, without what a terminal might obey.
fn lines(text: &str) -> String {
    let parts = text.split_inclusive(['\n', '\t']).map(|part| {
        let text = part.trim_end_matches(['\n', '\t']);
        printable(text) + &part[text.len()..]
    });
    parts.collect()
}

/// Whether the command line has `--json`: also when the parser could make nothing of it.
fn json_is_asked_for(arguments: impl Iterator<Item = impl AsRef<OsStr>>) -> bool {
    let mut flags = arguments.skip(1).take_while(|argument| argument.as_ref() != "--");
    flags.any(|argument| argument.as_ref() == "--json")
}

/// The sentence of a usage error, and what comes below it.
fn parts(text: &str) -> (String, &str) {
    let (sentence, help) = text.split_once("\n\n").unwrap_or((text, ""));
    let lines = sentence.trim_start_matches("error: ").lines().map(str::trim);
    (lines.collect::<Vec<_>>().join(" "), help.trim())
}

fn write_json(complaint: &Complaint<'_>) {
    match serde_json::to_string(complaint) {
        Ok(object) => write_line(&object),
        Err(_) => write_line(complaint.error),
    }
}

/// Writes a line to stderr.
pub(crate) fn write_line(line: &str) {
    // With stderr closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_a_flag_and_no_operand() {
        for (line, json) in [
            ("amends list --json", true),
            ("amends list", false),
            ("--json list", false),
            ("amends show -- --json", false),
        ] {
            assert_eq!(json_is_asked_for(line.split(' ')), json, "{line}");
        }
    }

    #[test]
    fn lines_stay_and_what_a_terminal_obeys_does_not() {
        assert_eq!(lines("a\n\tb\n"), "a\n\tb\n");
        assert_eq!(lines("a\u{1b}[2J\n\u{202e}b"), "a\u{fffd}[2J\n\u{fffd}b");
    }

    #[test]
    fn a_usage_error_is_a_sentence_and_help() {
        let missing = "error: these were not provided:\n  --reason <R>\n\nUsage: a b\n\nMore\n";
        let sentence = "these were not provided: --reason <R>".to_owned();
        assert_eq!(parts(missing), (sentence, "Usage: a b\n\nMore"));
    }
}
