//! Dead letters are counted as they are kept: each once.

use amends::wire;

use super::traces::{address, get};
use crate::support::{Shop, eventually};

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
    assert_eq!(shop.log_of("orchestrator").matches("dead letter").count(), 2);
}
