//! Locks: who holds which, who waits for it and behind whom, and taking one away.

use std::{collections::HashMap, fmt};

use amends::transcript::printable;
use amends_postgres::Database;
use serde::Serialize;
use sqlx::types::Uuid;

use super::{
    decision::{self, Noted},
    verb::Verb,
};
use crate::{
    age::age,
    failed::{During as _, Failed},
    print::{print, print_json, print_table},
    program_name::program_name,
    run::connect,
    settings::Settings,
};

/// The status of a saga that waits for locks.
pub(super) const QUEUED: &str = "queued";

/// A lock, and a saga that holds it or waits for it.
#[derive(Debug, Serialize)]
pub(super) struct Lock {
    name: String,
    status: String,
    age_seconds: f64,
    saga: Uuid,
    definition: String,
    key: Option<String>,
    saga_status: String,
}

/// What a saga waits for that is behind this one.
impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.status == "held" { "held by" } else { "first wanted by" };
        write!(f, "lock {} {place} {}", printable(&self.name), self.saga)
    }
}

impl Lock {
    /// The same as a line below the transcript of the saga that waits.
    pub(super) fn explanation(&self) -> String {
        let key =
            self.key.as_ref().map_or_else(String::new, |key| format!("  key {}", printable(key)));
        format!(
            "waits for the {self}  {}{key}  {}: {} show {}\n",
            self.definition,
            self.saga_status,
            program_name(),
            self.saga
        )
    }
}

/// For each of these sagas that waits for locks, these locks with the sagas that go first.
pub(super) async fn in_the_way(
    database: &Database,
    sagas: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Lock>>, Failed> {
    let mut locks: HashMap<_, Vec<_>> = HashMap::new();
    if sagas.is_empty() {
        return Ok(locks);
    }
    let rows = sqlx::query_file!("src/sql/locks_in_the_way.sql", sagas)
        .fetch_all(database)
        .await
        .during("the locks that sagas wait for cannot be read")?;
    for row in rows {
        locks.entry(row.waiting).or_default().push(Lock {
            name: row.name,
            status: row.status,
            age_seconds: row.age_seconds,
            saga: row.saga,
            definition: row.definition,
            key: row.key,
            saga_status: row.saga_status,
        });
    }
    Ok(locks)
}

/// Lists who holds which lock, and who waits for it.
pub(crate) async fn list(
    settings: &Settings,
    name: Option<&str>,
    limit: u32,
    json: bool,
) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 1, &[])?;
    let locks = sqlx::query_file_as!(Lock, "src/sql/locks.sql", name, i64::from(limit))
        .fetch_all(&database)
        .await
        .during("locks cannot be listed")?;
    if json {
        return print_json(&locks);
    }
    if locks.is_empty() {
        return print("no locks\n");
    }
    let mut lines = vec![
        ["LOCK", "STATUS", "FOR", "SAGA", "DEFINITION", "KEY", "SAGA STATUS"].map(str::to_owned),
    ];
    lines.extend(locks.iter().map(|lock| {
        let span = std::time::Duration::try_from_secs_f64(lock.age_seconds).unwrap_or_default();
        [
            printable(&lock.name),
            lock.status.clone(),
            age(chrono::TimeDelta::from_std(span).unwrap_or_default()),
            lock.saga.to_string(),
            lock.definition.clone(),
            printable(lock.key.as_deref().unwrap_or("-")),
            lock.saga_status.clone(),
        ]
    }));
    print_table(&lines, "")
}

/// Takes a lock from the saga that holds it.
pub(crate) async fn break_lock(
    settings: &Settings,
    name: &str,
    reason: &str,
    json: bool,
) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 1, &[])?;
    let act = sqlx::query_file!("src/sql/break_lock.sql", name, reason)
        .fetch_one(&database)
        .await
        .during("cannot break the lock")?
        .id;
    let holder = sqlx::query_file!("src/sql/act_saga.sql", act)
        .fetch_one(&database)
        .await
        .during("the lock is broken, but its holder cannot be read")?
        .saga;
    let noted = Noted { act, saga: holder, verb: Verb::BreakLock };
    decision::report(&database, noted, json).await
}
