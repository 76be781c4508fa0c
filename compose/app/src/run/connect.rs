//! Connecting to Postgres and NATS, and waiting for them: the only place that uses `backoff`.

use std::{path::Path, str::FromStr as _, time::Duration};

use async_nats::{ConnectOptions, Event, ServerAddr};
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use sqlx::{
    ConnectOptions as _, Connection as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio_util::sync::CancellationToken;

use crate::failed::{During as _, Failed, describe};

/// How long a statement waits for a connection before it counts as "Postgres does not answer".
const ACQUIRE: Duration = Duration::from_secs(5);

/// A connection that was idle for longer is asked whether it is alive before it is used.
const BUSY: Duration = Duration::from_secs(1);

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

/// Waits until Postgres answers, for at most `patience`, or for as long as it takes; `None` when
/// stopped meanwhile.
///
/// # Errors
/// A URL that cannot be used, a user or database that Postgres refuses, or no answer in time.
pub async fn postgres(
    url: &str,
    connections: u32,
    session: &[(&str, &str)],
    patience: Option<Duration>,
    stop: &CancellationToken,
) -> Result<Option<PgPool>, Failed> {
    let options = options(url, session)?;
    let log_retry = |error: sqlx::Error, wait: Duration| {
        tracing::warn!(
            error = describe(&error),
            "Postgres does not answer; trying again in {wait:.1?}"
        );
    };
    let answer = || async { probe(&options).await.map_err(permanent_or_not) };
    tokio::select! {
        answered = backoff::future::retry_notify(delays(patience), answer, log_retry) => {
            let host = format!("{}:{}", options.get_host(), options.get_port());
            answered.map_err(|error| explain(&host, patience, &error))?;
            Ok(Some(pool_of(options, connections)))
        }
        () = stop.cancelled() => Ok(None),
    }
}

/// Connects once, outside of any pool, whose waiting for a connection would hide why there is none.
/// A connection that is given up while it is being made holds no transaction: it may be dropped.
async fn probe(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let connected = tokio::time::timeout(ACQUIRE, options.connect()).await;
    let silence = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    connected.map_err(silence)??.close().await
}

fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| REFUSALS.contains(&code.as_ref()))
}

fn permanent_or_not(error: sqlx::Error) -> backoff::Error<sqlx::Error> {
    if is_refusal(&error) {
        backoff::Error::permanent(error)
    } else {
        backoff::Error::transient(error)
    }
}

fn explain(host: &str, patience: Option<Duration>, error: &sqlx::Error) -> Failed {
    let why = describe(error);
    Failed::new(if is_refusal(error) {
        format!("Postgres at {host} refuses: {why}: check user, password and database of its URL")
    } else {
        let waited = patience.unwrap_or_default();
        format!("Postgres at {host} did not answer within {waited:?}: {why}")
    })
}

/// A pool that connects when it is first used.
///
/// # Errors
/// A URL that cannot be used.
pub fn pool(url: &str, connections: u32, session: &[(&str, &str)]) -> Result<PgPool, Failed> {
    Ok(pool_of(options(url, session)?, connections))
}

fn pool_of(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        // A connection in constant use need not be asked each time whether it is alive.
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                if about.idle_for > BUSY {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options)
}

fn options(url: &str, session: &[(&str, &str)]) -> Result<PgConnectOptions, Failed> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        let form =
            "the database URL cannot be used: it has the form postgres://user@host:port/name";
        return Err(Failed::new(form));
    }
    Ok(PgConnectOptions::from_str(url)
        .during("the database URL cannot be used")?
        .application_name("amends")
        .options(session.iter().copied()))
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
