//! Connecting to NATS, and waiting for it.

use std::{path::Path, time::Duration};

use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use tokio_util::sync::CancellationToken;

use super::connect::until_connected;
use crate::failed::{During as _, Failed};

/// A connection that says nothing for twice this time is dead: a broken network is noticed in
/// seconds, not minutes.
const PING: Duration = Duration::from_secs(5);

/// Connects to NATS and stays connected; waits until a server is there. `None` when stopped
/// meanwhile.
///
/// # Errors
/// An address or credentials file that cannot be used.
pub async fn connect(
    url: &str,
    creds: Option<&Path>,
    stop: &CancellationToken,
) -> Result<Option<Client>, Failed> {
    let servers: Vec<ServerAddr> = url
        .split(',')
        .map(|one| one.trim().parse())
        .collect::<Result<_, _>>()
        .during("the NATS address cannot be used")?;
    let options = options(&servers, creds).await?;
    let attempt = || options.clone().connect(&servers);
    let log_retry = |error, wait: Duration| {
        let hosts: Vec<_> = servers.iter().map(|s| format!("{}:{}", s.host(), s.port())).collect();
        tracing::warn!(%error, ?hosts, "NATS does not answer; trying again in {wait:.1?}");
    };
    tokio::select! {
        client = until_connected(attempt, log_retry) => client.map(Some).during("NATS"),
        () = stop.cancelled() => Ok(None),
    }
}

async fn options(servers: &[ServerAddr], creds: Option<&Path>) -> Result<ConnectOptions, Failed> {
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
