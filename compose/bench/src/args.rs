//! The flags of `amends bench`.

use std::{error::Error, fmt, num::ParseIntError, path::PathBuf};

use amends_app::OrchestratorArgs;
use clap::Args;

/// The flags of `amends bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
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
    /// Repeat everything with so many sagas in the tables that wait for a reply, their timers due in a
    /// month, and the orchestrator started anew beside them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(crate) waiting: Option<u32>,
    /// Only happy runs, with so many orchestrators beside each other, each between runs with one
    #[arg(long, value_name = "N,N", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(2..=16), conflicts_with_all = ["stored", "waiting", "only"])]
    pub(crate) replicas: Vec<u16>,
    /// Only the open loop: alone; beside a tenth as many sagas whose last step breaks three times;
    /// while N others wait on a service that hangs; alone [default N: 10000]
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "10000", value_parser = clap::value_parser!(u32).range(1..=15_000), conflicts_with_all = ["stored", "waiting", "only"])]
    pub(crate) neighbours: Option<u32>,
    /// Only the open loop: alone; beside another definition of which N sagas a second are triggered; alone
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000), conflicts_with_all = ["stored", "waiting", "only"])]
    pub(crate) flood: Option<u32>,
    /// Only this: kill all orchestrators while so many sagas are in flight, and see how soon one that
    /// is started then has moved them all, and ended them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=1_000_000), conflicts_with_all = ["stored", "waiting", "only"])]
    pub(crate) recovery: Option<u32>,
    /// Only these runs
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', value_parser = ["happy", "compensated", "one", "open"])]
    pub(crate) only: Vec<String>,
    /// With the barrier, a transaction for each command: not shared by those that wait together
    #[arg(long)]
    pub(crate) unshared: bool,
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

impl BenchArgs {
    /// Whether it is with barrier, without, or first one and then the other.
    pub(crate) fn barriers(&self) -> &'static [bool] {
        match (self.barrier, self.no_barrier) {
            (true, _) => &[true],
            (_, true) => &[false],
            _ => &[false, true],
        }
    }

    /// Whether sagas of another definition are measured.
    pub(crate) fn has_others(&self) -> bool {
        self.neighbours.is_some() || self.flood.is_some()
    }

    /// Whether what is asked for takes the place of the plain runs.
    pub(crate) fn drills(&self) -> bool {
        !self.replicas.is_empty() || self.has_others() || self.recovery.is_some()
    }
}

/// Why a text is no number of sagas in flight.
#[derive(Debug, Default)]
struct InFlightError {
    source: Option<ParseIntError>,
}

impl fmt::Display for InFlightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 1 to 10000 is expected")
    }
}

impl Error for InFlightError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

fn in_flight(text: &str) -> Result<usize, InFlightError> {
    let number = text.parse().map_err(|error| InFlightError { source: Some(error) })?;
    if (1..=10_000).contains(&number) { Ok(number) } else { Err(InFlightError::default()) }
}

/// The flags of the hidden role `bench-orchestrator`.
#[derive(Debug, Args)]
pub struct BenchOrchestratorArgs {
    /// With the saga that runs beside the one that is measured
    #[arg(long)]
    pub(crate) other: bool,
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorArgs,
}

/// The flags of the hidden role `bench-workers`.
#[derive(Debug, Args)]
pub struct BenchWorkersArgs {
    #[arg(long)]
    pub(crate) barrier: bool,
    #[arg(long, requires = "barrier")]
    pub(crate) shared: bool,
}
