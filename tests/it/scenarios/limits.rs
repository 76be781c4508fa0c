//! Limits of time, in a saga of two steps without a pivot.

use std::time::Duration;

use amends::{
    BeforePivot, Compensatable, Finished, Given, Plan, Rejection, Retry, Saga, Step, Trigger,
    machine::{Kind, OperatorCommand, Status},
};
use serde::{Deserialize, Serialize};

use crate::script::Script;

const HOTEL: &str = "hotel.book";
const FLIGHT: &str = "flight.book";

#[derive(Serialize, Deserialize)]
struct Trip {
    nights: u8,
}

#[derive(Serialize, Deserialize)]
struct Booking {
    id: u8,
}

struct Full;

impl Rejection for Full {
    fn code(&self) -> &str {
        "full"
    }
}

struct BookHotel;

impl Step for BookHotel {
    const NAME: &'static str = HOTEL;
    type Input = u8;
    type Output = Booking;
    type Rejection = Full;
}

impl Compensatable for BookHotel {}

struct BookFlight;

impl Step for BookFlight {
    const NAME: &'static str = FLIGHT;
    type Input = ();
    type Output = Booking;
    type Rejection = Full;
}

impl Compensatable for BookFlight {}

struct BookTrip;

impl Saga for BookTrip {
    const NAME: &'static str = "trip";
    const VERSION: u32 = 1;
    type Input = Trip;
    type Output = u8;

    fn trigger() -> Trigger<Trip> {
        Trigger::on("trips.wanted")
    }

    fn plan(mut p: Plan<BeforePivot>, trip: Given<Trip>) -> Finished<u8> {
        let hotel = p.step(
            BookHotel::with(trip.map(|trip| trip.nights))
                .retry(Retry::exponential(Duration::from_secs(1), Duration::from_secs(1)).limit(9))
                .attempt_timeout(Duration::from_secs(4))
                .within(Duration::from_secs(10)),
        );
        p.step(BookFlight::with(trip.map(|_| ())).retry(Retry::ACTION.limit(1)));
        p.finish(hotel.map(|hotel| hotel.id))
    }
}

fn trip() -> Script {
    Script::given::<BookTrip>(r#"{"nights":3}"#).asks_with(HOTEL, "3")
}

#[test]
fn an_action_is_given_up_when_its_time_is_over() {
    let script = trip()
        .waits()
        .waits()
        .asks(HOTEL)
        .waits()
        .waits()
        .asks(HOTEL)
        // The third attempt ends with the limit, not with its own timeout.
        .waits()
        .asks_undo(HOTEL, "null");
    let times: Vec<_> = script.records().iter().map(|r| r.at).collect();
    assert_eq!((*times.last().unwrap() - times[0]).num_seconds(), 10);
    script.undone(HOTEL).is(Status::Compensated);
}

#[test]
fn no_attempt_is_sent_after_the_time_even_if_the_clock_comes_late() {
    let script = trip()
        .breaks(HOTEL, "connection reset")
        .after(Duration::from_secs(60))
        .waits()
        .asks_undo(HOTEL, "null")
        .nothing_else();
    assert_eq!(script.records().last().unwrap().kind, Kind::TimedOut);
}

#[test]
fn a_pending_action_has_no_more_time_than_the_limit() {
    let script = trip().accepts(HOTEL).waits().asks_undo(HOTEL, "null");
    let times: Vec<_> = script.records().iter().map(|r| r.at).collect();
    assert_eq!((*times.last().unwrap() - times[0]).num_seconds(), 10);
}

#[test]
fn a_delay_that_a_worker_asks_for_counts_too() {
    trip()
        .breaks_for(HOTEL, Duration::from_secs(3))
        .nothing_else()
        .waits()
        .asks(HOTEL)
        .breaks_for(HOTEL, Duration::from_secs(30))
        .asks_undo(HOTEL, "null");
}

#[test]
fn an_operator_who_has_it_tried_again_gives_it_all_its_time() {
    let script = trip()
        .breaks(HOTEL, "connection reset")
        .after(Duration::from_secs(8))
        .operator(OperatorCommand::Retry, "the line is repaired")
        .asks_with(HOTEL, "3")
        .waits()
        .waits()
        .asks(HOTEL)
        .waits()
        .waits()
        .asks(HOTEL)
        .waits()
        .asks_undo(HOTEL, "null");
    let acted = script.records().iter().find(|r| r.kind == Kind::Retried).unwrap().at;
    let given_up = script.records().last().unwrap().at;
    assert_eq!((given_up - acted).num_seconds(), 10);
}

#[test]
fn an_input_of_null_is_an_input() {
    trip()
        .ok(HOTEL, r#"{"id":1}"#)
        .asks_with(FLIGHT, "null")
        .breaks(FLIGHT, "no seat map")
        .asks_undo(FLIGHT, "null")
        .undone(FLIGHT)
        .asks_undo(HOTEL, r#"{"id":1}"#)
        .undone(HOTEL)
        .is(Status::Compensated);
}

#[test]
fn an_unreadable_output_turns_back_at_once() {
    let script =
        trip().ok(HOTEL, r#"{"id":256}"#).asks_undo(HOTEL, "null").is(Status::Compensating);
    let error = script.records().last().unwrap().next.error.clone().unwrap();
    assert_eq!((error.step.as_str(), error.code.as_str()), (HOTEL, "unmappable"));
    script.undone(HOTEL).is(Status::Compensated);
}
