//! Postgres, and nothing else: sagas, facts, timers, dead letters. Every statement is one
//! autocommitted round trip over arrays, at READ COMMITTED; the primary key of `amends.fact` is the
//! version check. No future of this module may be cancelled half-way (sqlx 0.9 then hands an open
//! transaction to the next borrower): callers run in tasks of their own that are never aborted.
//!
//! `commit` writes what a batch decided, as `columns` of arrays, on a connection that a lane has
//! (`held`). `load`, `acts` and `waits` read what a batch needs; `timers` takes timers and sets them
//! again. The rest is upkeep: `definitions`, `letters`, `lead`, `periods`, `schema`. `error` says what a
//! failed statement means for whoever ran it, by its `sqlstate`.

mod acts;
mod columns;
mod commit;
mod definitions;
mod error;
mod held;
mod lead;
mod letters;
mod load;
mod periods;
mod schema;
mod sqlstate;
mod timers;
mod waits;

use amends::SagaId;
use sqlx::{PgPool, types::Uuid};

pub use definitions::RegisterError;
pub(crate) use error::StoreError;
pub(crate) use held::Held;
pub(crate) use lead::Leading;
pub(crate) use letters::{Buried, Replay};
pub(crate) use periods::in_use;
pub use schema::{SchemaError, is_not_migrated, migrate};
pub(crate) use waits::{Kept, matcher};

/// The orchestrator's tables.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pool: PgPool,
}

impl Store {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// A connection to commit batches with, made when it is first used.
    pub(crate) fn hold(&self) -> Held {
        Held::new(self.pool.clone())
    }
}

fn uuids(ids: &[SagaId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.0).collect()
}
