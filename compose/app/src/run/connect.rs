//! Connecting to Postgres, and waiting for servers: the only place that uses `backoff`.

use std::{str::FromStr as _, time::Duration};

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

/// What waiting longer does not mend: invalid password, invalid authorization, invalid catalog name.
const REFUSALS: [&str; 3] = ["28P01", "28000", "3D000"];

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
