//! What the transport does behind everybody's back: streams that vanish, messages that nobody can
//! read, a stream that fills.

use std::time::Duration;

use amends::{BeforePivot, Definition, Finished, Given, Plan, Saga, Step, Trigger, wire};
use async_nats::HeaderMap;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use crate::support::{SERVICES, Shop, eventually, order};

const LETTERS: &str = "select count(*) from amends.dead_letters";

/// No listener of the orchestrator notices that the stream of commands is gone.
#[tokio::test]
async fn the_stream_of_commands_is_deleted() {
    let shop = Shop::open(&SERVICES).await;
    shop.jetstream.delete_stream(wire::COMMANDS_STREAM).await.unwrap();
    shop.publish_order(&order("o-1")).await;
    assert_eq!(shop.fate("o-1").await, "completed");
    let stream = shop.jetstream.get_stream(wire::COMMANDS_STREAM).await.unwrap();
    stream.delete_consumer("inventory").await.unwrap();
    shop.publish_order(&order("o-2")).await;
    assert_eq!(shop.fate("o-2").await, "completed");
    shop.audit().await;
}

/// A stream that was made anew counts from 1 again: its dead letters are others.
#[tokio::test]
async fn dead_letters_of_a_stream_made_anew_are_kept() {
    let shop = Shop::open(&[]).await;
    shop.publish("bad one").await;
    shop.at_least(LETTERS, 1).await;
    shop.jetstream.delete_stream(wire::EVENTS_STREAM).await.unwrap();
    shop.listening().await;
    shop.publish("bad two").await;
    shop.at_least(LETTERS, 2).await;
}

/// Publishes with header bytes as they are, which no client library would send. The URL may name a
/// user and a password.
pub(super) async fn publish_raw(url: &str, subject: &[u8], headers: &[u8], body: &[u8]) {
    let address = url.trim_start_matches("nats://");
    let (login, address) = address.split_once('@').unwrap_or((":", address));
    let (user, pass) = login.split_once(':').unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let headers = [b"NATS/1.0\r\n", headers, b"\r\n\r\n"].concat();
    let sizes = format!(" {} {}\r\n", headers.len(), headers.len() + body.len());
    let hello = json!({"verbose": false, "headers": true, "user": user, "pass": pass});
    let connect = format!("CONNECT {hello}\r\nHPUB ");
    let message =
        [connect.as_bytes(), subject, sizes.as_bytes(), &headers, body, b"\r\nPING\r\n"].concat();
    stream.write_all(&message).await.unwrap();
    let mut seen = Vec::new();
    while !seen.windows(4).any(|w| w == b"PONG") {
        let mut buffer = [0; 1024];
        let n = stream.read(&mut buffer).await.unwrap();
        assert!(n > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..n]);
    }
    assert!(!seen.windows(4).any(|w| w == b"-ERR"), "{}", String::from_utf8_lossy(&seen));
}

/// The client drops its connection at a header that is not UTF-8, again at each redelivery.
#[tokio::test]
async fn messages_that_cannot_be_read_are_buried() {
    let shop = Shop::open(&SERVICES).await;
    let url = shop.local.nats_url();
    publish_raw(url, b"orders.placed", b"Foo: caf\xe9", b"{}").await;
    publish_raw(url, b"amends.reply.payment", b"no colon", b"{}").await;
    publish_raw(url, b"amends.reply.\xff\xfe", b"A: b", b"{}").await;
    shop.publish_order(&order("o-1")).await;
    assert_eq!(shop.fate("o-1").await, "completed");
    shop.at_least(LETTERS, 3).await;
    let reasons: Vec<String> = sqlx::query_scalar("select reason from amends.dead_letters")
        .fetch_all(&shop.pool)
        .await
        .unwrap();
    assert!(reasons.iter().all(|r| r.contains("malformed or not UTF-8")), "{reasons:?}");
    // And they are gone: nothing is delivered again.
    eventually("an end to redelivery", async || {
        let replies = shop.jetstream.get_stream(wire::REPLIES_STREAM).await.ok()?;
        let events = shop.jetstream.get_stream(wire::EVENTS_STREAM).await.ok()?;
        let waits = events.consumer_info("amends-order").await.ok()?.num_ack_pending;
        (replies.cached_info().state.messages == 0 && waits == 0).then_some(())
    })
    .await;
}

