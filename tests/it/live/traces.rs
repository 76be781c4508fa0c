//! What an operator's tools see: trace context, log lines, probes, metrics.

use async_nats::HeaderMap;
use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{SERVICES, Shop, eventually, order};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn the_trace_goes_from_trigger_to_replies() {
    let shop = Shop::open(&SERVICES).await;
    let client = shop.jetstream.client();
    let mut seen = client.subscribe("amends.*.>").await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
    headers.append("tracestate", "vendor=t61rcWkgMzE, tenant@system=1");
    headers.append("tracestate", "other=a b");
    shop.publish_with(headers, order("o-1").to_string()).await;
    assert_eq!(shop.fate("o-1").await, "completed");
    let mut spans = std::collections::BTreeSet::new();
    // Five commands, five replies, and the end.
    for _ in 0..11 {
        let message = seen.next().await.unwrap();
        let headers = message.headers.unwrap_or_default();
        let text = |name| headers.get(name).map(ToString::to_string).unwrap_or_default();
        let (trace, state) = (text("traceparent"), text("tracestate"));
        assert!(trace.starts_with(&format!("00-{TRACE}-")), "{} has {trace:?}", message.subject);
        assert_eq!(state, "vendor=t61rcWkgMzE,tenant@system=1,other=a b", "{}", message.subject);
        spans.insert(trace);
    }
    assert_eq!(spans.len(), 11, "each message is a span of its own");
}

/// It is of no use to anybody, and the trace is of use without it.
#[tokio::test]
async fn a_malformed_state_of_a_trace_is_ignored() {
    let shop = Shop::open(&SERVICES).await;
    let mut seen = shop.jetstream.client().subscribe("amends.command.>").await.unwrap();
    let long = format!("a={}", "x".repeat(600));
    for (at, state) in ["no state", "a=1,a=2", &long].into_iter().enumerate() {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
        headers.insert("tracestate", state);
        let key = format!("o-{at}");
        shop.publish_with(headers, order(&key).to_string()).await;
        assert_eq!(shop.fate(&key).await, "completed");
        for _ in 0..5 {
            let headers = seen.next().await.unwrap().headers.unwrap();
            assert!(headers.get("traceparent").unwrap().as_str().contains(TRACE));
            assert_eq!(headers.get("tracestate"), None);
        }
    }
}

#[tokio::test]
async fn without_a_trace_no_header() {
    let shop = Shop::open(&["payment"]).await;
    let mut seen = shop.jetstream.client().subscribe("amends.command.>").await.unwrap();
    shop.publish_order(&order("o-1")).await;
    let headers = seen.next().await.unwrap().headers.unwrap();
    let mut names: Vec<_> = headers.iter().map(|(name, _)| name.to_string()).collect();
    names.sort();
    assert_eq!(names, ["Amends-Deadline", "Amends-Id", "Nats-Msg-Id"]);
    let text = |name: &str| headers.get(name).unwrap().to_string();
    assert_eq!(text("Amends-Id"), text("Nats-Msg-Id"));
    assert!(text("Amends-Id").ends_with(":payment.authorize:action:1"));
    let deadline = chrono::DateTime::parse_from_rfc3339(&text("Amends-Deadline")).unwrap();
    assert!(deadline > chrono::Utc::now());
}

pub(super) async fn get(addr: &str, path: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}

/// Where a role serves its probes, as its log says.
pub(super) async fn address(shop: &Shop, name: &str) -> String {
    eventually("the address of the probes", async || {
        let log = shop.log_of(name);
        let rest = log.split("http://").nth(1)?;
        Some(rest.split('/').next()?.to_owned())
    })
    .await
}

#[tokio::test]
async fn probes_and_metrics_tell_the_truth() {
    let mut shop = Shop::closed().await;
    shop.start("orchestrator", &["orchestrator", "--http", "127.0.0.1:0"]);
    shop.start("services", &["worker", "payment", "shipping", "--http", "127.0.0.1:0"]);
    let addresses = [address(&shop, "orchestrator").await, address(&shop, "services").await];
    for addr in &addresses {
        assert_eq!(get(addr, "/livez").await.0, 200);
        eventually("readiness", async || (get(addr, "/readyz").await.0 == 200).then_some(())).await;
    }
    shop.publish_order(&order("o-1")).await;
    shop.at_least("select count(*) from amends.steps where status = 'done'", 1).await;
    let (_, metrics) = get(&addresses[0], "/metrics").await;
    assert!(metrics.contains(r#"amends_sagas_started_total{definition="order"} 1"#), "{metrics}");
    assert!(metrics.contains("amends_commit_seconds_bucket"), "{metrics}");
    let (_, metrics) = get(&addresses[1], "/metrics").await;
    assert!(metrics.contains("amends_worker_attempts_total"), "{metrics}");
    // Without its database an orchestrator is alive, and not ready.
    shop.local.postgres.kill().await.unwrap();
    eventually("unreadiness", async || {
        let (status, body) = get(&addresses[0], "/readyz").await;
        (status == 503 && body.contains("Postgres")).then_some(())
    })
    .await;
    assert_eq!(get(&addresses[0], "/livez").await.0, 200);
    shop.local.postgres.restart().await.unwrap();
    eventually("readiness", async || (get(&addresses[0], "/readyz").await.0 == 200).then_some(()))
        .await;
}

#[tokio::test]
async fn log_lines_name_saga_step_and_attempt() {
    let mut shop = Shop::closed().await;
    shop.start("orchestrator", &["orchestrator", "--log-format", "json"]);
    shop.start("payment", &["worker", "payment", "--log-format", "json"]);
    let mut flaky = order("o-1");
    flaky["card"] = "tok_flaky".into();
    shop.listening().await;
    shop.publish_order(&flaky).await;
    shop.at_least("select count(*) from amends.history where kind = 'broke'", 1).await;
    let saga: uuid::Uuid =
        sqlx::query_scalar("select id from amends.sagas").fetch_one(&shop.pool).await.unwrap();
    for role in ["orchestrator", "payment"] {
        eventually(&format!("a line of {role}"), async || {
            let log = shop.log_of(role);
            let lines = log.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
            let mut lines = lines.filter(|l| l.to_string().contains(&saga.to_string()));
            lines.find(|l| {
                let text = l.to_string();
                text.contains("payment.authorize") && text.contains("\"attempt\"")
            })
        })
        .await;
    }
}
