//! Flags of commands before a deploy.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::{
    app::App,
    assignment::Assignment,
    deploy::{
        check,
        graph::{self, Choice, Picture},
        nats_config::{self, Assignments},
        plan,
    },
    failed::Failed,
    settings::Settings,
};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// One JSON object with definitions and findings
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct GraphArgs {
    /// The definition's name; not needed when there is only one. If this program does not know it, the plan comes from
    /// the database
    pub(super) definition: Option<String>,
    /// Its version [default: the newest]
    #[arg(long)]
    pub(super) version: Option<u32>,
    /// What to write
    #[arg(long, default_value = "mermaid")]
    pub(super) format: GraphFormat,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum GraphFormat {
    /// A Mermaid flowchart.
    Mermaid,
    /// A picture.
    Svg,
}

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// One JSON object with each version of each definition, and whether it is safe
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct NatsConfigArgs {
    /// Who may publish events: a name, and subjects separated by commas. A service that emits events is named here, too
    /// [default: the account `publisher` may publish and follow all]
    #[arg(long = "publisher", value_name = "NAME=SUBJECT,…")]
    pub(super) publishers: Vec<Assignment>,
    /// Who may follow the sagas of these definitions
    #[arg(long = "follower", value_name = "NAME=DEFINITION,…")]
    pub(super) followers: Vec<Assignment>,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

impl NatsConfigArgs {
    pub(super) fn run(self, app: &App) -> Result<(), Failed> {
        let assigned = Assignments { publishers: self.publishers, followers: self.followers };
        nats_config::run(app, &assigned, self.output.as_deref())
    }
}

impl CheckArgs {
    pub(super) fn run(&self, app: &App) -> Result<(), Failed> {
        check::run(app, self.json)
    }
}

impl GraphArgs {
    pub(super) async fn run(self, settings: &Settings, app: &App) -> Result<(), Failed> {
        let picture = match self.format {
            GraphFormat::Mermaid => Picture::Mermaid,
            GraphFormat::Svg => Picture::Svg,
        };
        let choice = Choice { definition: self.definition, version: self.version };
        graph::run(settings, app, &choice, picture, self.output.as_deref()).await
    }
}

impl PlanArgs {
    pub(super) async fn run(self, settings: &Settings, app: &App) -> Result<(), Failed> {
        plan::run(settings, app, self.json).await
    }
}
