//! Renting a car: a saga of its own, and a step of a trip. Each of its steps can be undone, so that
//! whoever contains it can turn it back.

use amends::{
    BeforePivot, Compensatable, Finished, Given, Plan, Rejection, Saga, Step, Trigger, Values,
};
use serde::{Deserialize, Serialize};

use crate::contract::Policy;

/// `car.reserve` → `insurance.driver`.
pub struct RentCar;

/// Input of [`RentCar`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RentalWanted {
    /// The business key of a rental that starts by itself.
    pub rental_id: String,
    /// Who drives.
    pub driver: String,
    /// The driver's age.
    pub age: u32,
    /// The class of car.
    pub class: String,
    /// How many days.
    pub days: u32,
}

/// Output of [`RentCar`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rented {
    /// The car's id.
    pub car: String,
    /// What it costs, with the driver's insurance.
    pub price: i64,
}

/// `car.reserve`: take a car of the fleet.
pub struct ReserveCar;

/// Input of [`ReserveCar`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hire {
    /// The class of car.
    pub class: String,
    /// How many days.
    pub days: u32,
}

/// Output of [`ReserveCar`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// The car's id.
    pub car: String,
    /// What it costs.
    pub price: i64,
}

/// Why there is no car.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoCar {
    /// All of this class are out.
    AllOut(String),
    /// There is no such class.
    UnknownClass(String),
}

impl Rejection for NoCar {
    fn code(&self) -> &str {
        match self {
            Self::AllOut(_) => "all_out",
            Self::UnknownClass(_) => "unknown_class",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::AllOut(class) => format!("every {class} is out"),
            Self::UnknownClass(class) => format!("there is no class {class}"),
        }
    }
}

impl Step for ReserveCar {
    const NAME: &'static str = "car.reserve";
    type Input = Hire;
    type Output = Reserved;
    type Rejection = NoCar;
}

impl Compensatable for ReserveCar {}

/// `insurance.driver`: insure who drives.
pub struct InsureDriver;

/// Input of [`InsureDriver`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driver {
    /// Who drives.
    pub driver: String,
    /// The driver's age.
    pub age: u32,
    /// How many days.
    pub days: u32,
}

/// `too_young`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooYoung;

impl Rejection for TooYoung {
    fn code(&self) -> &str {
        "too_young"
    }

    fn message(&self) -> String {
        "the driver is too young".to_owned()
    }
}

impl Step for InsureDriver {
    const NAME: &'static str = "insurance.driver";
    type Input = Driver;
    type Output = Policy;
    type Rejection = TooYoung;
}

impl Compensatable for InsureDriver {}

impl Saga for RentCar {
    const NAME: &'static str = "rental";
    const VERSION: u32 = 1;
    type Input = RentalWanted;
    type Output = Rented;

    fn trigger() -> Trigger<RentalWanted> {
        Trigger::on("rentals.wanted").key(|rental| rental.rental_id.clone())
    }

    fn plan(mut p: Plan<BeforePivot>, rental: Given<RentalWanted>) -> Finished<Rented> {
        let car = p.step(ReserveCar::with(rental.map(Hire::of)));
        let policy = p.step(InsureDriver::with(rental.map(Driver::of)));
        p.finish((car, policy).map(Rented::of))
    }
}

impl Hire {
    fn of(rental: RentalWanted) -> Self {
        Self { class: rental.class, days: rental.days }
    }
}

impl Driver {
    fn of(rental: RentalWanted) -> Self {
        Self { driver: rental.driver, age: rental.age, days: rental.days }
    }
}

impl Rented {
    fn of(car: Reserved, policy: Policy) -> Self {
        Self { car: car.car, price: car.price.saturating_add(policy.price) }
    }
}
