//! The matrix as users meet it: everything that a plan can say, and what a failure says.

use std::{convert::Infallible, time::Duration};

use serde::{Deserialize, Serialize};

use super::FaultMatrix;
use crate::{
    Await, BeforePivot, Compensatable, Delay, Finished, Given, Plan, Rejection, Retry, Saga, Step,
    Trigger, Values, machine::Status, panic::panic_message,
};

#[derive(Clone, Serialize, Deserialize)]
struct Wanted {
    trip: String,
    hotels: Vec<i64>,
    insured: bool,
}

struct Full;
impl Rejection for Full {
    fn code(&self) -> &str {
        "full"
    }
}

/// Each step moves an amount from the traveller to somebody.
macro_rules! steps {
    ($($step:ident $name:literal $no:ty;)+) => {$(
        struct $step;
        impl Step for $step {
            const NAME: &'static str = $name;
            type Input = i64;
            type Output = i64;
            type Rejection = $no;
        }
        impl Compensatable for $step {}
    )+};
}

steps! {
    BookHotel "hotel.book" Full;
    Insure "insurance.take" Infallible;
    RentCar "car.rent" Full;
    ParkCar "car.park" Infallible;
    Charge "card.charge" Full;
    SendTickets "mail.tickets" Infallible;
}

#[derive(Serialize, Deserialize)]
struct Paid {
    trip: String,
}

struct Rental;
impl Saga for Rental {
    const NAME: &'static str = "rental";
    const VERSION: u32 = 1;
    type Input = i64;
    type Output = i64;

    fn trigger() -> Trigger<i64> {
        Trigger::on("rentals.wanted")
    }

    fn plan(mut p: Plan<BeforePivot>, days: Given<i64>) -> Finished<i64> {
        let car = p.step(RentCar::with(days));
        p.step(ParkCar::with(car.clone()));
        p.finish(car)
    }
}

struct Trip;
impl Saga for Trip {
    const NAME: &'static str = "trip";
    const VERSION: u32 = 1;
    type Input = Wanted;
    type Output = i64;

    fn trigger() -> Trigger<Wanted> {
        Trigger::on("trips.wanted")
            .key(|trip: &Wanted| trip.trip.clone())
            .lock(|_| "customer/1".to_owned())
    }

    fn deadline() -> Option<Duration> {
        Some(Duration::from_secs(3_600))
    }

    fn plan(mut p: Plan<BeforePivot>, trip: Given<Wanted>) -> Finished<i64> {
        let few = Retry::exponential(Duration::from_millis(100), Duration::from_secs(1)).limit(2);
        let hotels = trip.map(|trip| trip.hotels);
        let insured = trip.map(|trip| trip.insured);
        let (rooms, car, _) = p.together((
            BookHotel::each(hotels.clone()).named("rooms").at_once(2).retry(few),
            Rental::nested(hotels.map(|hotels| hotels.len() as i64)),
            Insure::with(hotels.map(|_| 7)).only_if(insured),
        ));
        p.step(
            Await::<Paid>::on("trips.paid")
                .matching(|paid| paid.trip.clone())
                .within(Duration::from_secs(600)),
        );
        let sum = (rooms, car).map(|rooms: Vec<i64>, car: i64| rooms.iter().sum::<i64>() + car);
        let (mut p, charged) = p.pivot(Charge::with(sum));
        p.step(Delay::of("cooling-off", Duration::from_secs(60)));
        p.step(SendTickets::with(charged.clone()));
        p.finish(charged)
    }
}

/// What was paid to whom, by the effect's id.
#[derive(Clone, Default, PartialEq, Eq)]
struct Accounts {
    paid: Vec<(String, i64)>,
    mails: u32,
}

impl Accounts {
    fn pay(&mut self, effect: &super::Effect, amount: i64) -> i64 {
        self.paid.push((effect.id(), amount));
        amount
    }

    fn pay_back(&mut self, effect: &super::Effect) {
        let at = self.paid.iter().position(|(id, _)| *id == effect.action_id()).unwrap();
        self.paid.remove(at);
    }
}

fn trip() -> FaultMatrix<Accounts> {
    let wanted = Wanted { trip: "t-1".into(), hotels: vec![10, 20, 30], insured: true };
    FaultMatrix::of::<Trip>(wanted)
        .world(Accounts::default)
        .event("trips.paid", Paid { trip: "t-1".into() })
        .act::<BookHotel>(|w: &mut Accounts, effect, price| Ok(w.pay(effect, price)))
        .compensate::<BookHotel>(|w, effect, undo| {
            assert_eq!(undo.output, Some(undo.input));
            w.pay_back(effect);
        })
        .act::<Insure>(|w, effect, price| Ok(w.pay(effect, price)))
        .compensate::<Insure>(|w, effect, _| w.pay_back(effect))
        .act::<RentCar>(|w, effect, days| Ok(w.pay(effect, days)))
        .compensate::<RentCar>(|w, effect, _| w.pay_back(effect))
        .deferred::<RentCar>(Duration::from_secs(20))
        .act::<ParkCar>(|w, effect, days| Ok(w.pay(effect, days)))
        .compensate::<ParkCar>(|w, effect, _| w.pay_back(effect))
        .act::<Charge>(|w, effect, sum| Ok(w.pay(effect, sum)))
        .act::<SendTickets>(|w, _, sum| {
            w.mails += 1;
            Ok(sum)
        })
}

