//! Events that are kept for sagas which wait for them: found for as long as their saga may ask for them, and then
//! forgotten.

use std::collections::BTreeMap;

use crate::{
    statements::{Session, Value},
    support::Shop,
};

/// Two sagas that wait for one key, which began a year apart; events on both sides of the 30 days before each.
const WAITING: &str = "
insert into amends.wait (saga_id, step, matcher, key)
    select amends.first_id(at), 'told', 'job/told', 'k'
    from unnest(array['2025-06-01'::timestamptz, '2026-06-01']) at;
insert into amends.timer select saga_id, 'infinity' from amends.wait;
insert into amends.event (matcher, key, source, body, at)
    select 'job/told', 'k', at::date::text, '{}', at
    from unnest(array['2025-05-01'::timestamptz, '2025-05-03', '2026-05-01', '2026-05-03']) at";

#[tokio::test]
async fn an_event_of_long_before_a_saga_is_not_for_it() {
    let mut session = Session::new().await;
    session.ask(WAITING).await.unwrap();
    let sagas = session.ask("select saga_id from amends.wait order by 1").await.unwrap();
    let mut found = Vec::new();
    for saga in &sagas {
        let given = BTreeMap::from([
            (1, Value::Array(vec![Some(saga[0].clone())])),
            (2, Value::One("10".to_owned())),
        ]);
        let rows = session.run("arrivals", &given).await.unwrap();
        found.push(rows.into_iter().map(|row| row[2].clone()).collect::<Vec<_>>());
    }
    assert_eq!(found[0], ["2025-05-03", "2026-05-01", "2026-05-03"]);
    assert_eq!(found[1], ["2026-05-03"], "what an older saga keeps is not for this one");
    // What none may ask for is forgotten, and nothing else.
    session.run("forget_events", &BTreeMap::new()).await.unwrap();
    let kept = session.ask("select source from amends.event order by at").await.unwrap();
    assert_eq!(kept.concat(), found[0]);
}

#[tokio::test]
async fn what_is_forgotten_is_told() {
    let mut shop = Shop::closed().await;
    let old = "insert into amends.event (matcher, key, source, body, at)
        select 'order/told', 'k', n::text, '{}', '2001-01-01' from generate_series(1, 3) n";
    sqlx::query(old).execute(&shop.pool).await.unwrap();
    shop.start("orchestrator", &["orchestrator"]);
    shop.says("orchestrator", "kept events were forgotten").await;
    assert!(shop.log_of("orchestrator").contains("events=3"));
}
