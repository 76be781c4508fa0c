//! `letters dropped`: messages that could not be used, and were only counted.

use amends::{machine::Time, transcript::printable};
use amends_postgres::Database;
use serde::Serialize;

use crate::{
    failed::{During as _, Failed},
    print::{print, print_json, print_table},
    program_name::program_name,
    run::connect,
    settings::Settings,
};

/// Those of one subject and one kind of reason.
#[derive(Debug, Serialize)]
struct Dropped {
    subject: String,
    kind: String,
    letters: i64,
    first_at: Time,
    last_at: Time,
    first_source: String,
    last_source: String,
}

async fn read(database: &Database, subject: Option<&str>) -> Result<Vec<Dropped>, Failed> {
    sqlx::query_file_as!(Dropped, "src/sql/dropped_letters.sql", subject)
        .fetch_all(database)
        .await
        .during("dropped letters cannot be read")
}

/// Lists all.
pub(crate) async fn list(settings: &Settings, json: bool) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 1, &[])?;
    let dropped = read(&database, None).await?;
    if json {
        return print_json(&dropped);
    }
    if dropped.is_empty() {
        return print("no dropped letters\n");
    }
    let heads = ["LETTERS", "SUBJECT", "REASON", "FIRST", "LAST", "LAST FROM"];
    let mut lines = vec![heads.map(str::to_owned)];
    let at = |time: Time| time.format("%Y-%m-%d %H:%M:%S").to_string();
    lines.extend(dropped.iter().map(|d| {
        [
            d.letters.to_string(),
            printable(&d.subject),
            printable(&d.kind),
            at(d.first_at),
            at(d.last_at),
            printable(&d.last_source),
        ]
    }));
    print_table(&lines, "")
}

/// What a list of letters on these subjects does not show, as a line of text; empty when it shows all.
pub(crate) async fn note(database: &Database, subject: Option<&str>) -> Result<String, Failed> {
    let count: i64 = read(database, subject).await?.iter().map(|dropped| dropped.letters).sum();
    Ok(match count {
        0 => String::new(),
        _ => format!(
            "only counted, as too many of their kind are open: {count} ({} letters dropped)\n",
            program_name()
        ),
    })
}
