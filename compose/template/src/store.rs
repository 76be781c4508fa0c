//! The service `store`. What a handler writes in `cx.tx` commits together with the reply, exactly once.

use std::convert::Infallible;

use amends::wire::Undo;
use amends_workers::{Act, Attempt, Compensate, Database, Halt, Service, ServiceError, reject};
use sqlx::migrate::Migrator;

use crate::order::{
    CardDeclined, Hold, HoldMoney, Order, ReserveStock, SendReceipt, SoldOut, TakeMoney,
};

/// What makes the schema `store`.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

const RESERVE: &str = "update store.stock set available = available - $2
    where article = $1 and available >= $2
    returning price * $2";
const GIVE_BACK: &str = "update store.stock set available = available + $2 where article = $1";
const BOOK: &str = "insert into store.ledger (effect, kind, amount) values ($1, $2, $3)";

struct Store;

pub fn service(database: Database) -> Result<Service, ServiceError> {
    Service::new("store", database, Store)
        .step::<ReserveStock>()
        .step::<HoldMoney>()
        .forward::<TakeMoney>()
        .forward::<SendReceipt>()
        .build()
}

impl Act<ReserveStock> for Store {
    async fn act(&self, cx: &mut Attempt<'_>, order: Order) -> Result<i64, Halt<SoldOut>> {
        let price = sqlx::query_scalar(RESERVE).bind(order.article).bind(order.quantity);
        match price.fetch_optional(&mut *cx.tx).await? {
            Some(price) => Ok(price),
            None => reject(SoldOut), // final; an error (`?`) is repeated instead
        }
    }
}

impl Compensate<ReserveStock> for Store {
    async fn compensate(
        &self,
        cx: &mut Attempt<'_>,
        undo: Undo<Order, i64>,
    ) -> Result<(), Halt<Infallible>> {
        let give_back = sqlx::query(GIVE_BACK).bind(undo.input.article).bind(undo.input.quantity);
        give_back.execute(&mut *cx.tx).await?;
        Ok(())
    }
}

impl Act<HoldMoney> for Store {
    async fn act(&self, cx: &mut Attempt<'_>, hold: Hold) -> Result<Hold, Halt<CardDeclined>> {
        if hold.card == "tok_declined" {
            return reject(CardDeclined);
        }
        book(cx, "held", hold.amount).await?;
        Ok(hold)
    }
}

impl Compensate<HoldMoney> for Store {
    async fn compensate(
        &self,
        cx: &mut Attempt<'_>,
        undo: Undo<Hold, Hold>,
    ) -> Result<(), Halt<Infallible>> {
        Ok(book(cx, "released", undo.input.amount).await?)
    }
}

impl Act<TakeMoney> for Store {
    async fn act(&self, cx: &mut Attempt<'_>, held: Hold) -> Result<i64, Halt<CardDeclined>> {
        book(cx, "taken", held.amount).await?;
        Ok(held.amount)
    }
}

impl Act<SendReceipt> for Store {
    async fn act(&self, cx: &mut Attempt<'_>, paid: i64) -> Result<(), Halt<Infallible>> {
        Ok(book(cx, "told", paid).await?)
    }
}

async fn book(cx: &mut Attempt<'_>, kind: &str, amount: i64) -> sqlx::Result<()> {
    let effect = cx.effect_id(); // the same in each attempt: an idempotency key for others, too
    sqlx::query(BOOK).bind(effect).bind(kind).bind(amount).execute(&mut *cx.tx).await?;
    Ok(())
}
