//! What the probes say.

use std::sync::atomic::{AtomicBool, Ordering};

/// Health of an orchestrator, shared with whoever serves its probes. All parts start as not ready.
#[derive(Debug, Default)]
pub struct Health {
    started: AtomicBool,
    postgres: AtomicBool,
    nats: AtomicBool,
}

impl Health {
    /// Whether definitions, streams and consumers are in place and both servers answered last.
    pub fn ready(&self) -> Result<(), &'static str> {
        if !self.started.load(Ordering::Relaxed) {
            return Err("starting: waiting for Postgres, its schema, or NATS");
        }
        if !self.postgres.load(Ordering::Relaxed) {
            return Err("Postgres does not answer");
        }
        if !self.nats.load(Ordering::Relaxed) {
            return Err("NATS JetStream does not answer");
        }
        Ok(())
    }

    pub(crate) fn set_started(&self, yes: bool) {
        self.started.store(yes, Ordering::Relaxed);
    }

    pub(crate) fn set_postgres(&self, yes: bool) {
        self.postgres.store(yes, Ordering::Relaxed);
    }

    pub(crate) fn set_nats(&self, yes: bool) {
        self.nats.store(yes, Ordering::Relaxed);
    }
}
