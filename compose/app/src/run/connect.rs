//! Connecting to Postgres, and waiting for servers: the only place that uses `backoff`.

use std::time::Duration;

use amends_postgres::{Address, Database, Refusal, is_permanent, refusal, refuses_tls};
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use tokio_util::sync::CancellationToken;

use crate::failed::{During as _, Failed, describe};

/// How long a person's statement may take: longer than a program's, as it may read a lot.
const PERSONAL: Duration = Duration::from_secs(60);

/// Sessions of a database that is asked how it is.
const ASKED: u32 = 2;

fn delays(patience: Option<Duration>) -> ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        .with_initial_interval(Duration::from_millis(100))
        .with_max_interval(Duration::from_secs(5))
        .with_max_elapsed_time(patience)
        .build()
}

/// Tries to connect until it succeeds; `log` hears of each failure, and how long the next try waits.
pub(super) async fn until_connected<T, E, F: Future<Output = Result<T, E>>>(
    mut attempt: impl FnMut() -> F,
    log: impl FnMut(E, Duration),
) -> Result<T, E> {
    let attempt = || {
        let tried = attempt();
        async { tried.await.map_err(backoff::Error::transient) }
    };
    backoff::future::retry_notify(delays(None), attempt, log).await
}

/// Waits until a Postgres that takes writes answers, for at most `patience`, or for as long as it takes;
/// `None` when stopped meanwhile.
///
/// # Errors
/// A URL that cannot be used, a user, database or server that waiting does not mend, or no answer in time.
pub async fn postgres(
    url: &str,
    connections: u32,
    session: &[(&str, &str)],
    patience: Option<Duration>,
    stop: &CancellationToken,
) -> Result<Option<Database>, Failed> {
    let database = Database::new(address(url)?.for_writing(), session, connections);
    let log_retry = |error: sqlx::Error, wait: Duration| {
        tracing::warn!(
            error = describe(&error),
            "Postgres does not answer; trying again in {wait:.1?}"
        );
    };
    let answer = || async { database.check().await.map_err(permanent_or_not) };
    tokio::select! {
        answered = backoff::future::retry_notify(delays(patience), answer, log_retry) => {
            answered.map_err(|error| explain(database.address(), patience, &error))?;
            Ok(Some(database))
        }
        () = stop.cancelled() => Ok(None),
    }
}

/// Connects once, to a server that takes writes if there is one among the URL's.
///
/// # Errors
/// A URL that cannot be used, or a server that does not answer, or refuses.
pub(crate) async fn answers(url: &str) -> Result<Database, Failed> {
    let address = address(url)?;
    let writing = Database::new(address.clone().for_writing(), &[], ASKED);
    let mut answered = (writing.check().await, writing);
    if answered.0.as_ref().is_err_and(|e| matches!(refusal(e), Some(Refusal::Target(_)))) {
        let any = Database::new(address, &[], ASKED);
        answered = (any.check().await, any);
    }
    let (checked, database) = answered;
    checked.map_err(|error| explain(database.address(), None, &error))?;
    Ok(database)
}

fn permanent_or_not(error: sqlx::Error) -> backoff::Error<sqlx::Error> {
    if is_permanent(&error) {
        backoff::Error::permanent(error)
    } else {
        backoff::Error::transient(error)
    }
}

fn explain(address: &Address, patience: Option<Duration>, error: &sqlx::Error) -> Failed {
    let why = describe(error);
    Failed::new(if let Some(refusal) = refusal(error) {
        format!("Postgres at {address} cannot be used: {refusal}")
    } else if refuses_tls(error) {
        format!(
            "Postgres at {address} cannot be spoken to by TLS: {why}: compare sslmode, sslrootcert and host of its URL with its certificate"
        )
    } else if is_permanent(error) {
        format!(
            "Postgres at {address} refuses: {why}: check user, password and database of its URL"
        )
    } else if let Some(waited) = patience {
        format!("Postgres at {address} did not answer within {waited:?}: {why}")
    } else {
        format!("Postgres at {address} does not answer: {why}")
    })
}

/// A database for a command that a person runs, connected to when it is first used.
///
/// # Errors
/// A URL that cannot be used.
pub fn database(url: &str, connections: u32, session: &[(&str, &str)]) -> Result<Database, Failed> {
    Ok(Database::new(address(url)?, session, connections).with_limit(PERSONAL))
}

fn address(url: &str) -> Result<Address, Failed> {
    let address = url.parse::<Address>().during("the database URL cannot be used")?;
    Ok(address.application_name("amends"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port that nobody listens on, as far as can be known.
    fn closed() -> String {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        format!("postgres://amends@127.0.0.1:{port}/amends")
    }

    #[tokio::test]
    async fn patience_ends_with_the_reason() {
        let (patience, stop) = (Some(Duration::from_millis(300)), CancellationToken::new());
        let failed = postgres(&closed(), 1, &[], patience, &stop).await.unwrap_err();
        let why = failed.to_string();
        assert!(why.contains("did not answer within 300ms"), "{why}");
        assert!(why.contains("Connection refused"), "{why}");
    }

    #[tokio::test]
    async fn waiting_without_end_ends_when_stopped() {
        let stop = CancellationToken::new();
        stop.cancel();
        assert!(postgres(&closed(), 1, &[], None, &stop).await.unwrap().is_none());
    }
}
