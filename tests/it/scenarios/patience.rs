//! What an operator has tried again, with fresh patience.

use std::time::Duration;

use amends::{
    Json, Op,
    machine::{Kind, OperatorCommand, Status},
    wire::Reply,
};

use super::{
    acts::{ok, skip},
    *,
};

#[test]
fn a_stuck_compensation_is_tried_thirty_times_more() {
    let mut script =
        closed_parcel_service().operator(OperatorCommand::Retry, "the parcel service is open");
    for attempt in 31..=60 {
        script = script
            .asks_undo(BOOK, BOOKED)
            .is(Status::Compensating)
            .undo_breaks(BOOK, "closed again");
        if attempt < 60 {
            script = script.waits();
        }
    }
    let script =
        script.is(Status::Stuck).operator(OperatorCommand::Retry, "").asks_undo(BOOK, BOOKED);
    let last = script.records().last().unwrap();
    assert_eq!(last.next.sends[0].attempt, 61);
    script.undone(BOOK).asks_undo(AUTHORIZE, AUTHORIZED).undone(AUTHORIZE).is(Status::Compensated);
}

#[test]
fn delays_begin_anew_too() {
    let script = closed_parcel_service()
        .operator(OperatorCommand::Retry, "")
        .asks_undo(BOOK, BOOKED)
        .undo_breaks(BOOK, "closed again");
    let broke = script.records().last().unwrap();
    let delay = broke.next.due.unwrap() - broke.at;
    assert!(delay.num_milliseconds() <= 500, "{delay}");
}

#[test]
fn a_pivot_that_was_given_up_is_retried() {
    let mut script = capturing();
    for _ in 1..30 {
        script = script.waits().waits().asks(CAPTURE);
    }
    script
        .waits()
        .is(Status::Stuck)
        .refuses(skip(CAPTURE), "`payment.capture` decides how the saga goes on: resolve it")
        .operator(OperatorCommand::Retry, "the card provider is back")
        .asks_with(CAPTURE, r#"{"authorization":"auth-1","customer":"c-1","amount":900}"#)
        .is(Status::Running)
        .ok(CAPTURE, CAPTURED)
        .asks(NOTIFY);
}

#[test]
fn what_waits_for_its_delay_is_sent_now() {
    let script = order()
        .asks(AUTHORIZE)
        .breaks(AUTHORIZE, "connection reset")
        .operator(OperatorCommand::Retry, "the line is repaired")
        .asks(AUTHORIZE)
        .nothing_else()
        .refuses(OperatorCommand::Retry, "nothing was given up and nothing waits to be repeated");
    let sent = script.records().last().unwrap();
    assert_eq!((sent.kind, sent.next.sends[0].attempt), (Kind::Retried, 2));
    script.ok(AUTHORIZE, AUTHORIZED).asks(RESERVE).asks(BOOK);
}

/// A redelivery of the no that made the saga stuck says nothing about the new attempt.
#[test]
fn an_old_no_does_not_end_the_new_patience() {
    let refusal = || Reply::Rejected { code: "no".into(), message: String::new() };
    capturing()
        .ok(CAPTURE, CAPTURED)
        .asks(NOTIFY)
        .replies(NOTIFY, Op::Action, 1, refusal())
        .is(Status::Stuck)
        .operator(OperatorCommand::Retry, "the customer is entered")
        .asks(NOTIFY)
        .ignores(NOTIFY, Op::Action, 1, refusal())
        .is(Status::Running)
        .replies(NOTIFY, Op::Action, 2, refusal())
        .is(Status::Stuck);
    reserving()
        .ok(BOOK, BOOKED)
        .rejected(RESERVE, "out_of_stock", "")
        .asks_undo(BOOK, BOOKED)
        .replies(BOOK, Op::Compensation, 1, refusal())
        .is(Status::Stuck)
        .operator(OperatorCommand::Retry, "")
        .asks_undo(BOOK, BOOKED)
        .ignores(BOOK, Op::Compensation, 1, refusal())
        .is(Status::Compensating);
}

#[test]
fn an_unreadable_output_is_answered_for_by_a_person() {
    capturing()
        .ok(CAPTURE, "{}")
        .is(Status::Stuck)
        .operator(ok(CAPTURE, CAPTURED), "read off the bank's page")
        .asks(NOTIFY)
        .ok(NOTIFY, "{}")
        .is(Status::Completed);
}

#[test]
fn a_late_pivot_cannot_be_repeated_but_answered_for() {
    for act in [skip(CAPTURE), ok(CAPTURE, "null")] {
        capturing()
            .rejected(CAPTURE, "card_declined", "")
            .asks_undo(RESERVE, RESERVED)
            .asks_undo(BOOK, BOOKED)
            .replies(CAPTURE, Op::Action, 1, Reply::Ok(Json::trusted(CAPTURED)))
            .undone(BOOK)
            .undone(RESERVE)
            .is(Status::Stuck)
            .refuses(
                OperatorCommand::Retry,
                "what was given up cannot be repeated: resolve it, or skip it",
            )
            .operator(act, "refunded by hand")
            .asks_undo(AUTHORIZE, AUTHORIZED)
            .undone(AUTHORIZE)
            .is(Status::Compensated);
    }
}

#[test]
fn an_ended_order_is_left_alone() {
    let ended = "the saga has ended: completed";
    capturing()
        .ok(CAPTURE, CAPTURED)
        .asks(NOTIFY)
        .ok(NOTIFY, "{}")
        .after(Duration::from_secs(1))
        .refuses(OperatorCommand::Retry, ended)
        .refuses(skip(NOTIFY), ended)
        .refuses(ok(NOTIFY, "{}"), ended)
        .refuses(OperatorCommand::Pause, ended)
        .refuses(OperatorCommand::Resume, ended)
        .sleeps();
}
