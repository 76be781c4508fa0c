//! The streams and consumers of an installation, beside what an orchestrator of the same settings and definitions
//! needs. Looks, and changes nothing.

use std::time::Duration;

use amends::Definition;
use async_nats::Client;

pub use crate::bus::{Difference, Part, PartKind};
use crate::{
    bus::{self, TopologyError},
    config::Config,
    registry::Registry,
    run::topology,
};

/// Each stream and each consumer that is needed, the streams first.
///
/// # Errors
/// [`TopologyError::Unavailable`].
pub async fn parts(
    config: &Config,
    nats: Client,
    definitions: Vec<Definition>,
) -> Result<Vec<Part>, TopologyError> {
    let registry = Registry::new(definitions);
    topology(config, &registry, bus::context(nats)).survey().await
}

/// Has JetStream store a message in the stream of the probes, which keeps the last one only; how long that took.
///
/// # Errors
/// [`TopologyError::Unavailable`]: nothing is stored within two seconds.
pub async fn store(nats: Client) -> Result<Duration, TopologyError> {
    bus::store_once(&bus::context(nats)).await
}
