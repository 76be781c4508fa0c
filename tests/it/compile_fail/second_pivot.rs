//! There is one point of no return.

use amends::{Compensatable, BeforePivot, Finished, Given, Plan, Rejection, Saga, Step, Trigger};

struct Full;

impl Rejection for Full {
    fn code(&self) -> &str {
        "full"
    }
}

struct BookHotel;

impl Step for BookHotel {
    const NAME: &'static str = "hotel.book";
    type Input = u8;
    type Output = u8;
    type Rejection = Full;
}

impl Compensatable for BookHotel {}

/// May be refused, and cannot be undone.
struct ChargeCard;

impl Step for ChargeCard {
    const NAME: &'static str = "card.charge";
    type Input = u8;
    type Output = u8;
    type Rejection = Full;
}

struct BookTrip;

impl Saga for BookTrip {
    const NAME: &'static str = "trip";
    const VERSION: u32 = 1;
    type Input = u8;
    type Output = u8;

    fn trigger() -> Trigger<u8> {
        Trigger::on("trips.wanted")
    }

    fn plan(mut p: Plan<BeforePivot>, nights: Given<u8>) -> Finished<u8> {
        let (p, charged) = p.pivot(ChargeCard::with(nights));
        let (p, again) = p.pivot(ChargeCard::with(charged));
        p.finish(again)
    }
}

fn main() {}
