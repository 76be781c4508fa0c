//! The saga: what is done, at which service, in which order. Orchestrator and services share these types.

use std::convert::Infallible;

use amends::{
    BeforePivot, Compensatable, Finished, Given, Plan, Rejection, Saga, Step, Trigger, Values,
};
use serde::{Deserialize, Serialize};

/// The event on `orders.placed`. Money is in cents.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    pub id: String,
    pub article: String,
    pub quantity: i64,
    pub card: String,
}

/// A rejection is final: nothing has changed, and the saga turns back.
pub struct SoldOut;

impl Rejection for SoldOut {
    fn code(&self) -> &str {
        "sold_out"
    }
}

/// Takes articles from the stock; tells what they cost. Can be undone.
pub struct ReserveStock;

impl Step for ReserveStock {
    const NAME: &'static str = "store.reserve"; // service.operation
    type Input = Order;
    type Output = i64;
    type Rejection = SoldOut;
}

impl Compensatable for ReserveStock {}

pub struct CardDeclined;

impl Rejection for CardDeclined {
    fn code(&self) -> &str {
        "card_declined"
    }
}

/// Holds money on a card. Can be undone.
pub struct HoldMoney;

impl Step for HoldMoney {
    const NAME: &'static str = "store.hold";
    type Input = Hold;
    type Output = Hold;
    type Rejection = CardDeclined;
}

impl Compensatable for HoldMoney {}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hold {
    pub card: String,
    pub amount: i64,
}

/// Takes the money: the point of no return.
pub struct TakeMoney;

impl Step for TakeMoney {
    const NAME: &'static str = "store.take";
    type Input = Hold;
    type Output = i64;
    type Rejection = CardDeclined;
}

/// Tells the customer. It cannot be refused, so it is repeated until it is done.
pub struct SendReceipt;

impl Step for SendReceipt {
    const NAME: &'static str = "store.receipt";
    type Input = i64;
    type Output = ();
    type Rejection = Infallible;
}

pub struct PlaceOrder;

impl Saga for PlaceOrder {
    const NAME: &'static str = "order";
    const VERSION: u32 = 1;
    type Input = Order;
    type Output = i64;

    fn trigger() -> Trigger<Order> {
        Trigger::on("orders.placed").key(|order| order.id.clone())
    }

    fn plan(mut p: Plan<BeforePivot>, order: Given<Order>) -> Finished<i64> {
        let price = p.step(ReserveStock::with(order.clone()));
        let hold = (order, price).map(|order, amount| Hold { card: order.card, amount });
        let held = p.step(HoldMoney::with(hold));
        let (mut p, paid) = p.pivot(TakeMoney::with(held)); // no way back from here
        p.step(SendReceipt::with(paid.clone()));
        p.finish(paid)
    }
}
