//! How often JetStream syncs its disk: what a power failure may take of what it has acknowledged.

use std::time::Duration;

use async_nats::Client;
use serde_json::Value;

use super::check::{Check, Group};
use crate::failed::{During as _, Failed};

const GROUP: Group = Group::Nats;
const NAME: &str = "sync";

/// How long a server may take to say it.
const LIMIT: Duration = Duration::from_secs(2);

/// What it says about JetStream is a few kilobytes.
const BYTES_MAX: usize = 1 << 20;

/// Whether triggers outlive a power failure; `monitor` is the address of the server's monitoring, where it is known.
pub(super) async fn check(client: &Client, monitor: Option<&str>) -> Check {
    let told = match monitor {
        Some(address) => match tokio::time::timeout(LIMIT, monitored(address)).await {
            Ok(Ok(told)) => told,
            Ok(Err(failed)) => {
                return GROUP.failed(NAME, failed.sentence(), "mend the address of the monitoring");
            }
            Err(_) => {
                let found = format!("the monitoring at {address} does not answer");
                return GROUP.failed(NAME, found, "mend the address of the monitoring");
            }
        },
        None => match asked(client).await {
            Some(told) => told,
            None => {
                let why = "this login cannot see how often JetStream syncs its disk: name the server's monitoring by --nats-monitor";
                return GROUP.skipped(NAME, why);
            }
        },
    };
    judge(&told)
}

/// A login of the system account may ask.
async fn asked(client: &Client) -> Option<Value> {
    let answer = client.request("$SYS.REQ.SERVER.PING.JSZ", "".into());
    let answer = tokio::time::timeout(LIMIT, answer).await.ok()?.ok()?;
    let told: Value = serde_json::from_slice(&answer.payload).ok()?;
    told.get("data").cloned()
}

/// What `/jsz` says.
async fn monitored(address: &str) -> Result<Value, Failed> {
    let address = address.trim_end_matches('/');
    let host = address.strip_prefix("http://").unwrap_or(address);
    let what = format!("the monitoring of NATS at {address}");
    let stream = tokio::net::TcpStream::connect(host).await.during(&what)?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.during(&what)?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get("/jsz")
        .header("host", host)
        .body(axum::body::Body::empty())
        .during(&what)?;
    let answer = sender.send_request(request).await.during(&what)?;
    let status = answer.status();
    let body = axum::body::Body::new(answer.into_body());
    let body = axum::body::to_bytes(body, BYTES_MAX).await.during(&what)?;
    connection.abort();
    if !status.is_success() {
        return Err(Failed::new(format!("{what} answers {status}")));
    }
    serde_json::from_slice(&body).during(&what)
}

fn judge(told: &Value) -> Check {
    let config = told.get("config");
    let always = config.and_then(|config| config.get("sync_always")).and_then(Value::as_bool);
    let interval = config.and_then(|config| config.get("sync_interval")).and_then(Value::as_u64);
    match (always, interval) {
        (Some(true), _) => GROUP.ok(NAME, "each message is on the disk before it is acknowledged"),
        (_, Some(interval)) => GROUP.warning(
            NAME,
            format!("the disk is synced each {:?}: a power failure takes triggers of that time", Duration::from_nanos(interval)),
            "`sync_interval: always` in the server's configuration, unless triggers can be published again",
        ),
        _ => GROUP.skipped(NAME, "this server does not say how often it syncs its disk"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check::Verdict, *};
    use serde_json::json;

    #[test]
    fn a_sync_now_and_then_is_a_warning() {
        for (config, verdict) in [
            (
                json!({"config": {"sync_interval": 120_000_000_000_u64, "sync_always": true}}),
                Verdict::Ok,
            ),
            (json!({"config": {"sync_interval": 120_000_000_000_u64}}), Verdict::Warning),
            (json!({"config": {}}), Verdict::Skipped),
            (json!({}), Verdict::Skipped),
        ] {
            assert_eq!(judge(&config).verdict, verdict, "{config}");
        }
    }
}
