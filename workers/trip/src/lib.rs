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

use amends_workers::Database;
use amends_workers::{Service, ServiceError};
use sqlx::migrate::Migrator;

/// The names of the services.
pub const NAMES: [&str; 5] = ["hotel", "car", "insurance", "card", "mail"];

static HOTEL: Migrator = sqlx::migrate!("migrations/hotel");
static CAR: Migrator = sqlx::migrate!("migrations/car");
static INSURANCE: Migrator = sqlx::migrate!("migrations/insurance");
static CARD: Migrator = sqlx::migrate!("migrations/card");
static MAIL: Migrator = sqlx::migrate!("migrations/mail");

/// The service of this name.
///
/// # Errors
/// [`Error::Unknown`] when there is none.
pub fn service(name: &str, database: Database) -> Result<Service, Error> {
    let built = match name {
        "hotel" => hotel::service(database),
        "car" => car::service(database),
        "insurance" => insurance::service(database),
        "card" => card::service(database),
        "mail" => mail::service(database),
        _ => return Err(Error::Unknown(name.to_owned())),
    };
    Ok(built?)
}

/// Brings a service's database up to date: the barrier, and the service's own schema. Safe to call
/// from many processes at once.
///
/// # Errors
/// [`Error::Unknown`] when there is no such service, or the database's.
pub async fn prepare(name: &str, database: &Database) -> Result<(), Error> {
    let (schema, migrations) = match name {
        "hotel" => ("hotel", &HOTEL),
        "car" => ("car", &CAR),
        "insurance" => ("insurance", &INSURANCE),
        "card" => ("card", &CARD),
        "mail" => ("mail", &MAIL),
        _ => return Err(Error::Unknown(name.to_owned())),
    };
    amends_workers::migrate(database).await?;
    amends_workers::migrate_schema(database, schema, migrations).await?;
    Ok(())
}

/// Why a service cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No service of this name.
    #[error("there is no service `{0}`: the services are {all}", all = NAMES.join(", "))]
    Unknown(String),
    /// Its steps do not fit together.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Its database could not be brought up to date.
    #[error("the service's database could not be brought up to date")]
    Migrate(#[from] amends_workers::MigrationError),
}
