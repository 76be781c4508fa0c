//! The flags of `amends bench`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Fewer and shorter runs: less than a minute
    #[arg(long)]
    pub(crate) quick: bool,
    /// One JSON object in place of tables
    #[arg(long)]
    pub(crate) json: bool,
    /// Sagas in flight, a run for each
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [256, 4096], value_parser = in_flight)]
    pub(crate) in_flight: Vec<usize>,
    /// Sagas a second in the open loop
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: u32,
    /// Repeat everything with so many finished sagas in the tables
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(crate) stored: Option<u32>,
    /// Only these runs
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', value_parser = ["happy", "compensated", "one", "open"])]
    pub(crate) only: Vec<String>,
    /// Only workers with the SQL barrier
    #[arg(long, conflicts_with = "no_barrier")]
    pub(crate) barrier: bool,
    /// Only workers without a database
    #[arg(long)]
    pub(crate) no_barrier: bool,
    /// Measure each run until so many sagas have ended, whatever time that takes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) sagas: Option<u64>,
    /// Lanes of the orchestrator
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) lanes: u16,
    /// Keep the data in this folder, and the logs; its disk is what is measured
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Use the servers of DATABASE_URL and NATS_URL, and write there, in place of private ones
    #[arg(long)]
    pub(crate) external: bool,
}

fn in_flight(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| (1..=10_000).contains(n));
    number.ok_or_else(|| "a number from 1 to 10000 is expected".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct BenchWorkersArgs {
    #[arg(long)]
    pub(crate) barrier: bool,
    #[arg(long, requires = "barrier")]
    pub(crate) shared: bool,
}
