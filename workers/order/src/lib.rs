//! The worked example's services. Each has a schema of its own with an append-only `ledger`, and may
//! have a database of its own.
//!
//! | service | steps | rejects with |
//! |---|---|---|
//! | [`inventory`] | `reserve` | `out_of_stock`, `unknown_sku` |
//! | [`payment`] | `authorize`, `capture` | `card_declined` for the card `tok_declined`; `tok_flaky` works at the third attempt |
//! | [`shipping`] | `book` | `no_route` for the country `AQ` |
//! | [`notification`] | `send` | never |

pub mod inventory;
pub mod notification;
pub mod payment;
pub mod shipping;

use amends_workers::Database;
use amends_workers::{Service, ServiceError};
use sqlx::migrate::Migrator;

/// The names of the services.
pub const NAMES: [&str; 4] = ["inventory", "payment", "shipping", "notification"];

static INVENTORY: Migrator = sqlx::migrate!("migrations/inventory");
static PAYMENT: Migrator = sqlx::migrate!("migrations/payment");
static SHIPPING: Migrator = sqlx::migrate!("migrations/shipping");
static NOTIFICATION: Migrator = sqlx::migrate!("migrations/notification");

/// The service of this name.
///
/// # Errors
/// [`Error::Unknown`] when there is none.
pub fn service(name: &str, database: Database) -> Result<Service, Error> {
    let built = match name {
        "inventory" => inventory::service(database),
        "payment" => payment::service(database),
        "shipping" => shipping::service(database),
        "notification" => notification::service(database),
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
        "inventory" => ("inventory", &INVENTORY),
        "payment" => ("payment", &PAYMENT),
        "shipping" => ("shipping", &SHIPPING),
        "notification" => ("notification", &NOTIFICATION),
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
