//! What crosses the wire. Prices are what the services ask, in minor units of one currency.

use std::convert::Infallible;

use amends::{Compensatable, Rejection, Step};
use serde::{Deserialize, Serialize};

/// The trigger's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TripWanted {
    /// The business key: one saga per trip.
    pub trip_id: String,
    /// Who travels; the trips of one traveller take turns.
    pub traveller: String,
    /// A token of the card.
    pub card: String,
    /// Where to sleep, one hotel after the other.
    pub stays: Vec<Stay>,
    /// A rental car, if one is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub car: Option<CarWanted>,
    /// Whether to insure the trip.
    #[serde(default)]
    pub insured: bool,
    /// Whether it takes a visa: then the trip waits for [`VisaGranted`].
    #[serde(default)]
    pub visa: bool,
}

/// Some nights in one hotel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stay {
    /// The hotel.
    pub hotel: String,
    /// How many nights.
    pub nights: u32,
}

/// Which car, for how long, and who drives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarWanted {
    /// The class of car.
    pub class: String,
    /// How many days.
    pub days: u32,
    /// The driver's age.
    pub age: u32,
}

/// The event on `visas.granted`. It may come before the trip is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisaGranted {
    /// For which trip.
    pub trip_id: String,
    /// The visa's number.
    pub visa: String,
}

/// `hotel.book`: take a room.
pub struct BookHotel;

/// Input of [`BookHotel`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booking {
    /// Who sleeps there.
    pub guest: String,
    /// Where, and how long.
    pub stay: Stay,
}

/// Output of [`BookHotel`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// The booking's id.
    pub booking: String,
    /// What it costs.
    pub price: i64,
}

/// Why there is no room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRoom {
    /// This hotel is full.
    Full(String),
    /// There is no such hotel.
    UnknownHotel(String),
}

impl Rejection for NoRoom {
    fn code(&self) -> &str {
        match self {
            Self::Full(_) => "full",
            Self::UnknownHotel(_) => "unknown_hotel",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Full(hotel) => format!("{hotel} has no room left"),
            Self::UnknownHotel(hotel) => format!("there is no hotel {hotel}"),
        }
    }
}

impl Step for BookHotel {
    const NAME: &'static str = "hotel.book";
    type Input = Booking;
    type Output = Room;
    type Rejection = NoRoom;
}

impl Compensatable for BookHotel {}

/// `insurance.take`: insure the trip. Nobody is refused.
pub struct TakeInsurance;

/// Input of [`TakeInsurance`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cover {
    /// Who is insured.
    pub traveller: String,
    /// For how many nights.
    pub nights: u32,
}

/// Output of [`TakeInsurance`] and of [`InsureDriver`](crate::InsureDriver).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The policy's id.
    pub policy: String,
    /// What it costs.
    pub price: i64,
}

impl Step for TakeInsurance {
    const NAME: &'static str = "insurance.take";
    type Input = Cover;
    type Output = Policy;
    type Rejection = Infallible;
}

impl Compensatable for TakeInsurance {}

/// `card.charge`: collect what everything costs. The pivot.
pub struct ChargeCard;

/// Input of [`ChargeCard`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// A token of the card.
    pub card: String,
    /// How much.
    pub amount: i64,
}

/// Output of [`ChargeCard`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charged {
    /// The charge's id.
    pub charge: String,
}

/// `card_declined`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardDeclined;

impl Rejection for CardDeclined {
    fn code(&self) -> &str {
        "card_declined"
    }

    fn message(&self) -> String {
        "the card was declined".to_owned()
    }
}

impl Step for ChargeCard {
    const NAME: &'static str = "card.charge";
    type Input = Charge;
    type Output = Charged;
    type Rejection = CardDeclined;
}

/// `mail.tickets`: send the tickets. Cannot say no.
pub struct MailTickets;

/// Input of [`MailTickets`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tickets {
    /// To whom.
    pub traveller: String,
    /// For what.
    pub itinerary: Itinerary,
}

/// Output of [`MailTickets`]: `{}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailed {}

impl Step for MailTickets {
    const NAME: &'static str = "mail.tickets";
    type Input = Tickets;
    type Output = Mailed;
    type Rejection = Infallible;
}

/// The saga's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Itinerary {
    /// The trip.
    pub trip_id: String,
    /// The bookings' ids, in the order of the stays.
    pub bookings: Vec<String>,
    /// The car's id, if there is one.
    pub car: Option<String>,
    /// The policy's id, if the trip is insured.
    pub policy: Option<String>,
    /// The visa's number, if it took one.
    pub visa: Option<String>,
    /// The charge's id.
    pub charge: String,
    /// What was charged.
    pub price: i64,
}
