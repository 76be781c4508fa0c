//! Connecting to Postgres and NATS, and waiting for them: the only place that uses `backoff`.

use std::{path::Path, time::Duration};

use amends_postgres::{Address, Database, Refusal, refusal};
use async_nats::{ConnectOptions, Event, ServerAddr};
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use tokio_util::sync::CancellationToken;

use crate::failed::{During as _, Failed, describe};

/// How long a person's statement may take: longer than a program's, as it may read a lot.
const PERSONAL: Duration = Duration::from_secs(60);

/// A connection that says nothing for twice this time is dead: a broken network is noticed in
/// seconds, not minutes.
const PING: Duration = Duration::from_secs(5);

/// What waiting longer does not mend: invalid password, invalid authorization, invalid catalog name.
const REFUSALS: [&str; 3] = ["28P01", "28000", "3D000"];

fn delays(patience: Option<Duration>) -> ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        .with_initial_interval(Duration::from_millis(100))
        .with_max_interval(Duration::from_secs(5))
        .with_max_elapsed_time(patience)
        .build()
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

/// Whether waiting does not mend it.
fn is_permanent(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let refused = code.is_some_and(|code| REFUSALS.contains(&code.as_ref()));
    refused || refusal(error).is_some_and(|refusal| !matches!(refusal, Refusal::Target(_)))
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
    } else if is_permanent(error) {
        format!(
            "Postgres at {address} refuses: {why}: check user, password and database of its URL"
        )
    } else {
        let waited = patience.unwrap_or_default();
        format!("Postgres at {address} did not answer within {waited:?}: {why}")
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

/// Connects to NATS and stays connected; waits until a server is there. `None` when stopped
/// meanwhile.
///
/// # Errors
/// An address or credentials file that cannot be used.
pub async fn nats(
    url: &str,
    creds: Option<&Path>,
    stop: &CancellationToken,
) -> Result<Option<async_nats::Client>, Failed> {
    let servers: Vec<ServerAddr> = url
        .split(',')
        .map(|one| one.trim().parse())
        .collect::<Result<_, _>>()
        .during("the NATS address cannot be used")?;
    let options = nats_options(&servers, creds).await?;
    let connect =
        || async { options.clone().connect(&servers).await.map_err(backoff::Error::transient) };
    let log_retry = |error, wait: Duration| {
        let hosts: Vec<_> = servers.iter().map(|s| format!("{}:{}", s.host(), s.port())).collect();
        tracing::warn!(%error, ?hosts, "NATS does not answer; trying again in {wait:.1?}");
    };
    tokio::select! {
        client = backoff::future::retry_notify(delays(None), connect, log_retry) => {
            client.map(Some).during("NATS")
        }
        () = stop.cancelled() => Ok(None),
    }
}

async fn nats_options(
    servers: &[ServerAddr],
    creds: Option<&Path>,
) -> Result<ConnectOptions, Failed> {
    let mut options = ConnectOptions::new().name("amends").ping_interval(PING).event_callback(
        |event| async move {
            match event {
                Event::ServerError(error) => tracing::warn!("NATS refuses: {error}"),
                event => tracing::info!("NATS: {event}"),
            }
        },
    );
    // The client does not log in as the user whom an address names.
    let named = |s: &ServerAddr| Some((decoded(s.username()?), decoded(s.password()?)));
    if let Some((user, password)) = servers.iter().find_map(named) {
        options = options.user_and_password(user, password);
    }
    match creds {
        Some(file) => {
            options.credentials_file(file).await.during(&format!("credentials {}", file.display()))
        }
        None => Ok(options),
    }
}

/// A part of an address as its user meant it.
fn decoded(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
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
