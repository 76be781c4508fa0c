//! Starting and watching sagas from a Rust service.

use std::time::Duration;

use amends::SagaId;
use amends_client::{Client, End, Error, Request, Started, Status};
use order::{OrderPlaced, PlaceOrder};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use crate::support::{SERVICES, Shop, order};

/// Longer than any of these waits takes.
const LONG: Duration = Duration::from_secs(60);

const SHORT: Duration = Duration::from_millis(300);

fn placed(id: &str, country: &str) -> OrderPlaced {
    OrderPlaced { country: country.into(), ..serde_json::from_value(order(id)).unwrap() }
}

fn client(shop: &Shop) -> Client {
    Client::connect(shop.local.database_url()).unwrap()
}

#[tokio::test]
async fn an_order_is_started_once_and_watched_to_its_end() {
    let shop = Shop::open(&SERVICES).await;
    let client = client(&shop);
    let placed = placed("o-1", "DE");
    let started = client.start::<PlaceOrder>(&placed).await.unwrap();
    // It may wait in a task of its own.
    let waiting = client.clone();
    let end = tokio::spawn(async move { waiting.wait(&started, LONG).await }).await.unwrap();
    let End::Completed(receipt) = end.unwrap() else { panic!("not completed") };
    assert_eq!(receipt.order_id, "o-1");
    assert_eq!(client.status(&started).await.unwrap(), Some(Status::Completed(receipt)));
    assert_eq!(client.find::<PlaceOrder>("o-1").await.unwrap(), Some(started));
    assert_eq!(client.find::<PlaceOrder>("o-2").await.unwrap(), None);

    // The same is the same saga, and another input under its key an error that names it.
    let again = client.start::<PlaceOrder>(&placed).await.unwrap();
    assert_eq!(again, started);
    let other = OrderPlaced { customer: "somebody else".into(), ..placed };
    match client.start::<PlaceOrder>(&other).await {
        Err(Error::OtherInput { saga, reason }) => {
            assert_eq!(saga, started.id());
            assert!(reason.contains("the key `o-1` of `order` was used before"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(shop.number("select count(*) from amends.sagas").await, 1);
    shop.audit().await;
}

#[tokio::test]
async fn an_order_without_a_route_is_turned_back_for_a_reason() {
    let shop = Shop::open(&SERVICES).await;
    let client = client(&shop);
    let lost = client.start::<PlaceOrder>(&placed("o-1", "AQ")).await.unwrap();
    let End::Compensated(why) = client.wait(&lost, LONG).await.unwrap() else {
        panic!("not compensated")
    };
    assert_eq!((why.step.as_str(), why.code.as_str()), ("shipping.book", "no_route"));
    assert_eq!(client.status(&lost).await.unwrap(), Some(Status::Compensated(why)));
    // What the plan's input cannot be is refused, with the orchestrator's reason.
    match client.start::<PlaceOrder>(&placed("", "DE")).await {
        Err(Error::Refused { reason, .. }) => assert!(reason.contains("key"), "{reason}"),
        other => panic!("{other:?}"),
    }
    // An id of nothing.
    let none = Started::<PlaceOrder>::of(SagaId(Uuid::nil()));
    assert_eq!(client.status(&none).await.unwrap(), None);
    let error = client.wait(&none, LONG).await.unwrap_err();
    assert!(matches!(error, Error::NoSaga { .. }), "{error}");
}

#[tokio::test]
async fn a_start_is_part_of_the_transaction_that_makes_it() {
    let shop = Shop::open(&SERVICES).await;
    let client = client(&shop);
    let mut tx = shop.pool.begin().await.unwrap();
    let gone = Client::start_in::<PlaceOrder>(&mut tx, &placed("gone", "DE")).await.unwrap();
    tx.rollback().await.unwrap();
    let error = client.started(&gone, LONG).await.unwrap_err();
    assert!(matches!(error, Error::NoRequest { .. }), "{error}");

    let mut tx = shop.pool.begin().await.unwrap();
    let first = Client::start_in::<PlaceOrder>(&mut tx, &placed("o-1", "DE")).await.unwrap();
    let twin = Client::start_in::<PlaceOrder>(&mut tx, &placed("o-1", "DE")).await.unwrap();
    tx.commit().await.unwrap();
    assert_ne!(first, twin);
    let started = client.started(&first, LONG).await.unwrap();
    assert_eq!(client.started(&twin, LONG).await.unwrap(), started);
    assert!([first.id(), twin.id()].contains(&started.id().0));
    assert!(matches!(client.wait(&started, LONG).await.unwrap(), End::Completed(_)));
    assert_eq!(shop.number("select count(*) from amends.sagas").await, 1);
    assert_eq!(client.find::<PlaceOrder>("gone").await.unwrap(), None);
}

/// Nobody serves the stock: the order goes on, and is stuck later, when the mail is rejected behind the pivot.
#[tokio::test]
async fn a_wait_ends_when_its_time_is_over_or_a_person_is_needed() {
    let mut shop = Shop::open(&["payment", "shipping"]).await;
    let client = client(&shop);
    let started = client.start::<PlaceOrder>(&placed("o-1", "DE")).await.unwrap();
    let end = client.wait(&started, SHORT).await.unwrap();
    assert_eq!(end, End::TimedOut(Status::Running));

    shop.start_worker("inventory");
    let asked =
        "select count(*) from amends.steps where step = 'notification.send' and attempts > 0";
    shop.at_least(asked, 1).await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Amends-Id", format!("{}:notification.send:action:1", started.id()));
    let no = r#"{"outcome":"rejected","code":"no_such_mailbox","message":"who is this?"}"#;
    let subject = "amends.reply.notification";
    let stored = shop.jetstream.publish_with_headers(subject, headers, no.into()).await.unwrap();
    stored.await.unwrap();
    let End::Stuck(why) = client.wait(&started, LONG).await.unwrap() else { panic!("not stuck") };
    assert_eq!(why.code, "no_such_mailbox");
}

#[tokio::test]
async fn a_start_without_an_orchestrator_stays_noted() {
    let mut shop = Shop::closed().await;
    let (server, _) = shop.local.database_url().rsplit_once('/').unwrap();
    for (database, advice) in [
        ("postgres", "up to date (`migrate` of the orchestrator's program)?"),
        ("nowhere", "database of the address"),
    ] {
        let client = Client::connect(&format!("{server}/{database}")).unwrap();
        let request = Request::<PlaceOrder>::of(Uuid::nil());
        let error = client.started(&request, LONG).await.unwrap_err();
        assert!(error.to_string().ends_with(advice), "{error}");
    }
    let client = client(&shop);
    let unknown = client.start::<PlaceOrder>(&placed("o-1", "DE")).await.unwrap_err();
    assert!(matches!(unknown, Error::NoDefinition { definition: "order" }), "{unknown}");

    shop.start("orchestrator", &["orchestrator"]);
    shop.listening().await;
    shop.kill("orchestrator").await;
    let mut session = shop.pool.acquire().await.unwrap();
    let noted = Client::start_in::<PlaceOrder>(&mut session, &placed("o-1", "DE")).await.unwrap();
    match client.started(&noted, SHORT).await.unwrap_err() {
        Error::Undecided { request, .. } => assert_eq!(Request::of(request), noted),
        other => panic!("{other}"),
    }
    shop.start("orchestrator", &["orchestrator"]);
    let started = client.started(&noted, LONG).await.unwrap();
    assert_eq!(started.id().0, noted.id());
}

/// With the rights that the crate's front page lists, and no other.
#[tokio::test]
async fn a_login_that_starts_and_looks_needs_few_rights() {
    let shop = Shop::open(&SERVICES).await;
    let url = shop.local.database_url().replace("amends@", "shop@");
    sqlx::query("create role shop login").execute(&shop.pool).await.unwrap();
    let client = Client::connect(&url).unwrap();
    let input = placed("o-1", "DE");
    let denied = client.start::<PlaceOrder>(&input).await.unwrap_err();
    assert!(matches!(denied, Error::Denied { .. }), "{denied}");
    let page = include_str!("../../../orchestrator/client/src/lib.rs");
    let grants: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("//! grant ")).collect();
    assert_eq!(grants.len(), 4, "{grants:?}");
    let mut held = PgConnection::connect(&url).await.unwrap();
    for grant in &grants[..2] {
        sqlx::query(AssertSqlSafe(format!("grant {grant}"))).execute(&shop.pool).await.unwrap();
    }
    // The first two let it start.
    let noted = Client::start_in::<PlaceOrder>(&mut held, &input).await.unwrap();
    let denied = client.started(&noted, LONG).await.unwrap_err();
    assert!(matches!(denied, Error::Denied { .. }), "{denied}");
    sqlx::query(AssertSqlSafe(format!("grant {}", grants[2]))).execute(&shop.pool).await.unwrap();
    let started = client.start::<PlaceOrder>(&input).await.unwrap();
    // What it may not see is not taken for a null.
    match client.wait(&started, LONG).await {
        Err(Error::Hidden { saga, definition: "order" }) => assert_eq!(saga, started.id()),
        other => panic!("{other:?}"),
    }
    let lost = client.start::<PlaceOrder>(&placed("o-2", "AQ")).await.unwrap();
    assert!(matches!(client.wait(&lost, LONG).await.unwrap(), End::Compensated(_)));
    sqlx::query(AssertSqlSafe(format!("grant {}", grants[3]))).execute(&shop.pool).await.unwrap();
    let End::Completed(receipt) = client.wait(&started, LONG).await.unwrap() else {
        panic!("not completed")
    };
    assert_eq!(receipt.order_id, "o-1");
    assert_eq!(client.find::<PlaceOrder>("o-1").await.unwrap(), Some(started));
    // It is named where starts are, and may act on nothing.
    assert_eq!(shop.number("select count(*) from amends.starts where actor = 'shop'").await, 3);
    let cancel = format!("select amends.cancel('{}', 'no more')", started.id());
    let refused = sqlx::query(AssertSqlSafe(cancel)).execute(&mut held).await.unwrap_err();
    assert!(refused.to_string().contains("permission denied"), "{refused}");
}
