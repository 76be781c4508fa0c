//! What operators do to an order: cancel, pause, resume, skip and resolve, and what they may not.

use std::time::Duration;

use amends::{
    Json, Op,
    machine::{Kind, OperatorCommand, Status},
    wire::Reply,
};

use super::*;

const LOOK_AGAIN: &str = "another operator acted on this saga meanwhile: look at it again";

pub(super) fn skip(step: &str) -> OperatorCommand {
    OperatorCommand::Skip { step: step.into() }
}

pub(super) fn ok(step: &str, output: &str) -> OperatorCommand {
    OperatorCommand::Resolve { step: step.into(), outcome: Reply::Ok(Json::trusted(output)) }
}

fn no(step: &str, code: &str) -> OperatorCommand {
    let (code, message) = (code.into(), "the bank says so".into());
    OperatorCommand::Resolve { step: step.into(), outcome: Reply::Rejected { code, message } }
}

#[test]
fn a_cancelled_order_is_undone_once_its_steps_are_settled() {
    let script = reserving()
        .ok(BOOK, BOOKED)
        .operator(OperatorCommand::Cancel, "the customer called")
        .is(Status::Compensating)
        .ok(RESERVE, RESERVED)
        .asks_undo(RESERVE, RESERVED)
        .asks_undo(BOOK, BOOKED)
        .undone(BOOK)
        .undone(RESERVE)
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .refuses(OperatorCommand::Cancel, "the saga has turned back already")
        .undone(AUTHORIZE)
        .is(Status::Compensated)
        .refuses(OperatorCommand::Cancel, "the saga has ended: compensated");
    let act = script.records().iter().find(|r| r.kind == Kind::Cancelled).unwrap();
    let said = act.detail.as_ref().unwrap().as_str();
    assert_eq!(said, r#"{"by":"alice","reason":"the customer called"}"#);
    let error = act.next.error.clone().unwrap();
    assert_eq!((error.code.as_str(), error.message.as_str()), ("cancelled", "the customer called"));
}

#[test]
fn a_cancelled_step_between_attempts_is_undone_at_once() {
    order()
        .asks(AUTHORIZE)
        .breaks(AUTHORIZE, "connection reset")
        .operator(OperatorCommand::Cancel, "")
        .asks_undo(AUTHORIZE, UNKNOWN)
        .undone(AUTHORIZE)
        .is(Status::Compensated);
}

#[test]
fn the_pivot_cannot_be_cancelled() {
    let decided =
        "the pivot `payment.capture` is being decided: wait for its outcome, or resolve it";
    capturing()
        .refuses(OperatorCommand::Cancel, decided)
        .accepts(CAPTURE)
        .refuses(OperatorCommand::Cancel, decided)
        .ok(CAPTURE, CAPTURED)
        .asks(NOTIFY)
        .refuses(OperatorCommand::Cancel, "`payment.capture` is done: there is no way back")
        .ok(NOTIFY, "{}")
        .refuses(OperatorCommand::Cancel, "the saga has ended: completed");
}

#[test]
fn a_paused_order_sends_nothing_until_it_is_resumed() {
    reserving()
        .breaks(BOOK, "connection reset")
        .operator(OperatorCommand::Pause, "stocktaking")
        .is(Status::Paused)
        .ok(RESERVE, RESERVED)
        .after(Duration::from_secs(3600))
        .sleeps()
        .refuses(OperatorCommand::Pause, "the saga is paused already")
        .refuses(OperatorCommand::Retry, "the saga is paused: resume it first")
        .is(Status::Paused)
        .operator(OperatorCommand::Resume, "stocktaking is over")
        .refuses(OperatorCommand::Resume, "the saga is not paused")
        // The attempt is long overdue: it goes out with the act.
        .asks(BOOK)
        .is(Status::Running)
        .ok(BOOK, BOOKED)
        .asks(CAPTURE)
        .ok(CAPTURE, CAPTURED)
        .asks(NOTIFY)
        .ok(NOTIFY, "{}")
        .is(Status::Completed);
}

#[test]
fn a_redelivery_in_a_pause_publishes_nothing_again() {
    let script = order().asks(AUTHORIZE).operator(OperatorCommand::Pause, "");
    let decision = script.decide(&amends::machine::Event::StartedAgain);
    assert_eq!(decision, amends::machine::Decision::Known(Vec::new()));
}

#[test]
fn what_was_answered_in_a_pause_is_gone_on_with_after_it() {
    capturing()
        .operator(OperatorCommand::Pause, "")
        .ok(CAPTURE, CAPTURED)
        .is(Status::Paused)
        .operator(OperatorCommand::Resume, "")
        .asks(NOTIFY)
        .operator(OperatorCommand::Pause, "")
        .ok(NOTIFY, "{}")
        .is(Status::Paused)
        .operator(OperatorCommand::Resume, "")
        .is(Status::Completed);
}

/// A no in a pause turns the saga back as ever, with its reason; only the undoing waits.
#[test]
fn a_paused_order_that_is_rejected_turns_back_when_it_is_resumed() {
    let script = reserving()
        .operator(OperatorCommand::Pause, "")
        .rejected(RESERVE, "out_of_stock", "")
        .is(Status::Paused)
        .refuses(OperatorCommand::Cancel, "the saga has turned back already");
    let error = script.records().last().unwrap().next.error.clone().unwrap();
    assert_eq!((error.step.as_str(), error.code.as_str()), (RESERVE, "out_of_stock"));
    script
        .breaks(BOOK, "connection reset")
        .is(Status::Paused)
        .operator(OperatorCommand::Resume, "")
        .asks_undo(BOOK, UNKNOWN)
        .is(Status::Compensating)
        .operator(OperatorCommand::Pause, "")
        .undone(BOOK)
        .is(Status::Paused)
        .operator(OperatorCommand::Resume, "")
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .undone(AUTHORIZE)
        .is(Status::Compensated);
}

#[test]
fn cancelling_lifts_a_pause() {
    order()
        .asks(AUTHORIZE)
        .operator(OperatorCommand::Pause, "")
        .ok(AUTHORIZE, AUTHORIZED)
        .is(Status::Paused)
        .operator(OperatorCommand::Cancel, "")
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .is(Status::Compensating)
        .refuses(OperatorCommand::Resume, "the saga is not paused");
}

#[test]
fn a_stuck_order_cannot_be_paused_but_a_paused_one_may_be_stuck() {
    capturing()
        .ok(CAPTURE, CAPTURED)
        .asks(NOTIFY)
        .operator(OperatorCommand::Pause, "")
        .rejected(NOTIFY, "no_such_customer", "")
        .is(Status::Stuck)
        .refuses(OperatorCommand::Retry, "the saga is paused: resume it first")
        .operator(OperatorCommand::Resume, "")
        .is(Status::Stuck)
        .refuses(OperatorCommand::Pause, "the saga is stuck: it waits for an operator as it is")
        .operator(OperatorCommand::Retry, "")
        .asks(NOTIFY)
        .is(Status::Running);
}

#[test]
fn a_compensation_that_is_skipped_leaves_its_effect() {
    closed_parcel_service()
        .operator(skip(BOOK), "the parcel was stopped at the door")
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .refuses(skip(BOOK), "`shipping.book` waits for nothing")
        .ignores(BOOK, Op::Compensation, 30, Reply::Ok(Json::null()))
        .undone(AUTHORIZE)
        .is(Status::Compensated)
        .ignores(BOOK, Op::Compensation, 12, Reply::Ok(Json::null()));
}

/// Who leaves an unknown effect answers for it: that it shows itself is recorded, no more.
#[test]
fn a_late_success_of_what_an_operator_left_is_not_undone() {
    let script = silent_inventory()
        .operator(skip(RESERVE), "inventory is counted anew")
        .undone(BOOK)
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .replies(RESERVE, Op::Action, 3, Reply::Ok(Json::trusted(RESERVED)))
        .nothing_else();
    assert_eq!(script.records().last().unwrap().kind, Kind::Late);
    script.undone(AUTHORIZE).is(Status::Compensated);
}

#[test]
fn a_step_after_the_pivot_can_be_skipped_and_no_other() {
    let resolve = "`inventory.reserve` decides how the saga goes on: resolve it";
    reserving()
        .refuses(skip(RESERVE), &format!("{resolve}, or cancel the saga"))
        .refuses(skip(AUTHORIZE), "`payment.authorize` waits for nothing")
        .rejected(BOOK, "no_route", "")
        .refuses(skip(RESERVE), resolve);
    capturing()
        .refuses(skip(CAPTURE), "`payment.capture` decides how the saga goes on: resolve it")
        .ok(CAPTURE, CAPTURED)
        .asks(NOTIFY)
        .operator(skip(NOTIFY), "told by telephone")
        .is(Status::Completed)
        .ignores(NOTIFY, Op::Action, 1, Reply::Ok(Json::trusted("{}")));
}

#[test]
fn a_step_that_nobody_has_is_named_with_those_there_are() {
    let steps = "payment.authorize, inventory.reserve, shipping.book, payment.capture, \
                 notification.send";
    let why = format!("the saga has no step `parcel`: its steps are {steps}");
    reserving().refuses(skip("parcel"), &why).refuses(ok("parcel", "{}"), &why);
}

#[test]
fn a_pivot_is_resolved_by_hand_as_if_it_had_answered() {
    capturing()
        .operator(ok(CAPTURE, CAPTURED), "it is on the bank's statement")
        .asks(NOTIFY)
        .ignores(CAPTURE, Op::Action, 1, Reply::Ok(Json::trusted(CAPTURED)))
        .is(Status::Running);
    let script = capturing()
        .operator(no(CAPTURE, "card_declined"), "the bank was asked")
        .asks_undo(RESERVE, RESERVED)
        .asks_undo(BOOK, BOOKED)
        .is(Status::Compensating);
    let error = script.records().last().unwrap().next.error.clone().unwrap();
    assert_eq!((error.step.as_str(), error.code.as_str()), (CAPTURE, "card_declined"));
    assert_eq!(error.message, "the bank says so");
    // Whoever said no by hand was wrong: nothing is hidden.
    script.replies(CAPTURE, Op::Action, 1, Reply::Ok(Json::trusted(CAPTURED))).is(Status::Stuck);
}

#[test]
fn a_step_before_the_pivot_is_resolved_by_hand() {
    let never = "the compensation of `payment.authorize` cannot be rejected: \
                 resolve it as ok, or skip it";
    reserving()
        .ok(BOOK, BOOKED)
        .operator(no(RESERVE, "out_of_stock"), "")
        .asks_undo(BOOK, BOOKED)
        .operator(ok(BOOK, "null"), "cancelled by telephone")
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .refuses(no(AUTHORIZE, "x"), never)
        .undone(AUTHORIZE)
        .is(Status::Compensated);
}

#[test]
fn what_is_not_an_outcome_is_no_resolution() {
    let pending = OperatorCommand::Resolve { step: NOTIFY.into(), outcome: Reply::Pending };
    let never =
        "the action of `notification.send` cannot be rejected: resolve it as ok, or skip it";
    capturing()
        .ok(CAPTURE, CAPTURED)
        .asks(NOTIFY)
        .refuses(pending, "a step is resolved as ok or as rejected")
        .refuses(no(NOTIFY, "x"), never)
        .refuses(ok(CAPTURE, CAPTURED), "`payment.capture` waits for nothing")
        .operator(ok(NOTIFY, "{}"), "told by telephone")
        .is(Status::Completed);
}

/// Who says that a step is done means its action; meanwhile it may be being undone.
#[test]
fn an_outcome_of_what_the_operator_did_not_see_is_refused() {
    let undoing = "the compensation of `shipping.book` was asked for after you looked: look again";
    let script = reserving().accepts(BOOK);
    let seen = script.seen();
    script
        .rejected(RESERVE, "out_of_stock", "")
        .asks_undo(BOOK, UNKNOWN)
        .refuses_who_saw(seen, ok(BOOK, BOOKED), undoing)
        .operator(ok(BOOK, "null"), "")
        .asks_undo(AUTHORIZE, AUTHORIZED);
    let asked = "the action of `inventory.reserve` was asked for after you looked: look again";
    let script = order().asks(AUTHORIZE);
    let seen = script.seen();
    script.ok(AUTHORIZE, AUTHORIZED).asks(RESERVE).asks(BOOK).refuses_who_saw(
        seen,
        ok(RESERVE, RESERVED),
        asked,
    );
}

#[test]
fn of_two_operators_who_saw_the_same_the_second_is_told() {
    let script = order().asks(AUTHORIZE);
    let seen = script.seen();
    script
        .operator(OperatorCommand::Pause, "")
        .refuses_who_saw(seen, OperatorCommand::Cancel, LOOK_AGAIN)
        .refuses_who_saw(seen, OperatorCommand::Resume, LOOK_AGAIN)
        .operator(OperatorCommand::Resume, "")
        .refuses_who_saw(seen + 1, OperatorCommand::Cancel, LOOK_AGAIN)
        // What services answer is no other operator's act.
        .ok(AUTHORIZE, AUTHORIZED)
        .asks(RESERVE)
        .asks(BOOK)
        .refuses_who_saw(seen + 2, OperatorCommand::Resume, "the saga is not paused");
}
