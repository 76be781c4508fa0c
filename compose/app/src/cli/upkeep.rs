//! Flags of maintenance: letters, locks, versions.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::{
    age::parse_age,
    failed::Failed,
    operate::{
        audit, dropped_letters,
        letters::{self, LetterVerb},
        locks,
        verify::{self, Hash},
        versions::{self, VersionVerb},
    },
    settings::Settings,
};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct LettersArgs {
    #[command(subcommand)]
    pub(super) command: Option<LettersCommand>,
    /// Only messages on this subject; * is one token, > is the rest
    #[arg(long, value_name = "SUBJECT")]
    pub(super) subject: Option<String>,
    /// Only messages of this saga, or about it: its id, or its business key
    #[arg(long, value_name = "ID")]
    pub(super) saga: Option<String>,
    /// Only commands to this service, and its replies
    #[arg(long, value_name = "NAME")]
    pub(super) service: Option<String>,
    /// Only messages that were kept longer ago than this, e.g. 10m, 36h, 7d
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub(super) older_than: Option<Duration>,
    /// List replayed and discarded messages in place of open ones
    #[arg(long)]
    pub(super) settled: bool,
    /// At most this many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) limit: u32,
    /// One JSON array
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum LettersCommand {
    /// Show one message with its headers and body
    Show(LetterArgs),
    /// Publish a message once more on its subject
    Replay(LetterActArgs),
    /// Discard a message
    Discard(LetterActArgs),
    /// Count the messages that were not kept, because too many of their kind are open
    Dropped(DroppedArgs),
}

#[derive(Debug, Args)]
pub(super) struct DroppedArgs {
    /// One JSON array
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct LetterArgs {
    /// The letter's number
    #[arg(value_name = "ID")]
    pub(super) letter: i64,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct LetterActArgs {
    /// The letter's number
    #[arg(value_name = "ID")]
    pub(super) letter: i64,
    /// The reason; the audit keeps it with your login
    #[arg(long)]
    pub(super) reason: String,
    /// Print the decision as a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

impl LettersArgs {
    /// Whether more is asked than to look.
    pub(super) fn acts(&self) -> bool {
        matches!(self.command, Some(LettersCommand::Replay(_) | LettersCommand::Discard(_)))
    }

    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failed> {
        match self.command {
            None => {
                let filter = letters::Filter {
                    subject: self.subject,
                    saga: self.saga,
                    service: self.service,
                    older_than: self.older_than,
                    settled: self.settled,
                    limit: self.limit,
                };
                letters::list(settings, &filter, self.json).await
            }
            Some(LettersCommand::Show(of)) => letters::show(settings, of.letter, of.json).await,
            Some(LettersCommand::Replay(act)) => act.run(settings, LetterVerb::Replay).await,
            Some(LettersCommand::Discard(act)) => act.run(settings, LetterVerb::Discard).await,
            Some(LettersCommand::Dropped(of)) => dropped_letters::list(settings, of.json).await,
        }
    }
}

impl LetterActArgs {
    async fn run(self, settings: &Settings, verb: LetterVerb) -> Result<(), Failed> {
        letters::act(settings, verb, self.letter, &self.reason, self.json).await
    }
}

#[derive(Debug, Args)]
pub(super) struct LocksArgs {
    /// Only this lock
    #[arg(long)]
    pub(super) name: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) limit: u32,
    /// One JSON array
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct BreakLockArgs {
    /// The lock's name
    pub(super) name: String,
    /// The reason; the audit keeps it with your login
    #[arg(long)]
    pub(super) reason: String,
    /// Print the decision as a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DefinitionsArgs {
    /// Only this definition, with what changed from each version to the next
    pub(super) definition: Option<String>,
    /// One JSON array
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct VersionArgs {
    /// The definition's name
    pub(super) definition: String,
    /// Its version
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pub(super) version: i32,
    /// The reason; the audit keeps it with your login
    #[arg(long)]
    pub(super) reason: String,
    /// What was done, as a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

impl LocksArgs {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failed> {
        locks::list(settings, self.name.as_deref(), self.limit, self.json).await
    }
}

impl BreakLockArgs {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failed> {
        locks::break_lock(settings, &self.name, &self.reason, self.json).await
    }
}

impl DefinitionsArgs {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failed> {
        versions::list(settings, self.definition.as_deref(), self.json).await
    }
}

impl VersionArgs {
    pub(super) async fn run(self, settings: &Settings, verb: VersionVerb) -> Result<(), Failed> {
        let version = (self.definition.as_str(), self.version);
        versions::act(settings, verb, version, &self.reason, self.json).await
    }
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    pub(super) command: Option<AuditCommand>,
    /// Only what this login did, or a gateway for this person
    #[arg(long, value_name = "LOGIN")]
    pub(super) actor: Option<String>,
    /// Only acts of this kind
    #[arg(long, value_parser = ["retry", "skip", "resolve", "cancel", "pause", "resume", "break_lock", "replay", "discard", "retire", "reinstate", "forget_keys"])]
    pub(super) act: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) limit: u32,
    /// One JSON array
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check that the audit is as it was written, and print its head
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Check also that this head, which was noted earlier, is part of it
    #[arg(long, value_name = "HASH")]
    pub(super) head: Option<Hash>,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

impl AuditArgs {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failed> {
        if let Some(AuditCommand::Verify(args)) = self.command {
            return verify::run(settings, args.head, args.json).await;
        }
        let filter = audit::Filter { actor: self.actor, act: self.act, limit: self.limit };
        audit::list(settings, &filter, self.json).await
    }
}
