//! Commands that share a transaction: each keeps its own promise.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use amends::{Compensatable, Rejection, Step, wire::Undo};
use amends_workers::{Act, Attempt, Compensate, Halt, Service};
use async_nats::jetstream::{consumer::pull, stream};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::Shop;

/// What a handler is to do after it has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Turn {
    Fine,
    Refuse,
    Break,
    Panic,
    Defer,
}

#[derive(Serialize, Deserialize)]
struct Order {
    n: i32,
    turn: Turn,
}

struct Full;

impl Rejection for Full {
    fn code(&self) -> &'static str {
        "full"
    }
}

struct Book;

impl Step for Book {
    const NAME: &'static str = "hotel.book";
    type Input = Order;
    type Output = i32;
    type Rejection = Full;
}

impl Compensatable for Book {}

struct Hotel;

/// Notes the half and the transaction that it was in.
async fn note(cx: &mut Attempt<'_>, n: i32, half: &str) -> sqlx::Result<()> {
    let sql = "insert into entry (n, half, xact) values ($1, $2, pg_current_xact_id()::text)";
    sqlx::query(sql).bind(n).bind(half).execute(&mut *cx.tx).await.map(drop)
}

impl Act<Book> for Hotel {
    async fn act(&self, cx: &mut Attempt<'_>, order: Order) -> Result<i32, Halt<Full>> {
        note(cx, order.n, "action").await?;
        match order.turn {
            Turn::Fine => Ok(order.n),
            Turn::Refuse => Err(Halt::Rejected(Full)),
            Turn::Break => Err(std::io::Error::other("no paper").into()),
            Turn::Panic => panic!("no paper at all"),
            Turn::Defer => Err(Halt::Pending),
        }
    }
}

impl Compensate<Book> for Hotel {
    async fn compensate(
        &self,
        cx: &mut Attempt<'_>,
        undo: Undo<Order, i32>,
    ) -> Result<(), Halt<Infallible>> {
        Ok(note(cx, undo.input.n, "compensation").await?)
    }
}

/// Servers with the streams and the consumer that an orchestrator makes, and none.
struct House {
    shop: Shop,
    pool: PgPool,
}

impl House {
    async fn build() -> Self {
        let shop = Shop::closed().await;
        for (name, subject) in
            [("AMENDS_COMMANDS", "amends.command.>"), ("AMENDS_REPLIES", "amends.reply.>")]
        {
            let subjects = vec![subject.to_owned()];
            let config = stream::Config { name: name.into(), subjects, ..Default::default() };
            shop.jetstream.create_stream(config).await.unwrap();
        }
        let consumer = pull::Config { durable_name: Some("hotel".into()), ..Default::default() };
        let commands = shop.jetstream.get_stream("AMENDS_COMMANDS").await.unwrap();
        commands.create_consumer(consumer).await.unwrap();
        let pool = PgPool::connect(shop.local.database_url()).await.unwrap();
        amends_workers::migrate(&shop.database()).await.unwrap();
        let entry = "create table entry (n int not null, half text not null, xact text not null)";
        sqlx::query(entry).execute(&pool).await.unwrap();
        Self { shop, pool }
    }

    async fn command(&self, id: &str, body: Value) {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Amends-Id", id);
        let subject = "amends.command.hotel.book";
        let body = body.to_string().into();
        let ack = self.shop.jetstream.publish_with_headers(subject, headers, body);
        ack.await.unwrap().await.unwrap();
    }

    /// Serves until there are so many replies; these by the id that they answer.
    async fn replies(&self, count: usize) -> BTreeMap<String, Vec<Value>> {
        let stop = CancellationToken::new();
        let hotel = Service::new("hotel", self.shop.database(), Hotel).step::<Book>();
        let hotel = hotel.shared_transactions(2, 16).build().unwrap();
        let serving = tokio::spawn(hotel.serve(self.shop.jetstream.client(), stop.clone()));
        let replies = self.shop.jetstream.get_stream("AMENDS_REPLIES").await.unwrap();
        let replies = replies.create_consumer(pull::Config::default()).await.unwrap();
        let mut replies = replies.messages().await.unwrap().take(count);
        let mut found: BTreeMap<_, Vec<Value>> = BTreeMap::new();
        while let Some(reply) =
            tokio::time::timeout(Duration::from_secs(30), replies.next()).await.unwrap()
        {
            let reply = reply.unwrap();
            let id = reply.headers.as_ref().unwrap().get("Amends-Id").unwrap().to_string();
            found.entry(id).or_default().push(serde_json::from_slice(&reply.payload).unwrap());
        }
        stop.cancel();
        serving.await.unwrap();
        found
    }

