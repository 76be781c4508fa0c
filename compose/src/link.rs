//! Connecting to Postgres and NATS, and waiting for them: the only place that uses `backoff`.

use std::{path::Path, str::FromStr as _, time::Duration};

use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio_util::sync::CancellationToken;

use crate::Failed;

/// How long a statement waits for a connection before it counts as "Postgres does not answer".
const ACQUIRE: Duration = Duration::from_secs(5);

/// A connection that says nothing for twice this time is dead: a broken network is noticed in
/// seconds, not minutes.
const PING: Duration = Duration::from_secs(5);

fn waits() -> ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        .with_initial_interval(Duration::from_millis(100))
        .with_max_interval(Duration::from_secs(5))
        .with_max_elapsed_time(None)
        .build()
}

/// Waits until Postgres answers, for as long as it takes; `None` when stopped meanwhile.
///
/// # Errors
/// A URL that cannot be used.
pub(crate) async fn postgres(
    url: &str,
    connections: u32,
    session: &[(&str, &str)],
    stop: &CancellationToken,
) -> Result<Option<PgPool>, Failed> {
    let pool = pool(url, connections, session)?;
    let tell = |error, wait: Duration| {
        tracing::warn!(%error, "Postgres does not answer; trying again in {wait:.1?}");
    };
    // The check runs in a task of its own: no future of sqlx is ever cancelled.
    let waiting = {
        let pool = pool.clone();
        let check = async move {
            let answer = || async {
                sqlx::query("select 1").execute(&pool).await.map_err(backoff::Error::transient)?;
                Ok::<_, backoff::Error<sqlx::Error>>(())
            };
            backoff::future::retry_notify(waits(), answer, tell).await
        };
        tokio::spawn(check)
    };
    tokio::select! {
        _ = waiting => Ok(Some(pool)),
        () = stop.cancelled() => Ok(None),
    }
}

/// A pool that connects when it is first used.
///
/// # Errors
/// A URL that cannot be used.
pub(crate) fn pool(
    url: &str,
    connections: u32,
    session: &[(&str, &str)],
) -> Result<PgPool, Failed> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        let form =
            "the database URL cannot be used: it has the form postgres://user@host:port/name";
        return Err(Failed(form.to_owned()));
    }
    let options = PgConnectOptions::from_str(url)
        .map_err(|e| Failed::new("the database URL cannot be used", &e))?
        .application_name("amends")
        .options(session.iter().copied());
    Ok(PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .connect_lazy_with(options))
}

/// Connects to NATS and stays connected; waits until a server is there. `None` when stopped
/// meanwhile.
///
/// # Errors
/// An address or credentials file that cannot be used.
pub(crate) async fn nats(
    url: &str,
    creds: Option<&Path>,
    stop: &CancellationToken,
) -> Result<Option<async_nats::Client>, Failed> {
    let servers: Vec<async_nats::ServerAddr> = url
        .split(',')
        .map(|one| one.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|e| Failed::new("the NATS address cannot be used", &e))?;
    let mut options = async_nats::ConnectOptions::new()
        .name("amends")
        .ping_interval(PING)
        .event_callback(|event| async move {
            match event {
                async_nats::Event::ServerError(error) => tracing::warn!("NATS refuses: {error}"),
                event => tracing::info!("NATS: {event}"),
            }
        });
    // The client does not log in as the user whom an address names.
    let named = |s: &async_nats::ServerAddr| Some((decoded(s.username()?), decoded(s.password()?)));
    if let Some((user, password)) = servers.iter().find_map(named) {
        options = options.user_and_password(user, password);
    }
    if let Some(file) = creds {
        options = options
            .credentials_file(file)
            .await
            .map_err(|e| Failed::new(&format!("credentials {}", file.display()), &e))?;
    }
    let connect =
        || async { options.clone().connect(&servers).await.map_err(backoff::Error::transient) };
    let tell = |error, wait: Duration| {
        let hosts: Vec<_> = servers.iter().map(|s| format!("{}:{}", s.host(), s.port())).collect();
        tracing::warn!(%error, ?hosts, "NATS does not answer; trying again in {wait:.1?}");
    };
    tokio::select! {
        client = backoff::future::retry_notify(waits(), connect, tell) => {
            client.map(Some).map_err(|e| Failed::new("NATS", &e))
        }
        () = stop.cancelled() => Ok(None),
    }
}

/// A part of an address as its user meant it.
fn decoded(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}
