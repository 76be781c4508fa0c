//! Shipping: books a parcel and cancels it.

use std::convert::Infallible;

use amends::wire::Undo;
use amends_workers::{Act, Attempt, Compensate, Database, Halt, Service, ServiceError, reject};
use order::{BookParcel, Booked, NoRoute, Parcel};
use sqlx::migrate::Migrator;

/// What makes its schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("migrations/shipping");

/// The country nobody delivers to: Antarctica.
const NOWHERE: &str = "AQ";

struct Shipping;

/// The service over its database, where [`MIGRATIONS`] were applied.
///
/// # Errors
/// Steps that do not fit together.
pub fn service(database: Database) -> Result<Service, ServiceError> {
    Service::new("shipping", database, Shipping).step::<BookParcel>().build()
}

impl Act<BookParcel> for Shipping {
    async fn act(&self, cx: &mut Attempt<'_>, wanted: Parcel) -> Result<Booked, Halt<NoRoute>> {
        if wanted.country == NOWHERE {
            return reject(NoRoute(wanted.country));
        }
        let parcel = cx.effect_id();
        sqlx::query_file!("src/shipping/book.sql", cx.id.saga.0, parcel)
            .execute(&mut *cx.tx)
            .await?;
        Ok(Booked { parcel })
    }
}

impl Compensate<BookParcel> for Shipping {
    async fn compensate(
        &self,
        cx: &mut Attempt<'_>,
        _: Undo<Parcel, Booked>,
    ) -> Result<(), Halt<Infallible>> {
        // The parcel's id is a function of the action, so that it is known even when its reply is not.
        sqlx::query_file!("src/shipping/cancel.sql", cx.id.saga.0, cx.action_id())
            .execute(&mut *cx.tx)
            .await?;
        Ok(())
    }
}
