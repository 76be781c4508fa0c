//! What an operator may do to one saga: each verb calls one SQL function, and waits for what becomes
//! of it.

use amends::Json;

use super::{
    decision::{self, Noted},
    saga,
    verb::Verb,
};
use crate::{
    failed::{During as _, Failed},
    run::connect,
    settings::Settings,
};

/// What is asked of one saga, or of many.
pub(crate) struct Act {
    pub(crate) verb: Verb,
    /// The step that it is for, where it is for one.
    pub(crate) step: Option<String>,
    /// The body of a reply that says how the step ended.
    pub(crate) outcome: Option<Json>,
    pub(crate) reason: String,
}

/// Asks it of one saga, given by its id or its business key.
pub(crate) async fn run(
    settings: &Settings,
    saga: &str,
    asked: &Act,
    json: bool,
) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 1, &[])?;
    let saga = saga::find(&database, saga).await?.id;
    let Act { verb, step, outcome, reason } = asked;
    let outcome = outcome.as_ref().map(Json::as_str);
    let (verb, step) = (*verb, step.as_deref());
    let act = sqlx::query_file!("src/sql/act.sql", saga, verb.as_str(), step, outcome, reason)
        .fetch_one(&database)
        .await
        .during(&format!("cannot {verb}"))?
        .id;
    decision::report(&database, Noted { act, saga, verb }, json).await
}
