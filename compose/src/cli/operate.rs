//! Flags of what operators do.

use std::time::Duration;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only sagas of this status
    #[arg(long, value_parser = ["running", "compensating", "completed", "compensated", "stuck", "paused", "queued"])]
    pub(crate) status: Option<String>,
    /// Only sagas of this definition
    #[arg(long)]
    pub(crate) definition: Option<String>,
    /// Only the saga with this business key
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Only sagas that were started longer ago than this, e.g. 10m, 36h, 7d
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) older_than: Option<Duration>,
    /// Only sagas that have not ended and are at this step
    #[arg(long)]
    pub(crate) step: Option<String>,
    /// Only sagas with an error whose code or message is like this: SQL's LIKE, % is any text
    #[arg(long, value_name = "PATTERN")]
    pub(crate) error: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
    /// One JSON array
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Print one frame and end; without a terminal this is what happens anyway
    #[arg(long)]
    pub(crate) once: bool,
    /// One frame as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Acting on all sagas that a query finds.
#[derive(Debug, Args)]
pub(crate) struct Many {
    /// Act on every saga that this is for, oldest first
    #[arg(long)]
    pub(crate) all: bool,
    /// With --all: only sagas of this definition
    #[arg(long, requires = "all", value_name = "NAME")]
    pub(crate) definition: Option<String>,
    /// With --all: only sagas at this step
    #[arg(long = "step", id = "at", requires = "all", value_name = "STEP")]
    pub(crate) step: Option<String>,
    /// With --all: only sagas with an error whose code or message is like this: SQL's LIKE, % is any
    /// text
    #[arg(long, requires = "all", value_name = "PATTERN")]
    pub(crate) error: Option<String>,
    /// With --all: at most so many
    #[arg(long, requires = "all", default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub(crate) limit: i32,
    /// With --all: list the sagas, and do nothing
    #[arg(long, requires = "all")]
    pub(crate) dry_run: bool,
    /// What became of it, as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `retry`, `pause`, `resume`.
#[derive(Debug, Args)]
pub(crate) struct WholeArgs {
    /// The saga's id, or its business key
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) saga: Option<String>,
    /// Why: kept with who did it
    #[arg(long, required_unless_present = "dry_run")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) many: Many,
}

#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// The saga's id, or its business key
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) saga: Option<String>,
    /// Show what would be undone, in which order, and do nothing
    #[arg(long, conflicts_with_all = ["all", "apply", "reason"])]
    pub(crate) plan: bool,
    /// Only if this is still the plan that --plan showed
    #[arg(long, value_name = "HASH", conflicts_with = "all")]
    pub(crate) apply: Option<String>,
    /// Why: kept with who did it
    #[arg(long, required_unless_present_any = ["dry_run", "plan"])]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) many: Many,
}

#[derive(Debug, Args)]
pub(crate) struct SkipArgs {
    /// The saga's id, or its business key
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) saga: Option<String>,
    /// The step's name
    #[arg(required_unless_present = "all")]
    pub(crate) step: Option<String>,
    /// Why: kept with who did it
    #[arg(long, required_unless_present = "dry_run")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) many: Many,
}

/// How a step ended.
#[derive(Debug, Args)]
pub(crate) struct Ending {
    /// It was done, with this output (JSON)
    #[arg(long, value_name = "OUTPUT", required_unless_present_any = ["rejected", "dry_run"], conflicts_with = "rejected")]
    pub(crate) ok: Option<String>,
    /// It was refused, with this code: nothing changed and nothing will
    #[arg(long, value_name = "CODE")]
    pub(crate) rejected: Option<String>,
    /// A sentence to the code
    #[arg(long, requires = "rejected")]
    pub(crate) message: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ResolveArgs {
    /// The saga's id, or its business key
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) saga: Option<String>,
    /// The step's name
    #[arg(required_unless_present = "all")]
    pub(crate) step: Option<String>,
    #[command(flatten)]
    pub(crate) ending: Ending,
    /// Why: kept with who did it
    #[arg(long, required_unless_present = "dry_run")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) many: Many,
}

#[derive(Debug, Args)]
pub(crate) struct ReplyArgs {
    /// The saga's id, or its business key
    #[arg(value_name = "ID")]
    pub(crate) saga: String,
    /// The step's name
    pub(crate) step: String,
    /// It was done, with this output (JSON)
    #[arg(
        long,
        value_name = "OUTPUT",
        required_unless_present = "rejected",
        conflicts_with = "rejected"
    )]
    pub(crate) ok: Option<String>,
    /// It was refused, with this code: nothing changed and nothing will
    #[arg(long, value_name = "CODE")]
    pub(crate) rejected: Option<String>,
    /// A sentence to the code
    #[arg(long, requires = "rejected")]
    pub(crate) message: Option<String>,
    /// Why: kept with who did it
    #[arg(long, default_value = "the deferred answer, given by hand")]
    pub(crate) reason: String,
    /// What became of it, as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LettersArgs {
    #[command(subcommand)]
    pub(crate) command: Option<LettersCommand>,
    /// Only messages on this subject; * is one token, > is the rest
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) subject: Option<String>,
    /// Only messages that were kept longer ago than this, e.g. 10m, 36h, 7d
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) older_than: Option<Duration>,
    /// Those that were replayed or discarded, instead of those that are open
    #[arg(long)]
    pub(crate) settled: bool,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
    /// One JSON array
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LettersCommand {
    /// Show one message with its headers and body
    Show(LetterArgs),
    /// Publish it once more on its subject
    Replay(LetterActArgs),
    /// Throw it away
    Discard(LetterActArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LetterArgs {
    /// The letter's number
    #[arg(value_name = "ID")]
    pub(crate) letter: i64,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LetterActArgs {
    /// The letter's number
    #[arg(value_name = "ID")]
    pub(crate) letter: i64,
    /// Why: kept with who did it
    #[arg(long)]
    pub(crate) reason: String,
    /// What became of it, as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// The definition's name
    pub(crate) definition: String,
    /// What its trigger would carry: JSON, or @FILE with JSON in it, @- for standard input
    #[arg(long, value_name = "JSON")]
    pub(crate) input: String,
    /// The saga's business key, where the input does not hold it
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Wait until it has ended or is stuck, at most so long; exit 0 only if it is completed
    #[arg(long, value_name = "SECONDS", num_args = 0..=1)]
    pub(crate) wait: Option<Option<u32>>,
    /// The saga as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LocksArgs {
    /// Only this lock
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
    /// One JSON array
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BreakLockArgs {
    /// The lock's name
    pub(crate) name: String,
    /// Why: kept with who did it
    #[arg(long)]
    pub(crate) reason: String,
    /// What became of it, as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DefinitionsArgs {
    /// One JSON array
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// The definition's name
    pub(crate) definition: String,
    /// Its version
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) version: i32,
    /// Why: kept with who did it
    #[arg(long)]
    pub(crate) reason: String,
    /// What was done, as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// A whole number and a unit.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let form = || "an age is a number and s, m, h or d, e.g. 10m".to_owned();
    let at = text.len().saturating_sub(1);
    let (number, unit) = text.split_at_checked(at).ok_or_else(form)?;
    let number: u32 = number.parse().map_err(|_| form())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(form()),
    };
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        for (text, seconds) in [("0s", 0), ("10m", 600), ("36h", 129_600), ("7d", 604_800)] {
            assert_eq!(age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "m", "10", "-1s", "1.5h", "10 m", "9999999999d", "1é"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
