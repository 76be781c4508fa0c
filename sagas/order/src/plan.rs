//! The order saga, version 1.

use amends::{BeforePivot, Finished, Given, Plan, Retry, Saga, Step, Trigger, Values};
use std::time::Duration;

use crate::contract::*;

/// `payment.authorize` → `inventory.reserve` ∥ `shipping.book` → `payment.capture` (the pivot) →
/// `notification.send`.
pub struct PlaceOrder;

impl Saga for PlaceOrder {
    const NAME: &'static str = "order";
    const VERSION: u32 = 1;
    type Input = OrderPlaced;
    type Output = Receipt;

    fn trigger() -> Trigger<OrderPlaced> {
        Trigger::on("orders.placed").key(|order| order.order_id.clone())
    }

    fn plan(mut p: Plan<BeforePivot>, order: Given<OrderPlaced>) -> Finished<Receipt> {
        let hold = p.step(AuthorizePayment::with(order.map(Authorization::of)));
        let (stock, parcel) = p.together((
            ReserveStock::with(order.map(Reservation::of)),
            BookParcel::with(order.map(Parcel::of)).retry(
                Retry::exponential(Duration::from_millis(200), Duration::from_secs(30)).limit(12),
            ),
        ));
        let (mut p, paid) = p.pivot(CapturePayment::with((hold, order.clone()).map(Capture::of)));
        let receipt = (order.clone(), stock, parcel, paid).map(Receipt::of);
        p.step(NotifyCustomer::with((order, receipt.clone()).map(Notice::of)));
        p.finish(receipt)
    }
}

impl OrderPlaced {
    /// The sum of all lines, in minor units: at most 2^32 × 2^32 per line, and a payload holds far
    /// fewer lines than would overflow the rest.
    #[must_use]
    pub fn amount(&self) -> i64 {
        let line = |i: &Item| i64::from(i.quantity).saturating_mul(i64::from(i.unit_price));
        self.items.iter().map(line).fold(0, i64::saturating_add)
    }
}

impl Authorization {
    fn of(order: OrderPlaced) -> Self {
        let amount = order.amount();
        Self { customer: order.customer, card: order.card, amount, currency: order.currency }
    }
}

impl Reservation {
    fn of(order: OrderPlaced) -> Self {
        let line = |item: Item| Line { sku: item.sku, quantity: item.quantity };
        Self { order_id: order.order_id, items: order.items.into_iter().map(line).collect() }
    }
}

impl Parcel {
    fn of(order: OrderPlaced) -> Self {
        Self { order_id: order.order_id, country: order.country }
    }
}

impl Capture {
    fn of(hold: Authorized, order: OrderPlaced) -> Self {
        let amount = order.amount();
        Self { authorization: hold.authorization, customer: order.customer, amount }
    }
}

impl Receipt {
    fn of(order: OrderPlaced, stock: Reserved, parcel: Booked, paid: Captured) -> Self {
        Self {
            order_id: order.order_id,
            reservation: stock.reservation,
            parcel: parcel.parcel,
            capture: paid.capture,
        }
    }
}

impl Notice {
    fn of(order: OrderPlaced, receipt: Receipt) -> Self {
        Self { customer: order.customer, receipt }
    }
}
