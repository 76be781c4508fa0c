//! What an orchestrator decided about an act.

use std::time::Instant;

use amends::SagaId;
use amends_postgres::Database;
use serde::Serialize;
use sqlx::types::Uuid;

use super::{
    patience::{INTERVAL, PATIENCE},
    verb::Verb,
};
use crate::{
    failed::{During as _, Failed},
    print::{print, print_json},
};

/// An act that is noted.
#[derive(Clone, Copy)]
pub(super) struct Noted {
    pub(super) act: i64,
    pub(super) saga: Uuid,
    pub(super) verb: Verb,
}

/// What became of an act, for scripts.
#[derive(Debug, Serialize)]
struct Decision {
    act: i64,
    saga: Uuid,
    verb: Verb,
    accepted: Option<bool>,
    answer: Option<String>,
    status: String,
}

/// Waits until an act is decided, and says what became of it.
pub(super) async fn report(database: &Database, noted: Noted, json: bool) -> Result<(), Failed> {
    let decision = wait(database, noted).await?;
    if json {
        print_json(&decision)?;
    }
    let Decision { act, saga, verb, accepted, answer, status } = decision;
    match accepted {
        Some(true) if json => Ok(()),
        Some(true) => print(&format!("{verb}: accepted; saga {} is {status}\n", SagaId(saga))),
        Some(false) => Err(Failed::new(format!("{verb}: refused: {}", answer.unwrap_or_default()))),
        None => Err(Failed::new(format!(
            "{verb}: noted as act {act}, but no orchestrator has decided it yet: is one running? (select * from amends.acts where id = {act})"
        ))),
    }
}

async fn wait(database: &Database, noted: Noted) -> Result<Decision, Failed> {
    let Noted { act, saga, verb } = noted;
    let began = Instant::now();
    loop {
        let row = sqlx::query_file!("src/sql/acted.sql", act)
            .fetch_one(database)
            .await
            .during("the answer cannot be read")?;
        if row.accepted.is_some() || began.elapsed() > PATIENCE {
            let (accepted, answer, status) = (row.accepted, row.answer, row.status);
            return Ok(Decision { act, saga, verb, accepted, answer, status });
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
