//! Sagas that do not move, definitions that nobody runs, events that stay in an outbox.

use super::{Findings, findings::start, healthy};
use crate::support::{Shop, eventually, order, spell};

const LEADER: &str = "orchestrator: leader";

#[tokio::test]
async fn timers_that_nobody_takes() {
    let mut shop = healthy().await;
    shop.terminate("orchestrator").await;
    let late = "insert into amends.timer (saga_id, due_at)
        values (gen_random_uuid(), clock_timestamp() - interval '90 s')";
    spell::command(shop.local.database_url(), &[late]).await;
    let findings = Findings::of(&shop, &[]).await;
    findings.fails(&[LEADER, "orchestrator: timers"]);
    let (found, _) = findings.said("orchestrator: timers");
    assert!(found.starts_with("1 saga is late, the first by 1 m 3"), "{found}");
}

#[tokio::test]
async fn what_waits_for_a_person() {
    let shop = healthy().await;
    shop.publish("no order").await;
    shop.at_least("select count(*) from amends.dead_letters", 1).await;
    let findings = Findings::of(&shop, &[]).await;
    findings.fails(&[]);
    assert_eq!(findings.with("warning"), ["orchestrator: dead letters"]);
    let (_, advice) = findings.said("orchestrator: dead letters");
    assert!(advice.starts_with("`amends letters`"), "{advice}");
}

#[tokio::test]
async fn definitions_that_nobody_runs() {
    let shop = healthy().await;
    shop.publish_order(&order("o-1")).await;
    assert_eq!(shop.fate("o-1").await, "completed");
    // As if a later program had run here.
    let later = "insert into amends.definition (name, version, digest, outline)
        select name, 2, 'another', replace(outline::text, '\"version\":1', '\"version\":2')::json
        from amends.definition where name = 'order'";
    let open = "update amends.saga set version = 2, status = 'running', finished_at = null";
    let timer = "insert into amends.timer select id, 'infinity' from amends.saga";
    spell::command(shop.local.database_url(), &[later]).await;
    let findings = Findings::of(&shop, &[]).await;
    findings.fails(&[]);
    assert_eq!(findings.with("warning"), ["definitions: order@2"]);
    spell::command(shop.local.database_url(), &[open, timer]).await;
    let findings = Findings::of(&shop, &[]).await;
    findings.fails(&["definitions: order@2"]);
    let (found, _) = findings.said("definitions: order@2");
    assert!(found.ends_with("1 open saga"), "{found}");
    // Another program runs that knows it.
    let leads = "insert into amends.leader (place, holder, definitions, since, at)
        values ('p', gen_random_uuid(), 'order@2 ', now(), now() + interval '1 hour')";
    spell::command(shop.local.database_url(), &[leads]).await;
    Findings::of(&shop, &[]).await.fails(&[]);

    let changed = "update amends.definition set digest = 'another' where name = 'trip'";
    spell::command(shop.local.database_url(), &[changed]).await;
    Findings::of(&shop, &[]).await.fails(&["definitions: trip@1"]);
}

/// A database of services: its barrier, and events that stay there.
#[tokio::test]
async fn participants() {
    let mut shop = Shop::closed().await;
    start(&mut shop).await;
    let kept = "insert into amends_barrier.event (id, emitted_at, due_at, subject, service, body)
        values (nextval('amends_barrier.event_id'), now() - interval '90 s', 'infinity', 'a.b', '', '{}')";
    spell::command(shop.local.database_url(), &[kept, "create database till"]).await;
    let findings = Findings::of(&shop, &[]).await;
    findings.fails(&["participants: outbox of this database"]);
    let (found, advice) = findings.said("participants: outbox of this database");
    assert!(found.starts_with("1 event waits, for 1 m 3"), "{found}");
    assert!(advice.contains("amends_barrier.outbox"), "{advice}");
    spell::command(shop.local.database_url(), &["delete from amends_barrier.event"]).await;

    let till = format!("{}/till", shop.local.database_url().rsplit_once('/').unwrap().0);
    let host = till.split(['@', '/']).nth(3).unwrap();
    let name = format!("participants: barrier of amends@{host}");
    let of_the_till = ["--participant", &till];
    Findings::of(&shop, &of_the_till).await.fails(&[&name]);
    shop.done(&["migrate", "--participant", &till]).await;
    Findings::of(&shop, &of_the_till).await.fails(&[]);
    // A service of the program with a database of its own, which the environment names.
    shop.set("PAYMENT_DATABASE_URL", till.replace("/till", "/nowhere"));
    Findings::of(&shop, &[]).await.fails(&["participants: barrier of payment"]);
    shop.set("PAYMENT_DATABASE_URL", till);
    eventually("a barrier that is seen", async || {
        let findings = Findings::of(&shop, &[]).await;
        findings.with("ok").contains(&"participants: barrier of payment".to_owned()).then_some(())
    })
    .await;
}
