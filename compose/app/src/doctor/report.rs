//! What all checks came to: lines for people, an object for scripts.

use amends::transcript::printable;
use serde::Serialize;

use super::check::{Check, Verdict};
use crate::{
    failed::Failed,
    print::{print, print_json},
    terminal::Terminal,
};

/// Columns before what was found: two spaces, a verdict, and two more.
const VERDICT: usize = 2 + 7 + 2;

/// The narrowest column that text is broken into.
const NARROWEST: usize = 30;

#[derive(Debug, Serialize)]
struct Report<'a> {
    ok: bool,
    counts: Counts,
    checks: &'a [Check],
}

#[derive(Debug, Serialize)]
struct Counts {
    ok: usize,
    warnings: usize,
    failed: usize,
    skipped: usize,
}

/// Prints the checks, grouped; fails when one has failed, with `strict` also for a warning.
pub(super) fn report(mut checks: Vec<Check>, json: bool, strict: bool) -> Result<(), Failed> {
    checks.sort_by_key(|check| check.group);
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let counts = Counts {
        ok: count(Verdict::Ok),
        warnings: count(Verdict::Warning),
        failed: count(Verdict::Failed),
        skipped: count(Verdict::Skipped),
    };
    let ok = counts.failed == 0 && !(strict && counts.warnings > 0);
    let sum = counts.sentence();
    if json {
        print_json(&Report { ok, counts, checks: &checks })?;
    } else {
        print(&format!("{}\n{sum}\n", lines(&checks, Terminal::of_stdout())))?;
    }
    if ok { Ok(()) } else { Err(Failed::new(complaint(&checks, strict))) }
}

impl Counts {
    fn sentence(&self) -> String {
        let plural = if self.warnings == 1 { "" } else { "s" };
        let Self { ok, warnings, failed, skipped } = self;
        format!("{ok} ok, {warnings} warning{plural}, {failed} failed, {skipped} skipped")
    }
}

/// Which checks it fails for.
fn complaint(checks: &[Check], strict: bool) -> String {
    let of = |verdict| {
        let such = checks.iter().filter(move |check| check.verdict == verdict);
        such.map(|check| format!("{}: {}", check.group.title(), check.name)).collect::<Vec<_>>()
    };
    let (failed, warnings) = (of(Verdict::Failed), of(Verdict::Warning));
    let mut parts = Vec::new();
    if !failed.is_empty() {
        parts.push(format!("failed: {}", failed.join(", ")));
    }
    if strict && !warnings.is_empty() {
        parts.push(format!("to look at: {}", warnings.join(", ")));
    }
    printable(&parts.join("; "))
}

/// A heading for each group, a line for each check, and what to do below it.
fn lines(checks: &[Check], terminal: Terminal) -> String {
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    let indent = VERDICT + width + 2;
    let (mut text, mut group) = (String::new(), None);
    for check in checks {
        if group != Some(check.group) {
            let space = if group.is_some() { "\n" } else { "" };
            text += &format!("{space}{}\n", check.group.title());
            group = Some(check.group);
        }
        let word = check.verdict.word();
        let painted = terminal.paint(word, &format!("{word:<7}"));
        let name = printable(&check.name);
        let found = wrapped(&printable(&check.found), indent, terminal.width);
        text += format!("  {painted}  {name:<width$}  {found}").trim_end();
        text.push('\n');
        if !check.advice.is_empty() {
            let advice = wrapped(&printable(&check.advice), indent + 2, terminal.width);
            text += &format!("{:indent$}→ {advice}\n", "");
        }
    }
    text
}

/// Text that begins in this column, broken between words where a terminal ends.
fn wrapped(text: &str, indent: usize, width: Option<usize>) -> String {
    let Some(width) = width.map(|width| width.saturating_sub(indent).max(NARROWEST)) else {
        return text.to_owned();
    };
    let (mut lines, mut used) = (String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines += &format!("\n{:indent$}", "");
            used = 0;
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines += word;
        used += length;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{super::check::Group, *};

    #[test]
    fn lines_are_aligned_and_break_where_the_terminal_ends() {
        let checks = [
            Group::Servers.ok("nats", "answers"),
            Group::Nats.failed("a longer name", "one two three four five six", "do this now"),
        ];
        let whole = "\
Servers
  ok       nats           answers

NATS
  failed   a longer name  one two three four five six
                          → do this now
";
        assert_eq!(lines(&checks, Terminal::default()), whole);
        let narrow = Terminal { width: Some(26 + 30), colours: false };
        assert_eq!(lines(&checks, narrow), whole);
        let text = "a sentence that is longer than thirty columns";
        assert_eq!(
            wrapped(text, 4, Some(34)),
            "a sentence that is longer than\n    thirty columns"
        );
    }

    #[test]
    fn warnings_fail_on_request_only() {
        let warned = || vec![Group::Nats.warning("sync", "two minutes", "shorten it")];
        assert_eq!(complaint(&warned(), false), "");
        assert_eq!(complaint(&warned(), true), "to look at: NATS: sync");
        let failed = [Group::Nats.failed("a", "", ""), Group::Postgres.failed("b", "", "")];
        assert_eq!(complaint(&failed, false), "failed: NATS: a, Postgres: b");
    }
}
