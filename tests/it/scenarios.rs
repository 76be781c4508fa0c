//! The order saga's paths, one at a time.

mod acts;
mod awkward;
mod limits;
mod lists;
mod mappings;
mod patience;
mod times;
mod trouble;

use amends::machine::Status;
use order::PlaceOrder;

use crate::script::Script;

pub(crate) const AUTHORIZE: &str = "payment.authorize";
pub(crate) const RESERVE: &str = "inventory.reserve";
pub(crate) const BOOK: &str = "shipping.book";
pub(crate) const CAPTURE: &str = "payment.capture";
pub(crate) const NOTIFY: &str = "notification.send";

pub(crate) const AUTHORIZED: &str = r#"{"authorization":"auth-1"}"#;
pub(crate) const RESERVED: &str = r#"{"reservation":"res-1"}"#;
pub(crate) const BOOKED: &str = r#"{"parcel":"par-1"}"#;
pub(crate) const CAPTURED: &str = r#"{"capture":"cap-1"}"#;
pub(crate) const UNKNOWN: &str = "null";

pub(crate) fn order() -> Script {
    Script::given::<PlaceOrder>(
        r#"{"order_id":"o-1","customer":"c-1","currency":"EUR","items":[{"sku":"tea","quantity":2,"unit_price":450}],"card":"tok-1","country":"DE"}"#,
    )
}

/// The card is authorized; inventory and shipping are asked.
pub(crate) fn reserving() -> Script {
    order().asks(AUTHORIZE).ok(AUTHORIZE, AUTHORIZED).asks(RESERVE).asks(BOOK)
}

/// Both have answered; the card is charged.
pub(crate) fn capturing() -> Script {
    reserving().ok(RESERVE, RESERVED).ok(BOOK, BOOKED).asks(CAPTURE)
}

/// Inventory never answers: its ten attempts run out.
pub(crate) fn silent_inventory() -> Script {
    let mut script = reserving().ok(BOOK, BOOKED);
    for _ in 1..10 {
        script = script.waits().waits().asks(RESERVE);
    }
    script.nothing_else().waits().asks_undo(RESERVE, UNKNOWN).asks_undo(BOOK, BOOKED)
}

/// A parcel that cannot be cancelled, 30 times over.
pub(crate) fn closed_parcel_service() -> Script {
    let mut script =
        reserving().ok(BOOK, BOOKED).rejected(RESERVE, "out_of_stock", "too little tea is left");
    for attempt in 1..=30 {
        script = script.asks_undo(BOOK, BOOKED).undo_breaks(BOOK, "the parcel service is closed");
        if attempt < 30 {
            script = script.waits();
        }
    }
    script
}

#[test]
fn all_goes_well() {
    let order = r#""order_id":"o-1""#;
    let receipt =
        format!(r#"{{{order},"reservation":"res-1","parcel":"par-1","capture":"cap-1"}}"#);
    order_with_bodies()
        .asks_with(CAPTURE, r#"{"authorization":"auth-1","customer":"c-1","amount":900}"#)
        .ok(CAPTURE, CAPTURED)
        .asks_with(NOTIFY, &format!(r#"{{"customer":"c-1","receipt":{receipt}}}"#))
        .is(Status::Running)
        .ok(NOTIFY, "{}")
        .completes_with(&receipt);
}

fn order_with_bodies() -> Script {
    order()
        .asks_with(AUTHORIZE, r#"{"customer":"c-1","card":"tok-1","amount":900,"currency":"EUR"}"#)
        .nothing_else()
        .ok(AUTHORIZE, AUTHORIZED)
        .asks_with(RESERVE, r#"{"order_id":"o-1","items":[{"sku":"tea","quantity":2}]}"#)
        .asks_with(BOOK, r#"{"order_id":"o-1","country":"DE"}"#)
        .nothing_else()
        .ok(BOOK, BOOKED)
        .nothing_else()
        .ok(RESERVE, RESERVED)
}

#[test]
fn the_first_step_is_rejected() {
    order().asks(AUTHORIZE).rejected(AUTHORIZE, "card_declined", "").is(Status::Compensated);
}

#[test]
fn a_sibling_in_flight_is_settled_first() {
    reserving()
        .rejected(RESERVE, "out_of_stock", "")
        .is(Status::Compensating)
        .ok(BOOK, BOOKED)
        .asks_undo(BOOK, BOOKED)
        .nothing_else()
        .undone(BOOK)
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .nothing_else()
        .undone(AUTHORIZE)
        .is(Status::Compensated);
}

#[test]
fn both_siblings_are_rejected() {
    reserving()
        .rejected(BOOK, "no_route", "")
        .is(Status::Compensating)
        .rejected(RESERVE, "out_of_stock", "")
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .undone(AUTHORIZE)
        .is(Status::Compensated);
}

#[test]
fn a_sibling_that_breaks_after_turning_back_is_not_repeated() {
    reserving()
        .rejected(RESERVE, "out_of_stock", "")
        .breaks(BOOK, "connection reset")
        .asks_undo(BOOK, UNKNOWN)
        .undone(BOOK)
        .asks_undo(AUTHORIZE, AUTHORIZED);
}

#[test]
fn a_sibling_between_attempts_is_undone_at_once() {
    reserving()
        .breaks(BOOK, "connection reset")
        .rejected(RESERVE, "out_of_stock", "")
        .asks_undo(BOOK, UNKNOWN)
        .undone(BOOK)
        .asks_undo(AUTHORIZE, AUTHORIZED);
}

#[test]
fn a_pending_sibling_is_undone_at_once() {
    reserving()
        .accepts(BOOK)
        .rejected(RESERVE, "out_of_stock", "")
        .asks_undo(BOOK, UNKNOWN)
        .undone(BOOK)
        .asks_undo(AUTHORIZE, AUTHORIZED);
}

#[test]
fn a_sibling_that_is_accepted_after_turning_back_is_undone_at_once() {
    reserving().rejected(RESERVE, "out_of_stock", "").accepts(BOOK).asks_undo(BOOK, UNKNOWN);
}

#[test]
fn the_pivot_is_rejected() {
    capturing()
        .rejected(CAPTURE, "card_declined", "")
        .asks_undo(RESERVE, RESERVED)
        .asks_undo(BOOK, BOOKED)
        .nothing_else()
        .undone(RESERVE)
        .nothing_else()
        .undone(BOOK)
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .undone(AUTHORIZE)
        .is(Status::Compensated);
}
