//! Flags of what is done before a deploy.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// One JSON object with the definitions and what was found
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// The definition's name; not needed when there is only one
    pub(crate) definition: Option<String>,
    /// Its version [default: the newest]
    #[arg(long)]
    pub(crate) version: Option<u32>,
    /// What to write
    #[arg(long, default_value = "mermaid")]
    pub(crate) format: GraphFormat,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum GraphFormat {
    /// A Mermaid flowchart.
    Mermaid,
    /// A picture.
    Svg,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// One JSON object with each version of each definition, and whether it is safe
    #[arg(long)]
    pub(crate) json: bool,
}