/// Consumed triggers make room for new ones.
#[tokio::test]
async fn a_full_stream_of_triggers_lets_go_of_what_is_consumed() {
    let mut shop = Shop::closed().await;
    shop.start("orchestrator", &["orchestrator", "--stream-bytes-max", "1048576"]);
    shop.listening().await;
    let bulk = "x".repeat(60_000);
    // Three times what the stream can hold; each is refused by nobody in the end.
    for n in 0..50 {
        shop.publish(format!("no order {n} {bulk}")).await;
    }
    shop.at_least(LETTERS, 50).await;
}

/// What is wrong with one stream keeps maintenance from nothing else.
#[tokio::test]
async fn a_stream_that_somebody_changed_does_not_stop_maintenance() {
    let mut shop = Shop::closed().await;
    shop.start("orchestrator", &["orchestrator", "--stream-bytes-max", "1048576"]);
    shop.listening().await;
    shop.says("orchestrator", "orchestrator runs").await;
    let mut commands = shop.jetstream.get_stream(wire::COMMANDS_STREAM).await.unwrap();
    let mut config = commands.info().await.unwrap().config.clone();
    config.deny_delete = true;
    shop.jetstream.update_stream(config).await.unwrap();
    shop.says("orchestrator", "the stream `AMENDS_COMMANDS` has deny delete true").await;
    let bulk = "x".repeat(60_000);
    for n in 0..20 {
        shop.publish(format!("no order {n} {bulk}")).await;
    }
    shop.at_least(LETTERS, 20).await;
}

struct Note;

impl Step for Note {
    const NAME: &'static str = "audit.note";
    type Input = serde_json::Value;
    type Output = ();
    type Rejection = std::convert::Infallible;
}

struct AuditOrder;

impl Saga for AuditOrder {
    const NAME: &'static str = "audit";
    const VERSION: u32 = 1;
    type Input = serde_json::Value;
    type Output = ();

    fn trigger() -> Trigger<Self::Input> {
        Trigger::on("orders.placed")
    }

    fn plan(p: Plan<BeforePivot>, order: Given<Self::Input>) -> Finished<()> {
        let (p, noted) = p.pivot(Note::with(order));
        p.finish(noted)
    }
}

/// One event may start a saga of each definition that waits for it.
#[tokio::test]
async fn two_definitions_share_a_trigger() {
    let shop = Shop::closed().await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(amends_orchestrator::run(
        amends_orchestrator::Config::default(),
        shop.database(),
        shop.jetstream.client(),
        vec![
            Definition::of::<order::PlaceOrder>().unwrap(),
            Definition::of::<AuditOrder>().unwrap(),
        ],
        std::sync::Arc::default(),
        stop.clone(),
    ));
    shop.listening().await;
    for n in 0..20 {
        shop.publish_order(&order(&format!("o-{n}"))).await;
    }
    shop.at_least("select count(*) from amends.saga where definition = 'order'", 20).await;
    shop.at_least("select count(*) from amends.saga where definition = 'audit'", 20).await;
    stop.cancel();
    running.await.unwrap().unwrap();
}

/// A timer that fired without anything to do is set by what is due, and moved up again when the
/// saga goes on: a command that is lost then is sent again in seconds, not in a day.
#[tokio::test]
async fn a_timer_follows_what_is_due() {
    let shop = Shop::open(&[]).await;
    shop.publish_order(&order("o-1")).await;
    shop.at_least("select count(*) from amends.steps where attempts > 0", 1).await;
    let saga: uuid::Uuid =
        sqlx::query_scalar("select id from amends.sagas").fetch_one(&shop.pool).await.unwrap();
    let reply = async |body: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(wire::AMENDS_ID, format!("{saga}:payment.authorize:action:1"));
        let ack = shop.jetstream.publish_with_headers("amends.reply.payment", headers, body.into());
        ack.await.unwrap().await.unwrap();
    };
    let due = async || {
        let due: f64 = sqlx::query_scalar(
            "select extract(epoch from due_at - clock_timestamp())::float8 from amends.timer",
        )
        .fetch_one(&shop.pool)
        .await
        .unwrap();
        Duration::from_secs_f64(due.max(0.0))
    };
    reply(r#"{"outcome":"pending"}"#).await;
    // The timer of the first attempt fires, finds the saga waiting, and is set to a day.
    eventually("a timer far off", async || (due().await > Duration::from_secs(3600)).then_some(()))
        .await;
    reply(r#"{"outcome":"ok","output":{"authorization":"a"}}"#).await;
    shop.at_least(
        "select count(*) from amends.steps where service = 'shipping' and attempts > 0",
        1,
    )
    .await;
    assert!(due().await <= Duration::from_secs(15), "{:?}", due().await);
}
