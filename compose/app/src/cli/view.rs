//! Flags of what operators look at.

use std::time::Duration;

use clap::Args;

use crate::{
    age::parse_age,
    failed::Failed,
    operate::{list, show, top},
    settings::Settings,
};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only sagas of this status
    #[arg(long, value_parser = ["running", "compensating", "completed", "compensated", "stuck", "paused", "queued"])]
    pub(super) status: Option<String>,
    /// Only sagas of this definition
    #[arg(long)]
    pub(super) definition: Option<String>,
    /// Only the saga with this business key
    #[arg(long)]
    pub(super) key: Option<String>,
    /// Only sagas that were started longer ago than this, e.g. 10m, 36h, 7d
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub(super) older_than: Option<Duration>,
    /// Only sagas that have not ended and are at this step
    #[arg(long)]
    pub(super) step: Option<String>,
    /// Only sagas with an error whose code or message is like this: SQL's LIKE, % is any text
    #[arg(long, value_name = "PATTERN")]
    pub(super) error: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) limit: u32,
    /// One JSON array
    #[arg(long)]
    pub(super) json: bool,
}

impl ListArgs {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failed> {
        let filter = list::Filter {
            status: self.status,
            definition: self.definition,
            key: self.key,
            older_than: self.older_than,
            step: self.step,
            error: self.error,
            limit: self.limit,
        };
        list::run(settings, &filter, self.json).await
    }
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The saga's id, or its business key
    #[arg(value_name = "ID")]
    pub(super) saga: String,
    /// One JSON object with the saga, its steps and its history
    #[arg(long)]
    pub(super) json: bool,
}

impl ShowArgs {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failed> {
        show::run(settings, &self.saga, self.json).await
    }
}

#[derive(Debug, Args)]
pub(super) struct TopArgs {
    /// Print one frame and end, as always without a terminal
    #[arg(long)]
    pub(super) once: bool,
    /// One frame as a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

impl TopArgs {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failed> {
        top::run(settings, self.once, self.json).await
    }
}
