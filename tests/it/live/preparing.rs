//! What a worker meets before it serves: its schema is brought up to date, and first data written. What the
//! database cannot do now is waited for; what waiting does not mend ends the worker with a sentence.

use std::time::Duration;

use crate::support::{Probe, Shop, spell, within};

/// The disk is full whenever a schema is to be made.
const NO_DISK: &str = "
    create function no_disk() returns event_trigger language plpgsql as $$
    begin raise 'could not extend file' using errcode = 'disk_full'; end $$;
    create event trigger no_disk on ddl_command_start when tag in ('CREATE SCHEMA')
    execute function no_disk()";

/// The shelves are locked.
const NO_SHELF: &str = "
    create function no_shelf() returns trigger language plpgsql as $$
    begin raise 'the shelves are locked' using errcode = 'lock_not_available'; end $$;
    create trigger no_shelf before insert on inventory.stock execute function no_shelf()";

/// From the end of what it waits for until it is ready.
const WELL: Duration = Duration::from_secs(10);

async fn start(shop: &mut Shop, stock: &str) -> Probe {
    let args = ["worker", "inventory", "--seed-stock", stock, "--http", "127.0.0.1:0"];
    shop.start("inventory", &args);
    Probe::of(shop, "inventory").await
}

/// It waits, says why, and is ready when this is over.
async fn waits(shop: &mut Shop, probe: &Probe, why: &str, over: &str) {
    within(WELL, "a worker that says what it waits for", async || {
        let refusal = probe.ready().await.err()?;
        (refusal.starts_with("service inventory: ") && refusal.contains(why)).then_some(())
    })
    .await;
    // Long enough for one that gives up.
    let mut looks = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..20 {
        looks.tick().await;
        assert!(!shop.has_ended("inventory"), "it gave up: {}", shop.log_of("inventory"));
        assert!(probe.ready().await.is_err());
    }
    let log = shop.log_of("inventory");
    assert_eq!(log.matches("trying again until it can be done").count(), 1, "{log}");
    spell::command(shop.local.database_url(), &[over]).await;
    probe.is_ready_within(WELL).await;
    assert_eq!(shop.terminate("inventory").await, Some(0));
}

#[tokio::test]
async fn a_worker_waits_until_its_schema_can_be_made() {
    let mut shop = Shop::closed().await;
    spell::command(shop.local.database_url(), &[NO_DISK]).await;
    shop.start("orchestrator", &["orchestrator"]);
    let stock = shop.stock();
    let probe = start(&mut shop, &stock).await;
    waits(&mut shop, &probe, "could not extend file", "drop event trigger no_disk").await;
}

#[tokio::test]
async fn a_worker_waits_until_its_first_data_can_be_written() {
    let mut shop = Shop::open(&["inventory"]).await;
    shop.says("inventory", "serving commands").await;
    assert_eq!(shop.terminate("inventory").await, Some(0));
    spell::command(shop.local.database_url(), &[NO_SHELF]).await;
    let more = shop.folder.path().join("more.json");
    std::fs::write(&more, r#"{"vase": 3}"#).unwrap();
    let probe = start(&mut shop, more.to_str().unwrap()).await;
    waits(&mut shop, &probe, "the shelves are locked", "drop trigger no_shelf on inventory.stock")
        .await;
}

#[tokio::test]
async fn a_worker_without_rights_ends_with_a_sentence() {
    let shop = Shop::closed().await;
    spell::command(shop.local.database_url(), &["create role poor login"]).await;
    let poor = shop.local.database_url().replacen("//amends@", "//poor@", 1);
    let worker = ["worker", "payment", "--database-url", &poor];
    let output = tokio::time::timeout(WELL, shop.run(&worker)).await.expect("it ends");
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{log}");
    let last = log.lines().next_back().unwrap_or_default();
    let sentence = "amends: service payment: the service's database could not be brought up to date: \
                    permission denied for database amends; the login `poor` needs the rights of the service \
                    `payment`, which the owner of its database grants by `amends migrate --grant payment=poor`";
    assert_eq!(last, sentence);
}

/// Whatever the database says of statements in general: the schema is made with limits of its own.
#[tokio::test]
async fn a_worker_starts_where_statements_may_take_no_time() {
    let mut shop = Shop::closed().await;
    spell::command(
        shop.local.database_url(),
        &["alter database amends set statement_timeout = '50ms'"],
    )
    .await;
    shop.start("orchestrator", &["orchestrator"]);
    let stock = shop.stock();
    start(&mut shop, &stock).await.is_ready().await;
}
