//! The trip saga: its plan, and what waits, lists and nested sagas look like in a transcript.

use amends::machine::{OperatorCommand, Status};
use trip::{BookTrip, RentCar};

use super::{plan, transcript};
use crate::script::Script;

const FIRST: &str = "hotel.book.0";
const SECOND: &str = "hotel.book.1";
const THIRD: &str = "hotel.book.2";
const RENTAL: &str = "rental";
const INSURE: &str = "insurance.take";
const VISA: &str = "visas.granted";
const CHARGE: &str = "card.charge";
const MAIL: &str = "mail.tickets";

const ROOM_1: &str = r#"{"booking":"room-1","price":100}"#;
const ROOM_2: &str = r#"{"booking":"room-2","price":200}"#;
const ROOM_3: &str = r#"{"booking":"room-3","price":300}"#;
const CAR: &str = r#"{"car":"car-1","price":5000}"#;
const POLICY: &str = r#"{"policy":"pol-1","price":7}"#;
const GRANTED: &str = r#"{"trip_id":"t-1","visa":"v-1"}"#;

/// A trip with all that a trip can have; it has its lock.
fn trip() -> Script {
    let wanted = r#"{"trip_id":"t-1","traveller":"ada","card":"tok-1","stays":[{"hotel":"grand","nights":2},{"hotel":"attic","nights":1},{"hotel":"station","nights":1}],"car":{"class":"compact","days":3,"age":40},"insured":true,"visa":true}"#;
    Script::given::<BookTrip>(wanted).is(Status::Queued).granted()
}

/// Its rooms are booked, two at a time; then rental and insurance are asked.
fn booked() -> Script {
    trip()
        .asks(FIRST)
        .asks_with(SECOND, r#"{"guest":"ada","stay":{"hotel":"attic","nights":1}}"#)
        .nothing_else()
        .ok(SECOND, ROOM_2)
        .asks(THIRD)
        .nothing_else()
        .ok(FIRST, ROOM_1)
        .ok(THIRD, ROOM_3)
        .starts(RENTAL)
        .asks_with(INSURE, r#"{"traveller":"ada","nights":4}"#)
        .nothing_else()
}

/// It waits for its visa.
fn insured() -> Script {
    booked().child_ends(RENTAL, Status::Completed, Some(CAR)).ok(INSURE, POLICY).nothing_else()
}

fn undone(script: Script) -> Script {
    script
        .undoes(RENTAL)
        .asks_undo(INSURE, POLICY)
        .nothing_else()
        .undone(INSURE)
        .child_ends(RENTAL, Status::Compensated, None)
        .asks_undo(THIRD, ROOM_3)
        .asks_undo(SECOND, ROOM_2)
        .nothing_else()
        .undone(SECOND)
        .asks_undo(FIRST, ROOM_1)
        .undone(FIRST)
        .undone(THIRD)
        .is(Status::Compensated)
}

#[test]
fn the_plans() {
    plan::<BookTrip>("trip_plan");
    plan::<RentCar>("rental_plan");
}

#[test]
fn a_trip_with_everything() {
    let script = insured()
        .arrives(VISA, "t-1", GRANTED)
        .nothing_else()
        .waits()
        .asks_with(CHARGE, r#"{"card":"tok-1","amount":5607}"#)
        .ok(CHARGE, r#"{"charge":"cha-1"}"#)
        .asks(MAIL)
        .ok(MAIL, "{}")
        .completes_with(r#"{"trip_id":"t-1","bookings":["room-1","room-2","room-3"],"car":"car-1","policy":"pol-1","visa":"v-1","charge":"cha-1","price":5607}"#);
    transcript("trip_happy", &script);
}

#[test]
fn a_trip_with_nothing() {
    let wanted = r#"{"trip_id":"t-1","traveller":"ada","card":"tok-1","stays":[]}"#;
    let script = Script::given::<BookTrip>(wanted)
        .granted()
        .waits()
        .asks_with(CHARGE, r#"{"card":"tok-1","amount":0}"#)
        .ok(CHARGE, r#"{"charge":"cha-1"}"#)
        .asks(MAIL)
        .ok(MAIL, "{}")
        .is(Status::Completed);
    transcript("trip_empty", &script);
}

#[test]
fn a_hotel_in_the_middle_is_full() {
    let script = trip()
        .asks(FIRST)
        .asks(SECOND)
        .rejected(SECOND, "full", "attic has no room left")
        .ok(FIRST, ROOM_1)
        .asks_undo(FIRST, ROOM_1)
        .undone(FIRST)
        .is(Status::Compensated);
    transcript("trip_full", &script);
}

#[test]
fn a_visa_that_never_comes() {
    let script = undone(insured().waits());
    transcript("trip_no_visa", &script);
}

#[test]
fn a_declined_card_undoes_what_was_nested_and_listed() {
    let script = insured().arrives(VISA, "t-1", GRANTED).waits().asks(CHARGE).rejected(
        CHARGE,
        "card_declined",
        "the card was declined",
    );
    transcript("trip_declined", &undone(script));
}

#[test]
fn second_thoughts_while_cooling_off() {
    let script = insured()
        .arrives(VISA, "t-1", GRANTED)
        .operator(OperatorCommand::Cancel, "the traveller called");
    transcript("trip_cancelled", &undone(script));
}
