//! What nobody hopes for: unknown outcomes, late effects, sagas that are stuck, strange replies.

use std::time::Duration;

use amends::{
    Json, Op,
    machine::{Decision, Event, Kind, ReplyEvent, Status, Unexpected},
    wire::Reply,
};

use super::*;

fn answer(output: &str) -> Reply {
    Reply::Ok(Json::trusted(output))
}

fn refusal(code: &str) -> Reply {
    Reply::Rejected { code: code.into(), message: String::new() }
}

#[test]
fn the_pivot_is_never_undone_but_repeated_until_it_is_stuck() {
    let mut script = capturing();
    for _ in 1..30 {
        script = script.waits().waits().asks(CAPTURE);
    }
    let script = script.waits().is(Status::Stuck);
    let error = script.records().last().unwrap().next.error.clone().unwrap();
    assert_eq!((error.step.as_str(), error.code.as_str()), (CAPTURE, "given_up"));
    // Its answer may still come, and decides.
    script.ok(CAPTURE, CAPTURED).asks(NOTIFY).is(Status::Running);
}

#[test]
fn after_the_pivot_a_step_is_repeated() {
    capturing()
        .ok(CAPTURE, CAPTURED)
        .asks(NOTIFY)
        .breaks(NOTIFY, "mail server is down")
        .nothing_else()
        .waits()
        .asks(NOTIFY)
        .ok(NOTIFY, "{}")
        .is(Status::Completed);
}

#[test]
fn a_no_after_the_pivot_is_stuck_and_a_later_ok_heals_it() {
    capturing()
        .ok(CAPTURE, CAPTURED)
        .asks(NOTIFY)
        .rejected(NOTIFY, "no_such_customer", "")
        .is(Status::Stuck)
        .replies(NOTIFY, Op::Action, 1, answer("{}"))
        .is(Status::Completed);
}

#[test]
fn an_unknown_outcome_is_compensated() {
    silent_inventory()
        .nothing_else()
        .undone(RESERVE)
        .undone(BOOK)
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .undone(AUTHORIZE)
        .is(Status::Compensated);
}

#[test]
fn a_late_no_after_the_compensation_was_sent_changes_nothing() {
    silent_inventory().ignores(RESERVE, Op::Action, 4, refusal("out_of_stock"));
}

#[test]
fn a_late_success_is_undone_again() {
    silent_inventory()
        // The first compensation may have run before the effect that it should have undone.
        .replies(RESERVE, Op::Action, 3, answer(RESERVED))
        .asks_undo(RESERVE, RESERVED)
        .ignores(RESERVE, Op::Compensation, 1, answer("null"))
        .undone(BOOK)
        .nothing_else()
        .undone(RESERVE)
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .undone(AUTHORIZE)
        .is(Status::Compensated);
}

#[test]
fn a_late_success_after_the_end_is_undone_too() {
    let script = silent_inventory()
        .undone(RESERVE)
        .undone(BOOK)
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .undone(AUTHORIZE)
        .is(Status::Compensated)
        .after(Duration::from_secs(3600))
        .replies(RESERVE, Op::Action, 10, answer(RESERVED))
        .asks_undo(RESERVE, RESERVED)
        .is(Status::Compensating)
        .undone(RESERVE)
        .is(Status::Compensated);
    assert!(script.records().iter().any(|r| r.kind == Kind::Late));
}

#[test]
fn a_compensation_that_is_given_up_is_stuck_and_a_late_ok_heals_it() {
    let script = closed_parcel_service().is(Status::Stuck);
    let error = script.records().last().unwrap().next.error.clone().unwrap();
    assert_eq!((error.step.as_str(), error.code.as_str()), (BOOK, "given_up"));
    script
        .replies(BOOK, Op::Compensation, 7, answer("null"))
        .asks_undo(AUTHORIZE, AUTHORIZED)
        .is(Status::Compensating)
        .undone(AUTHORIZE)
        .is(Status::Compensated);
}

#[test]
fn a_compensation_that_is_refused_is_stuck() {
    reserving()
        .ok(BOOK, BOOKED)
        .rejected(RESERVE, "out_of_stock", "")
        .asks_undo(BOOK, BOOKED)
        .replies(BOOK, Op::Compensation, 1, refusal("already_shipped"))
        .is(Status::Stuck);
}

