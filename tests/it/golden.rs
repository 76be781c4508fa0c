//! What people read, pinned: the examples' plans and their transcripts. A difference shows both
//! sides; `UPDATE_GOLDEN=1` takes the new one.

mod trip;

use std::{path::Path, time::Duration};

use amends::{
    Definition, Json, Op, Saga,
    machine::{OperatorCommand, Status},
    wire::Reply,
};
use order::PlaceOrder;

use crate::{
    scenarios::{
        AUTHORIZE, AUTHORIZED, BOOK, BOOKED, CAPTURE, CAPTURED, NOTIFY, RESERVE, RESERVED, UNKNOWN,
        capturing, closed_parcel_service, order, reserving, silent_inventory,
    },
    script::Script,
};

#[track_caller]
fn golden(name: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, now).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == now,
        "{} differs; if the new text is right, run again with UPDATE_GOLDEN=1\n\
         --- kept\n{kept}\n--- now\n{now}",
        path.display()
    );
}

#[track_caller]
fn transcript(name: &str, script: &Script) {
    golden(&format!("{name}.txt"), &script.to_string());
}

/// Fails when the plan changes: a changed plan needs a new version.
#[test]
fn the_plan() {
    plan::<PlaceOrder>("plan");
}

#[track_caller]
fn plan<S: Saga>(name: &str) {
    let definition = Definition::of::<S>().unwrap();
    let (outline, digest) = (definition.outline(), definition.digest());
    golden(
        &format!("{name}.txt"),
        &format!(
            "{outline}digest {digest}
"
        ),
    );
    golden(&format!("{name}.mmd"), &amends::mermaid(outline));
    golden(&format!("{name}.svg"), &amends::svg(outline));
}

#[test]
fn happy() {
    let script =
        capturing().ok(CAPTURE, CAPTURED).asks(NOTIFY).ok(NOTIFY, "{}").is(Status::Completed);
    transcript("happy", &script);
}

#[test]
fn out_of_stock() {
    let script = reserving()
        .rejected(RESERVE, "out_of_stock", "too little tea is left")
        .ok(BOOK, BOOKED)
        .asks_undo(BOOK, BOOKED)
        .undone(BOOK)
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .undone(AUTHORIZE)
        .is(Status::Compensated);
    transcript("out_of_stock", &script);
}

#[test]
fn no_route() {
    let script = reserving()
        .ok(RESERVE, RESERVED)
        .rejected(BOOK, "no_route", "no parcel service goes to AQ")
        .asks_undo(RESERVE, RESERVED)
        .undone(RESERVE)
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .undone(AUTHORIZE)
        .is(Status::Compensated);
    transcript("no_route", &script);
}

#[test]
fn declined_at_authorization() {
    let script = order()
        .asks(AUTHORIZE)
        .rejected(AUTHORIZE, "card_declined", "the card was declined")
        .is(Status::Compensated);
    transcript("declined_at_authorization", &script);
}

#[test]
fn card_declined() {
    let script = capturing()
        .rejected(CAPTURE, "card_declined", "the card was declined")
        .asks_undo(RESERVE, RESERVED)
        .asks_undo(BOOK, BOOKED)
        .undone(BOOK)
        .undone(RESERVE)
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .undone(AUTHORIZE)
        .is(Status::Compensated);
    transcript("card_declined", &script);
}

#[test]
fn flaky_payment() {
    let script = order()
        .asks(AUTHORIZE)
        .breaks(AUTHORIZE, "the card provider answered 503")
        .waits()
        .asks(AUTHORIZE)
        .waits()
        .waits()
        .asks(AUTHORIZE)
        .ok(AUTHORIZE, AUTHORIZED)
        .asks(RESERVE)
        .asks(BOOK)
        .ok(RESERVE, RESERVED)
        .ok(BOOK, BOOKED)
        .asks(CAPTURE)
        .accepts(CAPTURE)
        .after(Duration::from_secs(600))
        .ok(CAPTURE, CAPTURED)
        .asks(NOTIFY)
        .ok(NOTIFY, "{}")
        .is(Status::Completed);
    transcript("flaky_payment", &script);
}

#[test]
fn unknown() {
    transcript("unknown", &unknown_and_compensated());
}

fn unknown_and_compensated() -> Script {
    silent_inventory()
        .undone(RESERVE)
        .undone(BOOK)
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .undone(AUTHORIZE)
        .is(Status::Compensated)
}

