//! Postgres, and nothing else: sagas, facts, timers, dead letters. Every statement is one
//! autocommitted round trip over arrays, at READ COMMITTED; the primary key of `amends.fact` is the
//! version check. Every wait has a bound, and a session that was silent is closed: `amends_postgres`.
//!
//! `commit` writes what a batch decided, as `columns` of arrays. `load`, `acts` and `waits` read what a batch needs; `timers` takes timers and sets them
//! again. The rest is upkeep: `definitions`, `letters`, `lead`, `periods`, `schema`. `error` says what a
//! failed statement means for whoever ran it.

mod acts;
mod columns;
mod commit;
mod definitions;
mod error;
mod lead;
mod letters;
mod load;
mod periods;
mod schema;
mod timers;
mod waits;

use amends::SagaId;
use amends_postgres::Database;
use sqlx::types::Uuid;

pub use definitions::RegisterError;
pub(crate) use error::StoreError;
pub(crate) use lead::Place;
pub(crate) use letters::{Buried, Replay};
pub(crate) use periods::in_use;
pub use schema::{SchemaError, is_not_migrated, migrate};
pub(crate) use waits::{Kept, matcher};

/// The orchestrator's tables.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    database: Database,
}

impl Store {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// The same tables on a session of their own. What a row is refused for there is its own fault: no
    /// session that others used, nor a pooler between, has a part in it.
    pub(crate) fn apart(&self) -> Self {
        Self { database: self.database.apart() }
    }
}

fn uuids(ids: &[SagaId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.0).collect()
}
