//! Starting before the servers are there, with a changed plan, or on foreign streams.

use async_nats::jetstream::stream;

use crate::support::{SERVICES, Shop, order};

#[tokio::test]
async fn everything_waits_for_its_servers() {
    let mut shop = Shop::closed().await;
    shop.local.nats.kill().await.unwrap();
    shop.local.postgres.kill().await.unwrap();
    shop.start("orchestrator", &["orchestrator", "--http", "127.0.0.1:0"]);
    for service in SERVICES {
        shop.start_worker(service);
    }
    shop.says("orchestrator", "Postgres does not answer").await;
    shop.says("inventory", "does not answer").await;
    shop.local.postgres.restart().await.unwrap();
    shop.says("orchestrator", "NATS does not answer").await;
    shop.local.nats.restart().await.unwrap();
    shop.listening().await;
    shop.publish_order(&order("o-1")).await;
    assert_eq!(shop.fate("o-1").await, "completed");
}

#[tokio::test]
async fn an_orchestrator_waits_for_its_schema() {
    let mut shop = Shop::closed().await;
    sqlx::query("drop schema amends cascade").execute(&shop.pool).await.unwrap();
    shop.start("orchestrator", &["orchestrator"]);
    shop.says("orchestrator", "run `migrate` of this program").await;
    shop.done(&["migrate"]).await;
    shop.says("orchestrator", "orchestrator runs").await;
}

#[tokio::test]
async fn a_changed_plan_under_an_old_version_refuses_to_start() {
    let mut shop = Shop::open(&[]).await;
    shop.says("orchestrator", "orchestrator runs").await;
    assert_eq!(shop.terminate("orchestrator").await, Some(0));
    sqlx::query("update amends.definition set digest = 'another' where name = 'order'")
        .execute(&shop.pool)
        .await
        .unwrap();
    shop.start("orchestrator", &["orchestrator"]);
    assert_eq!(shop.ends("orchestrator").await, Some(1));
    let log = shop.log_of("orchestrator");
    assert!(log.contains("the plan of `order` changed, but its version is still 1"), "{log}");
}

#[tokio::test]
async fn a_stream_with_other_settings_is_a_clear_error() {
    let mut shop = Shop::closed().await;
    let lossy = stream::Config {
        name: "AMENDS_COMMANDS".into(),
        subjects: vec!["amends.command.>".into()],
        retention: stream::RetentionPolicy::Limits,
        ..Default::default()
    };
    shop.jetstream.create_stream(lossy).await.unwrap();
    shop.start("orchestrator", &["orchestrator"]);
    assert_eq!(shop.ends("orchestrator").await, Some(1));
    let log = shop.log_of("orchestrator");
    assert!(log.contains("the stream `AMENDS_COMMANDS` has retention limits"), "{log}");
}
