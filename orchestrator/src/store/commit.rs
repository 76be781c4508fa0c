//! The statement that writes a batch.

use amends::{machine::Time, turn::Rows};
use amends_postgres::Database;
use sqlx::types::Uuid;

use super::{Store, StoreError, columns::Columns};

impl Store {
    /// Writes a batch: all of it or nothing. Once this returns `Ok` the turns are durable.
    ///
    /// # Errors
    /// [`StoreError`]; after `Unavailable` the batch may have been written.
    pub(crate) async fn commit(&self, rows: Rows) -> Result<(), StoreError> {
        Ok(write(&self.database, &Columns::of(rows)).await?)
    }
}

/// Runs the statement in a file. Its parameters are the columns of its parts, which are named in the
/// order in which they stand there.
macro_rules! run {
    ($on:ident, $columns:ident, $file:literal: $($part:ident)*) => {
        bind!([$($part)*] $on, $columns, $file)
    };
}

/// Adds the columns of the next part to the parameters.
macro_rules! bind {
    ([] $on:ident, $columns:ident, $file:literal $($bound:tt)*) => {
        sqlx::query_file!($file $($bound)*).execute($on).await
    };
    ([started $($more:ident)*] $on:ident, $columns:ident, $($bound:tt)*) => {
        bind!([$($more)*] $on, $columns, $($bound)*,
            &$columns.started.id,
            &$columns.started.definition,
            &$columns.started.version,
            &$columns.started.key as &[Option<String>],
            &$columns.started.trace as &[Option<String>],
            &$columns.started.input,
            &$columns.started.started_at,
            &$columns.started.status as &[&str],
            &$columns.started.error as &[Option<String>],
            &$columns.started.finished_at as &[Option<Time>],
            &$columns.started.parent as &[Option<Uuid>],
            &$columns.started.parent_step as &[Option<String>],
            &$columns.started.digest
        )
    };
    ([changed $($more:ident)*] $on:ident, $columns:ident, $($bound:tt)*) => {
        bind!([$($more)*] $on, $columns, $($bound)*,
            &$columns.changed.id,
            &$columns.changed.status as &[&str],
            &$columns.changed.error as &[Option<String>],
            &$columns.changed.finished_at as &[Option<Time>]
        )
    };
    ([armed $($more:ident)*] $on:ident, $columns:ident, $($bound:tt)*) => {
        bind!([$($more)*] $on, $columns, $($bound)*,
            &$columns.armed.saga,
            &$columns.armed.due_at as &[Option<Time>]
        )
    };
    ([rearmed $($more:ident)*] $on:ident, $columns:ident, $($bound:tt)*) => {
        bind!([$($more)*] $on, $columns, $($bound)*,
            &$columns.rearmed.saga,
            &$columns.rearmed.due_at as &[Option<Time>],
            &$columns.rearmed.leased_until
        )
    };
    ([disarmed $($more:ident)*] $on:ident, $columns:ident, $($bound:tt)*) => {
        bind!([$($more)*] $on, $columns, $($bound)*, &$columns.disarmed.saga)
    };
    ([settled $($more:ident)*] $on:ident, $columns:ident, $($bound:tt)*) => {
        bind!([$($more)*] $on, $columns, $($bound)*,
            &$columns.settled.id,
            &$columns.settled.accepted,
            &$columns.settled.answer as &[Option<String>]
        )
    };
    ([undone $($more:ident)*] $on:ident, $columns:ident, $($bound:tt)*) => {
        bind!([$($more)*] $on, $columns, $($bound)*, &$columns.undone.saga, &$columns.undone.reason)
    };
    ([waiting $($more:ident)*] $on:ident, $columns:ident, $($bound:tt)*) => {
        bind!([$($more)*] $on, $columns, $($bound)*,
            &$columns.waiting.saga,
            &$columns.waiting.step,
            &$columns.waiting.matcher,
            &$columns.waiting.key
        )
    };
    ([found $($more:ident)*] $on:ident, $columns:ident, $($bound:tt)*) => {
        bind!([$($more)*] $on, $columns, $($bound)*, &$columns.found.saga, &$columns.found.step)
    };
    ([queued $($more:ident)*] $on:ident, $columns:ident, $($bound:tt)*) => {
        bind!([$($more)*] $on, $columns, $($bound)*, &$columns.queued.saga, &$columns.queued.name)
    };
    ([requested $($more:ident)*] $on:ident, $columns:ident, $($bound:tt)*) => {
        bind!([$($more)*] $on, $columns, $($bound)*,
            &$columns.requested.saga,
            &$columns.requested.accepted,
            &$columns.requested.answer as &[Option<String>],
            &$columns.requested.holder as &[Option<Uuid>]
        )
    };
    ([facts $($more:ident)*] $on:ident, $columns:ident, $($bound:tt)*) => {
        bind!([$($more)*] $on, $columns, $($bound)*,
            &$columns.facts.saga,
            &$columns.facts.seq,
            &$columns.facts.attempt,
            &$columns.facts.at,
            &$columns.facts.kind as &[&str],
            &$columns.facts.step as &[Option<String>],
            &$columns.facts.op as &[Option<&str>],
            &$columns.facts.detail as &[Option<String>],
            &$columns.facts.sent as &[Option<String>],
            &$columns.facts.next as &[Option<String>]
        )
    };
}

/// One of four statements runs, by what the batch holds: planning a part that has no rows costs more
/// than writing a small batch.
async fn write(database: &Database, columns: &Columns) -> sqlx::Result<()> {
    let rare = columns.is_rare();
    match (columns.starts() || rare, columns.changes() || rare) {
        (false, false) => run!(database, columns, "src/store/sql/facts.sql": facts),
        (true, false) => {
            run!(database, columns, "src/store/sql/starts.sql": started armed facts)
        }
        (false, true) => run!(database, columns, "src/store/sql/changes.sql":
            changed armed rearmed disarmed facts),
        (true, true) => run!(database, columns, "src/store/sql/everything.sql":
            started changed armed rearmed disarmed settled undone waiting found queued requested
            facts),
    }?;
    Ok(())
}
