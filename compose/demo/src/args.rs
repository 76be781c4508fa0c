//! The flags of `amends demo`.

use std::path::PathBuf;

use clap::Args;

use crate::example::Example;

/// The flags of `amends demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Which example to run
    #[arg(long, default_value = "order")]
    pub example: Example,
    /// How many to generate [default: 1000 orders, 300 trips]
    #[arg(long, visible_alias = "trips", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub orders: Option<u32>,
    /// Publish these orders or trips instead: JSON lines, - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "orders")]
    pub input: Option<PathBuf>,
    /// Keep the data in this folder, and the servers' logs
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}