#[test]
fn late() {
    let script = unknown_and_compensated()
        .after(Duration::from_secs(3600))
        .replies(RESERVE, Op::Action, 3, Reply::Ok(Json::trusted(RESERVED)))
        .asks_undo(RESERVE, RESERVED)
        .undone(RESERVE)
        .is(Status::Compensated);
    transcript("late", &script);
}

#[test]
fn stuck() {
    transcript("stuck", &closed_parcel_service().is(Status::Stuck));
}

#[test]
fn unmappable() {
    transcript("unmappable", &capturing().ok(CAPTURE, "{}").is(Status::Stuck));
}

#[test]
fn cancelled() {
    let script = reserving()
        .ok(BOOK, BOOKED)
        .breaks(RESERVE, "connection reset")
        .operator(OperatorCommand::Cancel, "the customer called")
        .asks_undo(RESERVE, UNKNOWN)
        .asks_undo(BOOK, BOOKED)
        .undone(RESERVE)
        .undone(BOOK)
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .undone(AUTHORIZE)
        .is(Status::Compensated);
    transcript("cancelled", &script);
}

#[test]
fn paused_and_resumed() {
    let script = reserving()
        .operator(OperatorCommand::Pause, "stocktaking")
        .ok(BOOK, BOOKED)
        .ok(RESERVE, RESERVED)
        .after(Duration::from_secs(1800))
        .operator(OperatorCommand::Resume, "stocktaking is over")
        .asks(CAPTURE)
        .operator(OperatorCommand::Pause, "the bank is being asked")
        .rejected(CAPTURE, "card_declined", "the card was declined")
        .operator(OperatorCommand::Resume, "the bank has answered")
        .asks_undo(RESERVE, RESERVED)
        .asks_undo(BOOK, BOOKED)
        .undone(RESERVE)
        .undone(BOOK)
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .undone(AUTHORIZE)
        .is(Status::Compensated);
    transcript("paused_and_resumed", &script);
}

/// The notification service says no after the pivot.
fn no_mailbox() -> Script {
    capturing()
        .ok(CAPTURE, CAPTURED)
        .asks(NOTIFY)
        .rejected(NOTIFY, "no_such_customer", "c-1 has no mailbox")
        .is(Status::Stuck)
}

#[test]
fn stuck_then_retried() {
    let script = no_mailbox()
        .operator(OperatorCommand::Retry, "c-1 has a mailbox now")
        .asks(NOTIFY)
        .ok(NOTIFY, "{}")
        .is(Status::Completed);
    transcript("stuck_then_retried", &script);
}

#[test]
fn stuck_then_skipped() {
    let script = no_mailbox()
        .operator(OperatorCommand::Skip { step: NOTIFY.into() }, "told by telephone")
        .is(Status::Completed);
    transcript("stuck_then_skipped", &script);
}

#[test]
fn stuck_then_left() {
    let script = reserving()
        .ok(BOOK, BOOKED)
        .rejected(RESERVE, "out_of_stock", "too little tea is left")
        .asks_undo(BOOK, BOOKED)
        .replies(BOOK, Op::Compensation, 1, refusal("on_its_way", "the parcel has left"))
        .is(Status::Stuck)
        .operator(
            OperatorCommand::Skip { step: BOOK.into() },
            "the customer may keep the empty box",
        )
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .undone(AUTHORIZE)
        .is(Status::Compensated);
    transcript("stuck_then_left", &script);
}

fn refusal(code: &str, message: &str) -> Reply {
    Reply::Rejected { code: code.into(), message: message.into() }
}

#[test]
fn resolved_by_hand() {
    let outcome = Reply::Ok(Json::trusted(CAPTURED));
    let script = capturing()
        .accepts(CAPTURE)
        .operator(
            OperatorCommand::Resolve { step: CAPTURE.into(), outcome },
            "it is on the bank's statement",
        )
        .asks(NOTIFY)
        .ok(NOTIFY, "{}")
        .is(Status::Completed);
    transcript("resolved_by_hand", &script);
}

#[test]
fn resolved_as_rejected() {
    let outcome = refusal("card_declined", "the bank has no record of it");
    let undone = OperatorCommand::Resolve { step: BOOK.into(), outcome: Reply::Ok(Json::null()) };
    let script = capturing()
        .operator(OperatorCommand::Resolve { step: CAPTURE.into(), outcome }, "the bank was asked")
        .asks_undo(RESERVE, RESERVED)
        .asks_undo(BOOK, BOOKED)
        .undone(RESERVE)
        .operator(undone, "cancelled by telephone")
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .undone(AUTHORIZE)
        .is(Status::Compensated);
    transcript("resolved_as_rejected", &script);
}
