//! The second worked example's services. Each has a schema of its own with an append-only `ledger`,
//! and may have a database of its own. A saga may have several effects of one kind, such as bookings;
//! the ledgers tell them apart by their effect ids.
//!
//! | service | steps | rejects with |
//! |---|---|---|
//! | [`hotel`] | `book` | `full` (the `attic` has three rooms), `unknown_hotel` |
//! | [`car`] | `reserve` | `all_out` (there are five of the class `cabrio`), `unknown_class` |
//! | [`insurance`] | `take`, `driver` | `too_young` for a driver under 21 |
//! | [`card`] | `charge` | `card_declined` for the card `tok_declined` |
//! | [`mail`] | `tickets` | never |

pub mod car;
pub mod card;
pub mod hotel;
pub mod insurance;
pub mod mail;

/// The names of the services.
pub const NAMES: [&str; 5] = ["hotel", "car", "insurance", "card", "mail"];
