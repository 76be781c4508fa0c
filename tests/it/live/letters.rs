//! Dead letters are counted as they are kept: each once.

use std::time::Instant;

use amends::wire;
use serde_json::Value;

use super::traces::{address, get};
use crate::support::{SERVICES, Shop, eventually, order};

const LETTERS: &str = "select count(*) from amends.dead_letters";

/// A message that comes again after its letter was kept makes neither a second letter nor a second
/// count: an alert on the counter would page somebody for nothing.
#[tokio::test]
async fn a_letter_that_is_kept_already_is_not_counted_again() {
    let mut shop = Shop::closed().await;
    shop.start("orchestrator", &["orchestrator", "--http", "127.0.0.1:0"]);
    shop.listening().await;
    shop.publish("bad one").await;
    shop.at_least(LETTERS, 1).await;
    // Made anew, the consumer begins at the first message of the stream again.
    let events = shop.jetstream.get_stream(wire::EVENTS_STREAM).await.unwrap();
    events.delete_consumer("amends-order").await.unwrap();
    shop.publish("bad two").await;
    eventually("both to be acked by the new consumer", async || {
        let info = events.consumer_info("amends-order").await.ok()?;
        (info.ack_floor.stream_sequence == 2).then_some(())
    })
    .await;
    assert_eq!(shop.number(LETTERS).await, 2);
    let (_, metrics) = get(&address(&shop, "orchestrator").await, "/metrics").await;
    assert!(metrics.contains("\namends_dead_letters_total 2\n"), "{metrics}");
    // The second line may be told a second after the first.
    eventually("a line for each", async || (lines(&shop).len() >= 2).then_some(())).await;
    assert_eq!(lines(&shop).len(), 2);
}

/// What the orchestrator's log says of dead letters.
fn lines(shop: &Shop) -> Vec<String> {
    let log = shop.log_of("orchestrator");
    log.lines().filter(|line| line.contains("dead letter")).map(str::to_owned).collect()
}

/// A flood of rubbish, each with a detail of its own, fills neither log nor database, and is counted: all of
/// it, where operators look.
#[tokio::test]
async fn a_flood_of_rubbish_is_bounded_and_counted() {
    const FLOOD: usize = 5000;
    const DROPPED: &str = "select coalesce(sum(letters), 0)::bigint from amends.dropped_letters";
    let mut shop = Shop::closed().await;
    shop.start("orchestrator", &["orchestrator", "--http", "127.0.0.1:0"]);
    for service in SERVICES {
        shop.start_worker(service);
    }
    shop.listening().await;
    let began = Instant::now();
    for thousand in 0..FLOOD / 1000 {
        let mut acks = Vec::new();
        for n in 0..1000 {
            // The position of what is wrong is in the reason.
            let rubbish = format!("{}x", " ".repeat(n));
            acks.push(shop.jetstream.publish("orders.placed", rubbish.into()).await.unwrap());
        }
        shop.publish_order(&order(&format!("o-{thousand}"))).await;
        for ack in acks {
            ack.await.unwrap();
        }
    }
    let flood = i64::try_from(FLOOD).unwrap();
    shop.at_least(DROPPED, flood - 1000).await;
    assert_eq!(shop.number(LETTERS).await, 1000);
    for thousand in 0..FLOOD / 1000 {
        assert_eq!(shop.fate(&format!("o-{thousand}")).await, "completed");
    }

    let (_, metrics) = get(&address(&shop, "orchestrator").await, "/metrics").await;
    let counted = |name: &str| -> i64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name}: {metrics}")).parse().unwrap()
    };
    assert_eq!(counted("amends_dead_letters_total"), 1000);
    // One that is delivered again counts again.
    let dropped = shop.number(DROPPED).await;
    assert!(dropped >= flood - 1000);
    assert_eq!(counted("amends_dead_letters_dropped_total"), dropped);
    shop.says("orchestrator", "only counted, in amends.dropped_letters").await;
    let (told, seconds) = (lines(&shop), began.elapsed().as_secs());
    println!("{told:#?}");
    assert!(told.len() as u64 <= seconds + 2, "{seconds} s: {told:#?}");

    let list = shop.done(&["letters"]).await;
    let note = format!("only counted, as too many of their kind are open: {dropped}");
    assert!(list.contains(&note), "{list}");
    let list = shop.done(&["letters", "dropped"]).await;
    assert!(list.contains("orders.placed") && list.contains("the payload is not JSON"), "{list}");
    let json: Value =
        serde_json::from_str(&shop.done(&["letters", "dropped", "--json"]).await).unwrap();
    assert_eq!(json[0]["letters"], dropped);
    assert!(json[0]["last_source"].as_str().unwrap().starts_with("AMENDS_EVENTS:"), "{json}");

    // Whoever settles some has room for others.
    let settled =
        "select amends.discard(id, 'rubbish') from amends.dead_letters order by id limit 10";
    sqlx::query(settled).execute(&shop.pool).await.unwrap();
    eventually("new letters", async || {
        shop.publish("x").await;
        (shop.number(LETTERS).await > 990).then_some(())
    })
    .await;
}
