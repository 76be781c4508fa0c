//! Versions of definitions: which there are, and which of them start sagas.

use std::fmt;

use amends::{machine::Time, transcript::printable};
use amends_postgres::Database;
use serde::{Serialize, Serializer};

use super::known::{self, Names};
use crate::{
    complaint::write_line,
    deploy::changes::{self, Change},
    failed::{During as _, Failed},
    print::{print, print_json, print_table},
    run::connect,
    settings::Settings,
};

/// What may be done with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersionVerb {
    Retire,
    Reinstate,
}

impl VersionVerb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Retire => "retire",
            Self::Reinstate => "reinstate",
        }
    }

    /// What is true when it is done.
    const fn effect(self) -> &'static str {
        match self {
            Self::Retire => "starts no more sagas",
            Self::Reinstate => "may start sagas again",
        }
    }
}

impl fmt::Display for VersionVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for VersionVerb {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
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

async fn versions(database: &Database) -> Result<Vec<Version>, Failed> {
    sqlx::query_file_as!(Version, "src/sql/definitions.sql")
        .fetch_all(database)
        .await
        .during("definitions cannot be listed")
}

/// Whether some version of a definition starts sagas.
async fn starts(database: &Database, definition: &str) -> Result<bool, Failed> {
    let versions = versions(database).await?;
    Ok(versions.iter().any(|v| v.definition == definition && v.retired_at.is_none()))
}

/// Versions of a definition, and what changed from each to the next.
#[derive(Debug, Serialize)]
struct History {
    versions: Vec<Version>,
    changes: Vec<Change>,
}

/// Lists the versions of all definitions that ever ran against this database, or those of one with their changes.
pub(crate) async fn list(
    settings: &Settings,
    definition: Option<&str>,
    json: bool,
) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 1, &[])?;
    let mut versions = versions(&database).await?;
    let Some(name) = definition else {
        return if json { print_json(&versions) } else { print_versions(&versions) };
    };
    known::check(&database, Names { definition, ..Names::default() }).await?;
    versions.retain(|version| version.definition == name);
    let changes = changes::changes(&database, name).await?;
    if json {
        return print_json(&History { versions, changes });
    }
    print_versions(&versions)?;
    print(&changes::render(name, &changes))
}

fn print_versions(versions: &[Version]) -> Result<(), Failed> {
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
    print_table(&lines, "")
}

/// What was done with a version, for scripts.
#[derive(Serialize)]
struct Acted<'a> {
    verb: VersionVerb,
    definition: &'a str,
    version: i32,
}

/// Lets a version start no more sagas, or start them again.
pub(crate) async fn act(
    settings: &Settings,
    verb: VersionVerb,
    (definition, version): (&str, i32),
    reason: &str,
    json: bool,
) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 1, &[])?;
    let done = match verb {
        VersionVerb::Retire => {
            let query = sqlx::query_file!("src/sql/retire.sql", definition, version, reason);
            query.fetch_one(&database).await.map(drop)
        }
        VersionVerb::Reinstate => {
            let query = sqlx::query_file!("src/sql/reinstate.sql", definition, version, reason);
            query.fetch_one(&database).await.map(drop)
        }
    };
    done.during(&format!("cannot {verb}"))?;
    if verb == VersionVerb::Retire && !starts(&database, definition).await? {
        write_line(&format!(
            "warning: no other version of {definition} is known here: what would start it waits until one runs"
        ));
    }
    if json {
        return print_json(&Acted { verb, definition, version });
    }
    print(&format!("{verb}: {definition}@{version} {}\n", verb.effect()))
}