#[test]
fn a_plan_with_everything_survives_every_fault() {
    let coverage = trip()
        .ends(Status::Compensated, "nobody has paid", |w| *w == Accounts::default())
        .ends(Status::Completed, "all is paid and told", |w| {
            (w.paid.len(), w.mails) == (7, 1) && w.paid.iter().any(|(_, sum)| *sum == 63)
        })
        .seeds(2_000)
        .run();
    assert!(coverage.completed > 500 && coverage.compensated > 500, "{coverage}");
}

/// What a failing matrix says.
fn says(run: impl FnOnce() + std::panic::UnwindSafe) -> String {
    panic_message(&*std::panic::catch_unwind(run).unwrap_err()).unwrap_or_default().to_owned()
}

#[test]
fn a_failure_tells_the_faults_the_invariant_and_the_transcript() {
    let message = says(|| {
        trip().ends(Status::Compensated, "a mail is sent", |w| w.mails > 0).seeds(0).run();
    });
    let case = message.split(".replay(\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    for part in [
        "broken: the world's invariant",
        "`a mail is sent (when compensated)` does not hold; the saga is compensated",
        "trip@1  key t-1  compensated",
        "turning back",
        "messages\n     0.000  trigger",
        "FAULT",
    ] {
        assert!(message.contains(part), "no {part:?} in\n{message}");
    }
    let again = says(move || {
        let matrix = trip().ends(Status::Compensated, "a mail is sent", |w| w.mails > 0);
        matrix.replay(&case).run();
    });
    assert_eq!(message, again);
}

#[test]
fn a_panic_of_the_model_is_told_with_the_transcript() {
    let message = says(|| {
        trip().act::<SendTickets>(|_, _, sum| panic!("no mail for {sum}")).seeds(0).run();
    });
    for part in
        ["nothing panics", "no mail for 63", ".replay(\"no fault\")", "asked           mail"]
    {
        assert!(message.contains(part), "no {part:?} in\n{message}");
    }
}

#[test]
fn a_mixture_is_told_with_as_few_accidents_as_break_it() {
    let message = says(|| {
        trip().ends(Status::Completed, "never", |_| false).replay("seed 3/0").run();
    });
    assert!(message.contains(".replay(\"seed 3/0\")"), "{message}");
}

#[test]
fn a_model_that_lacks_a_step_is_refused() {
    let message = says(|| {
        FaultMatrix::of::<Rental>(1).world(Accounts::default).run();
    });
    assert!(message.contains("`car.park` has no `.act::<…>(…)`"), "{message}");
}

/// A saga that waits for nothing.
fn rental() -> FaultMatrix<Accounts> {
    FaultMatrix::of::<Rental>(1)
        .world(Accounts::default)
        .act::<RentCar>(|w: &mut Accounts, effect, days| Ok(w.pay(effect, days)))
        .compensate::<RentCar>(|w, effect, _| w.pay_back(effect))
        .act::<ParkCar>(|w, effect, days| Ok(w.pay(effect, days)))
        .compensate::<ParkCar>(|w, effect, _| w.pay_back(effect))
        .seeds(50)
}

#[test]
fn an_event_that_no_step_waits_for_is_refused() {
    let paid = || Paid { trip: "t-1".into() };
    let message = says(move || {
        trip().event("trips.payed", paid()).run();
    });
    let wanted = "no step of `trip` waits for an event on `trips.payed`: give one on `trips.paid`, or leave `.event(\"trips.payed\", …)` out";
    assert_eq!(message, wanted);
    let message = says(move || {
        rental().event("trips.paid", paid()).run();
    });
    let wanted = "no step of `rental` waits for an event: leave `.event(\"trips.paid\", …)` out";
    assert_eq!(message, wanted);
    let message = says(|| {
        trip().event("trips.paid", 17).run();
    });
    let wanted = "`.event(\"trips.paid\", …)`: the event that the step `trips.paid` of `trip` waits for cannot be used: its body does not fit";
    assert!(message.starts_with(wanted), "{message}");
}

#[test]
fn an_event_that_no_run_takes_is_a_failure() {
    let message = says(|| {
        trip().event("trips.paid", Paid { trip: "t-2".into() }).seeds(50).run();
    });
    for part in [
        "the fault matrix proves nothing",
        "no run took the event of `.event(\"trips.paid\", …)`",
        "the saga's business key (`t-1`)",
    ] {
        assert!(message.contains(part), "no {part:?} in\n{message}");
    }
}

#[test]
fn a_condition_on_an_end_that_no_run_has_is_a_failure() {
    let message = says(|| {
        rental().ends(Status::Stuck, "somebody is told", |_| false).run();
    });
    for part in [
        "the fault matrix proves nothing",
        "no run ended stuck, so `.ends(Status::Stuck, \"somebody is told\", …)` was never asked",
        "the runs ended compensated, completed; leave it out",
    ] {
        assert!(message.contains(part), "no {part:?} in\n{message}");
    }
}

#[test]
fn a_replay_that_is_no_case_is_refused() {
    for wrong in ["", "seed", "seed x", "lost_reply", "crash", "lost_reply a.b:sideways"] {
        let message = says(move || {
            trip().replay(wrong).run();
        });
        assert!(message.contains("is no"), "{wrong}: {message}");
    }
}