    /// By number and half: the transactions that were written in.
    async fn entries(&self) -> BTreeMap<(i32, String), Vec<String>> {
        let rows: Vec<(i32, String, String)> =
            sqlx::query_as("select n, half, xact from entry").fetch_all(&self.pool).await.unwrap();
        let mut entries: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (n, half, xact) in rows {
            entries.entry((n, half)).or_default().push(xact);
        }
        entries
    }
}

fn turn(n: i32) -> Turn {
    match n % 60 {
        7 => Turn::Break,
        31 => Turn::Panic,
        n if n % 5 == 0 => Turn::Refuse,
        n if n % 11 == 0 => Turn::Defer,
        _ => Turn::Fine,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_is_answered_and_done_as_if_it_were_alone() {
    const ORDERS: i32 = 240;
    let house = House::build().await;
    let ids: Vec<_> =
        (0..ORDERS).map(|_| format!("{}:hotel.book:action:1", Uuid::now_v7())).collect();
    for twice in [false, true] {
        for (n, id) in (0..).zip(&ids) {
            if !twice || n % 3 == 0 {
                house.command(id, json!({ "n": n, "turn": turn(n) })).await;
            }
        }
    }
    let found = house.replies(ids.len() + ids.len().div_ceil(3)).await;
    let entries = house.entries().await;
    for (n, id) in (0..).zip(&ids) {
        let (outcome, written) = match turn(n) {
            Turn::Fine => ("ok", 1),
            Turn::Refuse => ("rejected", 0),
            Turn::Break | Turn::Panic => ("retry", 0),
            Turn::Defer => ("pending", 1),
        };
        let replies = &found[id];
        assert_eq!(replies.len(), if n % 3 == 0 { 2 } else { 1 }, "{id}");
        assert!(replies.iter().all(|reply| reply["outcome"] == outcome), "{n}: {replies:?}");
        let done = entries.get(&(n, "action".to_owned())).map_or(0, Vec::len);
        assert_eq!(done, written, "{n} is {:?}", turn(n));
    }
    // Or nothing was shared.
    let mut transactions: BTreeMap<_, usize> = BTreeMap::new();
    for xact in entries.values().flatten() {
        *transactions.entry(xact).or_default() += 1;
    }
    assert!(transactions.values().any(|entries| *entries > 5), "{transactions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_and_their_compensations_keep_apart_in_any_order() {
    const ORDERS: i32 = 120;
    let house = House::build().await;
    let halves: Vec<_> = (0..ORDERS).map(|n| (n, Uuid::now_v7())).collect();
    // Neighbours, in both orders: both halves of a step in what is taken at once.
    for (n, saga) in &halves {
        let input = json!({ "n": n, "turn": turn(*n) });
        let action = (format!("{saga}:hotel.book:action:1"), input.clone());
        let undo = (
            format!("{saga}:hotel.book:compensation:1"),
            json!({ "input": input, "output": null }),
        );
        let order = if n % 2 == 0 { [action, undo] } else { [undo, action] };
        for (id, body) in order {
            house.command(&id, body).await;
        }
    }
    let found = house.replies(2 * halves.len()).await;
    let entries = house.entries().await;
    for (n, saga) in &halves {
        let done = |half: &str| entries.get(&(*n, half.to_owned())).map_or(0, Vec::len);
        assert!(done("action") < 2, "{n}");
        assert_eq!(done("action"), done("compensation"), "{n} is {:?}", turn(*n));
        let undone = &found[&format!("{saga}:hotel.book:compensation:1")];
        assert_eq!(undone.len(), 1);
        assert_eq!(undone[0]["outcome"], "ok", "{n}: {undone:?}");
    }
    assert!(entries.len() > 20, "{} were done", entries.len());
}
