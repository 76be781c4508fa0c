//! Hotel: gives out rooms and takes them back.

use std::convert::Infallible;

use amends::wire::Undo;
use amends_workers::{Act, Attempt, Compensate, Database, Halt, Service, ServiceError, reject};
use sqlx::migrate::Migrator;
use trip::{BookHotel, Booking, NoRoom, Room, Stay};

/// What makes its schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("migrations/hotel");

struct Hotel;

/// The service over its database, where [`MIGRATIONS`] were applied.
///
/// # Errors
/// Steps that do not fit together.
pub fn service(database: Database) -> Result<Service, ServiceError> {
    Service::new("hotel", database, Hotel).step::<BookHotel>().build()
}

impl Act<BookHotel> for Hotel {
    async fn act(&self, cx: &mut Attempt<'_>, wanted: Booking) -> Result<Room, Halt<NoRoom>> {
        let (saga, booking) = (cx.id.saga.0, cx.effect_id());
        let Stay { hotel, nights } = wanted.stay;
        let nights = i64::from(nights);
        let taken = sqlx::query_file!("src/hotel/book.sql", saga, booking, hotel, nights)
            .fetch_optional(&mut *cx.tx)
            .await?;
        if let Some(taken) = taken {
            return Ok(Room { booking, price: taken.price });
        }
        let house = sqlx::query_file!("src/hotel/known.sql", hotel).fetch_one(&mut *cx.tx).await?;
        reject(match house.known {
            true => NoRoom::Full(hotel),
            false => NoRoom::UnknownHotel(hotel),
        })
    }
}

impl Compensate<BookHotel> for Hotel {
    async fn compensate(
        &self,
        cx: &mut Attempt<'_>,
        _: Undo<Booking, Room>,
    ) -> Result<(), Halt<Infallible>> {
        // The booking's id is a function of the action, so that it is known even when its reply is not.
        sqlx::query_file!("src/hotel/cancel.sql", cx.action_id()).execute(&mut *cx.tx).await?;
        Ok(())
    }
}
