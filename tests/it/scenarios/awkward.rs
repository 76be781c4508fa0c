//! Awkward moments of steps side by side: one fails while others have ended, run, wait or have not begun.

use std::{convert::Infallible, time::Duration};

use amends::{
    AfterPivot, Await, BeforePivot, Compensatable, Finished, Given, Json, Op, Plan, Rejection,
    Retry, Saga, Step, Trigger, Values as _,
    machine::{OperatorCommand, Status},
    wire::Reply,
};
use serde::{Deserialize, Serialize};

use crate::script::Script;

const BOOK: &str = "hotel.book";
const CHARGE: &str = "card.charge";
const MAIL: &str = "mail.send";
const POST: &str = "post.send";
const GRANTED: &str = "visas.granted";

struct No;

impl Rejection for No {
    fn code(&self) -> &str {
        "no"
    }
}

struct Book;

impl Step for Book {
    const NAME: &'static str = BOOK;
    type Input = String;
    type Output = String;
    type Rejection = No;
}

impl Compensatable for Book {}

struct Charge;

impl Step for Charge {
    const NAME: &'static str = CHARGE;
    type Input = usize;
    type Output = ();
    type Rejection = No;
}

struct Mail;

impl Step for Mail {
    const NAME: &'static str = MAIL;
    type Input = usize;
    type Output = ();
    type Rejection = Infallible;
}

struct Post;

impl Step for Post {
    const NAME: &'static str = POST;
    type Input = usize;
    type Output = ();
    type Rejection = Infallible;
}

#[derive(Serialize, Deserialize)]
struct Visa {
    traveller: String,
}

/// Rooms, two at once; the card; then two ways to tell, side by side.
struct Rooms;

impl Saga for Rooms {
    const NAME: &'static str = "rooms";
    const VERSION: u32 = 1;
    type Input = Vec<String>;
    type Output = usize;

    fn trigger() -> Trigger<Self::Input> {
        Trigger::on("rooms.wanted")
    }

    fn plan(mut p: Plan<BeforePivot>, rooms: Given<Self::Input>) -> Finished<usize> {
        let booked = p.step(Book::each(rooms).at_once(2));
        let size = booked.map(|booked| booked.iter().map(String::len).sum::<usize>());
        let (mut p, _) = p.pivot(Charge::with(size.clone()));
        tell(&mut p, &size);
        p.finish(size)
    }
}

fn tell(p: &mut Plan<AfterPivot>, size: &Given<usize>) {
    let often = Retry::exponential(Duration::from_secs(1), Duration::from_secs(1)).limit(2);
    p.together((Mail::with(size.clone()).retry(often), Post::with(size.clone()).retry(often)));
}

/// A room beside a visa that may never come.
struct Abroad;

impl Saga for Abroad {
    const NAME: &'static str = "abroad";
    const VERSION: u32 = 1;
    type Input = String;
    type Output = String;

    fn trigger() -> Trigger<String> {
        Trigger::on("abroad.wanted").key(Clone::clone)
    }

    fn plan(mut p: Plan<BeforePivot>, traveller: Given<String>) -> Finished<String> {
        let visa = Await::<Visa>::on(GRANTED)
            .matching(|visa| visa.traveller.clone())
            .within(Duration::from_secs(4 * 3600));
        let (visa, room) = p.together((visa, Book::with(traveller)));
        p.finish((visa, room).map(|_, room| room))
    }
}

