//! The saga on a real Postgres and a real NATS server, which are started for the test.

use amends_app::{Failed, testing::Live};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_paid_or_undone() -> Result<(), Failed> {
    let live = Live::start(shop::app(), env!("CARGO_BIN_EXE_shop")).await?;
    let order = |id, card| json!({"id": id, "article": "tea", "quantity": 2, "card": card});
    live.publish("orders.placed", &order("o-1", "tok_visa")).await?;
    live.publish("orders.placed", &order("o-2", "tok_declined")).await?;

    let paid = live.ended("order", "o-1").await?;
    assert_eq!(paid.status, "completed", "{}", live.show("o-1").await?);
    let refused = live.ended("order", "o-2").await?;
    assert_eq!(refused.status, "compensated", "{}", live.show("o-2").await?);

    let tea: Result<i64, _> =
        sqlx::query_scalar("select available from store.stock where article = 'tea'")
            .fetch_one(live.database())
            .await;
    assert_eq!(tea.unwrap(), 98, "the second order gave its tea back");
    live.stop().await
}
