//! Connections to other hosts that may be in plain text: whoever is in between can read and change what is said,
//! also where both sides would speak TLS, as long as nobody asks for it.

use amends_postgres::{Address, is_loopback};
use async_nats::ServerAddr;

/// Says so of the database of this URL, if it is so.
pub(crate) fn of_database(url: &str) -> Option<String> {
    // A URL that cannot be used is refused where it is used.
    let hosts = url.parse::<Address>().ok()?.in_plain_text()?;
    Some(format!(
        "the connection to Postgres at {hosts} may be in plain text: say `sslmode=verify-full` in its URL"
    ))
}

/// Says so of NATS servers that are not asked for TLS, if it is so.
pub(crate) fn of_nats(servers: &[ServerAddr]) -> Option<String> {
    let elsewhere = servers.iter().filter(|server| !is_loopback(server.host()));
    let hosts: Vec<_> = elsewhere.map(|s| format!("{}:{}", s.host(), s.port())).collect();
    let hosts = if hosts.is_empty() { None } else { Some(hosts.join(",")) }?;
    Some(format!(
        "the connection to NATS at {hosts} may be in plain text: say tls:// in its address, or NATS_CA"
    ))
}

/// Warns of databases, each once.
pub(crate) fn warn_of_databases<'a>(urls: impl IntoIterator<Item = &'a str>) {
    let sentences: std::collections::BTreeSet<_> =
        urls.into_iter().filter_map(of_database).collect();
    for sentence in sentences {
        tracing::warn!("{sentence}");
    }
}
