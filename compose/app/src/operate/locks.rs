//! Locks: who holds which, who waits for it, and taking one away.

use amends::transcript::printable;
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
    run::connect,
    settings::Settings,
};

#[derive(Debug, Serialize)]
struct Lock {
    name: String,
    status: String,
    age_seconds: f64,
    saga: Uuid,
    definition: String,
    key: Option<String>,
    saga_status: String,
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
