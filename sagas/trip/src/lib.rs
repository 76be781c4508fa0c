//! The second worked example: a trip, with everything that a plan can say. A list of hotels, a nested
//! saga and an insurance under conditions, an event and a delay that it waits for, and a lock by which
//! the trips of one traveller take turns. One place for both sides, as in `order`.

mod contract;
mod plan;
mod rental;

pub use contract::*;
pub use plan::BookTrip;
pub use rental::*;
