//! The trip saga, version 1.

use std::time::Duration;

use amends::{Await, BeforePivot, Delay, Finished, Given, Plan, Saga, Step, Trigger, Values};

use crate::{contract::*, rental::*};

/// How long a trip waits for its visa. Electronic ones are granted in seconds.
const VISA: Duration = Duration::from_secs(15);

/// How long a traveller may still think better of it (`amends cancel`).
const COOLING_OFF: Duration = Duration::from_secs(1);

/// When a trip that is not settled by now turns back.
const DEADLINE: Duration = Duration::from_secs(2 * 3600);

/// `hotel.book` for each stay → `rental`, if a car is wanted ∥ `insurance.take`, if it is insured →
/// the event `visas.granted`, if it takes a visa → `cooling-off` → `card.charge` (the pivot) →
/// `mail.tickets`.
pub struct BookTrip;

impl Saga for BookTrip {
    const NAME: &'static str = "trip";
    const VERSION: u32 = 1;
    type Input = TripWanted;
    type Output = Itinerary;

    fn trigger() -> Trigger<TripWanted> {
        Trigger::<TripWanted>::on("trips.wanted")
            .key(|trip| trip.trip_id.clone())
            .lock(|trip| format!("traveller/{}", trip.traveller))
    }

    fn deadline() -> Option<Duration> {
        Some(DEADLINE)
    }

    fn plan(mut p: Plan<BeforePivot>, trip: Given<TripWanted>) -> Finished<Itinerary> {
        let rooms = p.step(BookHotel::each(trip.map(Booking::all)).at_once(2));
        let (car, policy) = p.together((
            RentCar::nested(trip.map(RentalWanted::of))
                .only_if(trip.map(|trip| trip.car.is_some())),
            TakeInsurance::with(trip.map(Cover::of)).only_if(trip.map(|trip| trip.insured)),
        ));
        let granted = Await::<VisaGranted>::on("visas.granted")
            .matching(|visa| visa.trip_id.clone())
            .within(VISA);
        let visa = p.step(granted.only_if(trip.map(|trip| trip.visa)));
        p.step(Delay::of("cooling-off", COOLING_OFF));
        let price = (rooms.clone(), car.clone(), policy.clone()).map(price);
        let (mut p, paid) =
            p.pivot(ChargeCard::with((trip.clone(), price.clone()).map(Charge::of)));
        let itinerary = (trip.clone(), rooms, car, policy, visa, paid, price).map(Itinerary::of);
        p.step(MailTickets::with((trip, itinerary.clone()).map(Tickets::of)));
        p.finish(itinerary)
    }
}

fn price(rooms: Vec<Room>, car: Option<Rented>, policy: Option<Policy>) -> i64 {
    let extras = [car.map(|car| car.price), policy.map(|policy| policy.price)];
    let all = rooms.iter().map(|room| room.price).chain(extras.into_iter().flatten());
    all.fold(0, i64::saturating_add)
}

impl Booking {
    fn all(trip: TripWanted) -> Vec<Self> {
        let guest = trip.traveller;
        trip.stays.into_iter().map(|stay| Self { guest: guest.clone(), stay }).collect()
    }
}

impl RentalWanted {
    /// Asked only of a trip with a car.
    fn of(trip: TripWanted) -> Self {
        let CarWanted { class, days, age } = trip.car.unwrap_or_default();
        Self { rental_id: trip.trip_id, driver: trip.traveller, age, class, days }
    }
}

impl Cover {
    fn of(trip: TripWanted) -> Self {
        let nights = trip.stays.iter().map(|stay| stay.nights).fold(0, u32::saturating_add);
        Self { traveller: trip.traveller, nights }
    }
}

impl Charge {
    fn of(trip: TripWanted, amount: i64) -> Self {
        Self { card: trip.card, amount }
    }
}

impl Itinerary {
    fn of(
        trip: TripWanted,
        rooms: Vec<Room>,
        car: Option<Rented>,
        policy: Option<Policy>,
        visa: Option<VisaGranted>,
        paid: Charged,
        price: i64,
    ) -> Self {
        Self {
            trip_id: trip.trip_id,
            bookings: rooms.into_iter().map(|room| room.booking).collect(),
            car: car.map(|car| car.car),
            policy: policy.map(|policy| policy.policy),
            visa: visa.map(|visa| visa.visa),
            charge: paid.charge,
            price,
        }
    }
}

impl Tickets {
    fn of(trip: TripWanted, itinerary: Itinerary) -> Self {
        Self { traveller: trip.traveller, itinerary }
    }
}