#[test]
fn a_pivot_that_was_done_after_its_no_is_stuck_and_says_why() {
    let script = capturing()
        .rejected(CAPTURE, "card_declined", "")
        .asks_undo(RESERVE, RESERVED)
        .asks_undo(BOOK, BOOKED)
        .replies(CAPTURE, Op::Action, 1, answer(CAPTURED))
        .is(Status::Stuck);
    let error = script.records().last().unwrap().next.error.clone().unwrap();
    assert_eq!((error.step.as_str(), error.code.as_str()), (CAPTURE, "late"));
}

#[test]
fn pending_waits_for_the_real_reply() {
    order()
        .asks(AUTHORIZE)
        .accepts(AUTHORIZE)
        .nothing_else()
        .after(Duration::from_secs(3600))
        .ok(AUTHORIZE, AUTHORIZED)
        .asks(RESERVE)
        .asks(BOOK)
        .is(Status::Running);
}

#[test]
fn pending_for_a_day_is_unknown() {
    order()
        .asks(AUTHORIZE)
        .accepts(AUTHORIZE)
        .waits()
        .asks_undo(AUTHORIZE, UNKNOWN)
        .undone(AUTHORIZE)
        .is(Status::Compensated);
}

#[test]
fn old_replies_about_one_attempt_say_nothing_about_the_next() {
    let broken = Reply::Retry { message: String::new(), after: None };
    order()
        .asks(AUTHORIZE)
        .waits()
        .waits()
        .asks(AUTHORIZE)
        .ignores(AUTHORIZE, Op::Action, 1, broken)
        .ignores(AUTHORIZE, Op::Action, 1, Reply::Pending)
        .replies(AUTHORIZE, Op::Action, 1, answer(AUTHORIZED))
        .asks(RESERVE)
        .asks(BOOK)
        .ignores(AUTHORIZE, Op::Action, 2, answer(AUTHORIZED))
        .is(Status::Running);
}

#[test]
fn a_redelivered_trigger_sends_again_what_is_in_flight() {
    let script = order().asks(AUTHORIZE);
    let Decision::Known(sends) = script.decide(&Event::StartedAgain) else {
        panic!("a trigger is new only once");
    };
    assert_eq!(sends.len(), 1);
    let script = script.ok(AUTHORIZE, AUTHORIZED);
    assert_eq!(script.decide(&Event::StartedAgain), Decision::Known(Vec::new()));
}

#[test]
fn foreign_replies_are_refused_with_the_reason() {
    let script = order().asks(AUTHORIZE);
    let ask = |step: &str, service: &str, op, attempt| {
        let (step, service) = (step.into(), service.to_owned());
        script.decide(&Event::Reply(ReplyEvent { step, op, attempt, service, reply: answer("{}") }))
    };
    let unexpected = |decision| match decision {
        Decision::Unexpected(why) => why,
        other => panic!("{other:?}"),
    };
    let why = unexpected(ask("payment.refund", "payment", Op::Action, 1));
    assert_eq!(why, Unexpected::Step("payment.refund".into()));
    let why = unexpected(ask(AUTHORIZE, "inventory", Op::Action, 1));
    assert!(matches!(why, Unexpected::Service { .. }));
    for (op, attempt) in [(Op::Action, 2), (Op::Compensation, 1)] {
        let why = unexpected(ask(AUTHORIZE, "payment", op, attempt));
        assert!(matches!(why, Unexpected::NeverSent { .. }));
    }
}

#[test]
fn an_unreadable_output_before_the_pivot_turns_back() {
    let script = order()
        .asks(AUTHORIZE)
        .ok(AUTHORIZE, r#"{"auth":"auth-1"}"#)
        .asks_undo(AUTHORIZE, UNKNOWN)
        .is(Status::Compensating);
    let error = script.records().last().unwrap().next.error.clone().unwrap();
    assert_eq!((error.step.as_str(), error.code.as_str()), (AUTHORIZE, "unmappable"));
    assert!(error.message.starts_with("the output does not fit its type"));
    script.undone(AUTHORIZE).is(Status::Compensated);
}

#[test]
fn an_unreadable_output_after_the_pivot_is_stuck() {
    let script = capturing().ok(CAPTURE, "{}").is(Status::Stuck);
    let error = script.records().last().unwrap().next.error.clone().unwrap();
    assert_eq!((error.step.as_str(), error.code.as_str()), (CAPTURE, "unmappable"));
}
