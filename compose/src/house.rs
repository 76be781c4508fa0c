//! Locks and definitions: who holds what, and which versions start sagas.

use amends::{machine::Time, transcript::printable};
use serde::Serialize;
use sqlx::types::Uuid;

use crate::{
    During as _, Failed,
    acts::{self, Asked},
    age::age,
    cli::{BreakLockArgs, DefinitionsArgs, LocksArgs, Settings, VersionArgs},
    link,
    list::columns,
    looks::{print, print_json},
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

/// `amends locks`.
pub(crate) async fn locks(settings: &Settings, args: LocksArgs) -> Result<(), Failed> {
    let pool = link::pool(settings.database()?, 1, &[])?;
    let limit = i64::from(args.limit);
    let locks = sqlx::query_file_as!(Lock, "src/sql/locks.sql", args.name, limit)
        .fetch_all(&pool)
        .await
        .during("locks cannot be listed")?;
    if args.json {
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
    print(&columns(&lines))
}

/// `amends break-lock`.
pub(crate) async fn break_lock(settings: &Settings, args: BreakLockArgs) -> Result<(), Failed> {
    let pool = link::pool(settings.database()?, 1, &[])?;
    let act = sqlx::query_file!("src/sql/break_lock.sql", args.name, args.reason)
        .fetch_one(&pool)
        .await
        .during("cannot break the lock")?
        .id;
    let holder = sqlx::query_file!("src/sql/act_saga.sql", act)
        .fetch_one(&pool)
        .await
        .during("the lock is broken, but its holder cannot be read")?
        .saga;
    let (reason, json) = (args.reason.as_str(), args.json);
    let asked = Asked { verb: "break-lock", step: None, outcome: None, reason, json };
    acts::decided(&pool, act, holder, &asked).await
}

#[derive(Debug, Serialize)]
struct Version {
    definition: String,
    version: i32,
    digest: String,
    registered_at: Time,
    open_sagas: i64,
    retired_at: Option<Time>,
    retired_by: Option<String>,
    retired_reason: Option<String>,
}

/// `amends definitions`.
pub(crate) async fn definitions(settings: &Settings, args: DefinitionsArgs) -> Result<(), Failed> {
    let pool = link::pool(settings.database()?, 1, &[])?;
    let versions = sqlx::query_file_as!(Version, "src/sql/definitions.sql")
        .fetch_all(&pool)
        .await
        .during("definitions cannot be listed")?;
    if args.json {
        return print_json(&versions);
    }
    if versions.is_empty() {
        return print("no definitions: they are registered when an orchestrator starts\n");
    }
    let mut lines =
        vec![["DEFINITION", "OPEN SAGAS", "REGISTERED", "DIGEST", "RETIRED"].map(str::to_owned)];
    lines.extend(versions.iter().map(|version| {
        let retired = version.retired_at.map(|at| {
            let by = version.retired_by.as_deref().unwrap_or_default();
            let why = version.retired_reason.as_deref().unwrap_or_default();
            format!("{} by {by}: {why}", at.format("%Y-%m-%d %H:%M:%S"))
        });
        [
            format!("{}@{}", version.definition, version.version),
            version.open_sagas.to_string(),
            version.registered_at.format("%Y-%m-%d %H:%M:%S").to_string(),
            version.digest.clone(),
            printable(retired.as_deref().unwrap_or("-")),
        ]
    }));
    print(&columns(&lines))
}

/// `amends retire` and `amends reinstate`.
pub(crate) async fn set_version(
    settings: &Settings,
    verb: &'static str,
    args: VersionArgs,
) -> Result<(), Failed> {
    let pool = link::pool(settings.database()?, 1, &[])?;
    let VersionArgs { definition, version, reason, json } = args;
    let done = if verb == "retire" {
        let asked = sqlx::query_file!("src/sql/retire.sql", definition, version, reason);
        asked.fetch_one(&pool).await.map(drop)
    } else {
        let asked = sqlx::query_file!("src/sql/reinstate.sql", definition, version, reason);
        asked.fetch_one(&pool).await.map(drop)
    };
    done.during(&format!("cannot {verb}"))?;
    if json {
        #[derive(Serialize)]
        struct Done<'a> {
            verb: &'a str,
            definition: &'a str,
            version: i32,
        }
        return print_json(&Done { verb, definition: &definition, version });
    }
    let now = if verb == "retire" { "starts no more sagas" } else { "may start sagas again" };
    print(&format!("{verb}: {definition}@{version} {now}\n"))
}
