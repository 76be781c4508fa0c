//! What must be there before an orchestrator runs: schema, definitions, streams.

use std::time::Duration;

use amends::RetryLoop;
use tokio_util::sync::CancellationToken;

use crate::{
    bus::{Topology, TopologyError},
    registry::Registry,
    store::{RegisterError, SchemaError, Store},
};

/// Delays between attempts to start.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_CAP: Duration = Duration::from_secs(3);

/// Why an orchestrator cannot run. What may pass by itself (a server that is not there, a schema
/// that is not migrated yet) is waited for and is no error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Other migrations than this program's made the schema, or the login has no right to it; waiting would not
    /// mend it.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A plan changed under its version, or the login may not write.
    #[error(transparent)]
    Definition(#[from] RegisterError),
    /// A lane failed, which is a defect of this program; what it had in hand is delivered again.
    #[error("a lane failed, see the log above; start again: nothing is lost")]
    Lane,
    /// A stream or consumer has other settings.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

/// Checks the schema, registers the definitions, and makes sure of streams and consumers; waits for
/// what is not there yet. `false` when it was stopped meanwhile.
pub(crate) async fn prepare(
    store: &Store,
    registry: &Registry,
    topology: &Topology,
    retain: Option<Duration>,
    stop: &CancellationToken,
) -> Result<bool, RunError> {
    let mut retries = RetryLoop::new(RETRY_FIRST, RETRY_CAP, "prepare");
    loop {
        let missing = match try_prepare(store, registry, topology, retain).await {
            Ok(()) => return Ok(true),
            Err(RunError::Schema(error @ (SchemaError::Other | SchemaError::Denied(_)))) => {
                return Err(error.into());
            }
            Err(RunError::Definition(
                error @ (RegisterError::Changed { .. } | RegisterError::Denied(_)),
            )) => {
                return Err(error.into());
            }
            Err(RunError::Topology(error @ TopologyError::Wrong { .. })) => {
                return Err(error.into());
            }
            Err(error) => error,
        };
        tracing::warn!("not ready: {missing}; trying again");
        let pause = tokio::time::sleep(retries.failed());
        if stop.run_until_cancelled(pause).await.is_none() {
            return Ok(false);
        }
    }
}

async fn try_prepare(
    store: &Store,
    registry: &Registry,
    topology: &Topology,
    retain: Option<Duration>,
) -> Result<(), RunError> {
    store.check_schema().await?;
    // Before the first saga; but for lack of them none has to wait.
    if let Err(error) = store.make_periods(retain).await {
        tracing::warn!(%error, "partitions are made later");
    }
    for definition in registry.all() {
        store.register(definition).await?;
    }
    // Before the first timer, which may start a saga; maintenance learns of later ones.
    match store.retired().await {
        Ok(retired) => registry.retire(retired),
        Err(error) => tracing::warn!(%error, "retired versions are learned later"),
    }
    topology.ensure().await?;
    Ok(())
}
