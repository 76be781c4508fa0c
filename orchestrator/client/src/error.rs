//! The errors of the client, with advice.

use std::time::Duration;

use amends::{JsonError, SagaId};
use amends_postgres::{
    Class, class_of, has_code, is_permanent, refusal, refuses_login, refuses_tls,
};
use sqlx::types::Uuid;

/// Why a saga was not started, or cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input cannot be a payload.
    #[error("the input of `{definition}` cannot be sent: {source}; nothing was started")]
    Input {
        /// The saga's name.
        definition: &'static str,
        /// What is wrong with it.
        source: JsonError,
    },
    /// No version of the definition starts sagas in this database.
    #[error(
        "there is no definition `{definition}` that starts sagas: run an orchestrator that has it registered once, or reinstate a version (select * from amends.definitions)"
    )]
    NoDefinition {
        /// The saga's name.
        definition: &'static str,
    },
    /// A right is missing.
    #[error(
        "{source}: grant the login what the documentation of `amends_client` lists under \"Rights\""
    )]
    Denied {
        /// What Postgres says.
        source: sqlx::Error,
    },
    /// The key was used before, with another input.
    #[error("{reason}: that saga stands; start with the input that it has, or under another key")]
    OtherInput {
        /// The saga that has the key.
        saga: SagaId,
        /// The orchestrator's sentence.
        reason: String,
    },
    /// An orchestrator refused the start.
    #[error("`{definition}` was not started: {reason}; repeated as it is, it is refused again")]
    Refused {
        /// The saga's name.
        definition: &'static str,
        /// The orchestrator's sentence.
        reason: String,
    },
    /// No orchestrator has decided the start yet. It stays noted, and is decided within an hour.
    #[error(
        "the start {request} of `{definition}` is noted, but no orchestrator has decided it within {limit:?}: run one that knows `{definition}`; then it begins, and `Client::started` says so"
    )]
    Undecided {
        /// The start: [`Request::of`](crate::Request::of) makes a handle of it.
        request: Uuid,
        /// The saga's name.
        definition: &'static str,
        /// The time of the wait.
        limit: Duration,
    },
    /// No start is noted under this id.
    #[error(
        "no start {request} of `{definition}` is noted: its transaction has not committed, was rolled back, or was long ago; look for the saga by its key"
    )]
    NoRequest {
        /// The start.
        request: Uuid,
        /// The saga's name.
        definition: &'static str,
    },
    /// The database has no such saga.
    #[error(
        "there is no saga {saga} of `{definition}`: it was dropped when its time of retention was over, or the id is another's"
    )]
    NoSaga {
        /// The saga.
        saga: SagaId,
        /// The definition that it was looked for under.
        definition: &'static str,
    },
    /// The saga is completed, and its output is not for this login.
    #[error(
        "saga {saga} of `{definition}` is completed, and its output is hidden from this login: grant it the role amends_payload_reader"
    )]
    Hidden {
        /// The saga.
        saga: SagaId,
        /// Its definition's name.
        definition: &'static str,
    },
    /// The stored output or error does not fit the saga's type.
    #[error(
        "saga {saga} of `{definition}` ({status}) does not fit this program's type: {source}; its version may differ from the program's (select * from amends.sagas)"
    )]
    Unreadable {
        /// The saga.
        saga: SagaId,
        /// Its definition's name.
        definition: &'static str,
        /// Its status.
        status: String,
        /// The misfit.
        source: JsonError,
    },
    /// The database did not answer, or not as it should.
    #[error("Postgres: {0}{advice}", advice = advice(.0))]
    Postgres(sqlx::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if has_code(&error, &["42501"]) {
            Self::Denied { source: error }
        } else {
            Self::Postgres(error)
        }
    }
}

/// What to do about a failure of the database.
fn advice(error: &sqlx::Error) -> &'static str {
    match class_of(error) {
        _ if refuses_login(error) => "; check user, password and database of the address",
        _ if refuses_tls(error) => {
            "; compare `sslmode` and `sslrootcert` of the address with the server"
        }
        // It says itself what to do.
        _ if refusal(error).is_some() => "",
        Class::Outage | Class::Conflict => "; ask again when the database is back",
        Class::Taken | Class::Poison | Class::Defect => {
            "; is the schema `amends` there and up to date (`migrate` of the orchestrator's program)?"
        }
    }
}

/// Whether waiting may mend it.
pub(crate) fn passes(error: &sqlx::Error) -> bool {
    matches!(class_of(error), Class::Outage | Class::Conflict) && !is_permanent(error)
}
