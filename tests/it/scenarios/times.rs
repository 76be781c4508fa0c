//! Waiting until a time that the saga computes: in the past, in the future, and out of reach.

use amends::{
    BeforePivot, Compensatable, Delay, Finished, Given, Plan, Rejection, Saga, Step, Trigger,
    machine::{Kind, Status},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::script::Script;

const HOTEL: &str = "hotel.book";

#[derive(Serialize, Deserialize)]
struct Stay {
    check_in: DateTime<Utc>,
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
    type Input = ();
    type Output = ();
    type Rejection = Full;
}

impl Compensatable for BookHotel {}

struct Arrive;

impl Saga for Arrive {
    const NAME: &'static str = "arrive";
    const VERSION: u32 = 1;
    type Input = Stay;
    type Output = ();

    fn trigger() -> Trigger<Stay> {
        Trigger::on("stays.wanted")
    }

    fn plan(mut p: Plan<BeforePivot>, stay: Given<Stay>) -> Finished<()> {
        let hotel = p.step(BookHotel::with(stay.map(|_| ())));
        p.step(Delay::until("check-in", stay.map(|stay| stay.check_in)));
        p.finish(hotel)
    }
}

fn booked(check_in: &str) -> Script {
    let input = format!(r#"{{"check_in":"{check_in}"}}"#);
    Script::given::<Arrive>(&input).asks(HOTEL).ok(HOTEL, "null")
}

/// Postgres stores no time before 4713 BC; what is over is over now.
#[test]
fn a_time_in_the_past_is_over_at_once() {
    for past in ["-262143-01-01T00:00:00Z", "-4800-01-01T00:00:00Z", "1969-12-31T23:59:59.5Z"] {
        let script = booked(past);
        let asked = script.records().last().unwrap();
        let due = asked.next.sends.iter().find(|send| send.step == "check-in").unwrap().due;
        assert_eq!(due, Some(asked.at), "{past}");
        script.waits().is(Status::Completed);
    }
}

#[test]
fn a_time_in_the_future_is_waited_for() {
    for future in ["2199-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"] {
        let script = booked(future).waits();
        let over = script.records().last().unwrap().at;
        assert_eq!(over, future.parse::<DateTime<Utc>>().unwrap());
        script.is(Status::Completed);
    }
}

#[test]
fn a_time_out_of_reach_turns_the_saga_back_and_says_why() {
    for (far, year) in [("+10000-01-01T00:00:00Z", 10000), ("+262142-12-31T23:59:59Z", 262_142)] {
        let script = booked(far).asks_undo(HOTEL, "null").nothing_else();
        let records = script.records();
        let unmappable = records.iter().find(|record| record.kind == Kind::Unmappable).unwrap();
        let detail = unmappable.detail.as_ref().unwrap().to_string();
        let why = format!(
            "`check-in` would wait until the year {year}; a wait ends in the year 9999 at the latest"
        );
        assert!(detail.contains(&why), "{detail}");
        script.undone(HOTEL).is(Status::Compensated);
    }
}