/// Two rooms are booked, one is in flight, one has not begun.
fn in_the_middle() -> Script {
    Script::given::<Rooms>(r#"["a","b","c","d"]"#)
        .asks_with("hotel.book.0", r#""a""#)
        .asks_with("hotel.book.1", r#""b""#)
        .nothing_else()
        .ok("hotel.book.1", r#""room b""#)
        .asks_with("hotel.book.2", r#""c""#)
        .ok("hotel.book.0", r#""room a""#)
        .asks_with("hotel.book.3", r#""d""#)
        .breaks("hotel.book.3", "connection reset")
        .nothing_else()
}

/// What is undone is what was done, with what it answered, also what was answered after the cancel.
#[test]
fn a_list_that_is_cancelled_in_the_middle_is_undone_with_what_each_element_answered() {
    in_the_middle()
        .operator(OperatorCommand::Cancel, "the guest stays at home")
        .nothing_else()
        .ok("hotel.book.2", r#""room c""#)
        .asks_undo("hotel.book.3", "null")
        .asks_undo("hotel.book.2", r#""room c""#)
        .nothing_else()
        .undone("hotel.book.2")
        .asks_undo("hotel.book.1", r#""room b""#)
        .undone("hotel.book.3")
        .asks_undo("hotel.book.0", r#""room a""#)
        .undone("hotel.book.1")
        .undone("hotel.book.0")
        .is(Status::Compensated);
}

/// What all elements answered may be larger than a message: only what is made of it is sent.
#[test]
fn what_a_list_answers_may_be_larger_than_a_message() {
    let rooms: Vec<_> = (0..400).map(|n| n.to_string()).collect();
    let mut script = Script::given::<Rooms>(&serde_json::to_string(&rooms).unwrap());
    let answer = serde_json::to_string(&"x".repeat(1024)).unwrap();
    script = script.asks("hotel.book.0");
    for n in 0..400 {
        if n + 1 < 400 {
            script = script.asks(&format!("hotel.book.{}", n + 1));
        }
        script = script.ok(&format!("hotel.book.{n}"), &answer);
    }
    script.asks_with(CHARGE, "409600").nothing_else();
}

/// One of two is stuck: what is repeated is that one, not its neighbour that is done.
#[test]
fn a_retry_repeats_the_branch_that_failed_and_no_other() {
    let telling = Script::given::<Rooms>("[]")
        .asks_with(CHARGE, "0")
        .ok(CHARGE, "null")
        .asks(MAIL)
        .asks(POST)
        .ok(POST, "null")
        .breaks(MAIL, "mailbox full")
        .waits()
        .asks(MAIL)
        .breaks(MAIL, "mailbox full")
        .is(Status::Stuck);
    telling
        .operator(OperatorCommand::Retry, "the mailbox is empty")
        .asks(MAIL)
        .nothing_else()
        .ok(MAIL, "null")
        .completes_with("0");
}

/// The first attempt breaks after the second was given up: what is given up stays so.
#[test]
fn an_attempt_that_ends_after_its_successor_revives_nothing() {
    let broke = || Reply::Retry { message: "killed".into(), after: None };
    Script::given::<Rooms>("[]")
        .asks(CHARGE)
        .ok(CHARGE, "null")
        .asks(MAIL)
        .asks(POST)
        .ok(POST, "null")
        // Silent, and repeated.
        .waits()
        .waits()
        .asks(MAIL)
        .breaks(MAIL, "mailbox full")
        .is(Status::Stuck)
        .ignores(MAIL, Op::Action, 1, broke())
        .ignores(MAIL, Op::Action, 1, Reply::Pending)
        .sleeps()
        .is(Status::Stuck)
        // But an effect is an effect, whichever attempt had it.
        .replies(MAIL, Op::Action, 1, Reply::Ok(Json::null()))
        .completes_with("0");
}

/// Nobody waits for four hours for what is of no use any more.
#[test]
fn a_wait_beside_a_step_that_is_rejected_is_over_at_once() {
    Script::given::<Abroad>(r#""ann""#)
        .asks(BOOK)
        .rejected(BOOK, "no", "full")
        .is(Status::Compensated)
        .sleeps();
    let late = Script::given::<Abroad>(r#""ann""#)
        .asks(BOOK)
        .arrives(GRANTED, "ann", r#"{"traveller":"ann"}"#)
        .rejected(BOOK, "no", "full");
    late.is(Status::Compensated).sleeps();
}

/// Limits do not stand still in a pause, and what comes after one finds it passed: then and afterwards.
#[test]
fn an_event_that_comes_in_a_pause_after_the_limit_is_too_late() {
    Script::given::<Abroad>(r#""ann""#)
        .asks(BOOK)
        .ok(BOOK, r#""a room""#)
        .operator(OperatorCommand::Pause, "stocktaking")
        .after(Duration::from_secs(5 * 3600))
        .arrives_too_late(GRANTED, "ann", r#"{"traveller":"ann"}"#)
        .is(Status::Paused)
        .operator(OperatorCommand::Resume, "counted")
        .asks_undo(BOOK, r#""a room""#)
        .undone(BOOK)
        .is(Status::Compensated);
}

/// One that comes in a pause in time is kept for after it, however long the pause is.
#[test]
fn an_event_that_comes_in_a_pause_in_time_counts_after_it() {
    Script::given::<Abroad>(r#""ann""#)
        .asks(BOOK)
        .ok(BOOK, r#""a room""#)
        .operator(OperatorCommand::Pause, "stocktaking")
        .after(Duration::from_secs(3 * 3600))
        .arrives(GRANTED, "ann", r#"{"traveller":"ann"}"#)
        .after(Duration::from_secs(3 * 3600))
        .operator(OperatorCommand::Resume, "counted")
        .completes_with(r#""a room""#);
}

/// A person who reads why a saga is stuck reads of what waits for them, and not of what came later.
#[test]
fn a_late_no_does_not_hide_why_a_saga_is_stuck() {
    let no = |code: &str| Reply::Rejected { code: code.into(), message: String::new() };
    let script = Script::given::<Rooms>(r#"["a","b","c","d"]"#)
        .asks("hotel.book.0")
        .asks("hotel.book.1")
        .breaks("hotel.book.0", "connection reset")
        .ok("hotel.book.1", r#""room b""#)
        .asks("hotel.book.2")
        .ok("hotel.book.2", r#""room c""#)
        .asks("hotel.book.3")
        .operator(OperatorCommand::Cancel, "the guest stays at home")
        .ok("hotel.book.3", r#""room d""#)
        .asks_undo("hotel.book.3", r#""room d""#)
        .asks_undo("hotel.book.2", r#""room c""#)
        .replies("hotel.book.3", Op::Compensation, 1, no("too_late"))
        .asks_undo("hotel.book.1", r#""room b""#)
        .is(Status::Stuck)
        .replies("hotel.book.0", Op::Action, 1, no("full"))
        .is(Status::Stuck);
    let why = script.records().iter().rev().find_map(|r| r.next.error.clone()).unwrap();
    assert_eq!((&*why.step, &*why.code), ("hotel.book.3", "too_late"));
}
