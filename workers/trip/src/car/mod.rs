//! Car: gives out cars of a fleet and takes them back.

use std::convert::Infallible;

use amends::wire::Undo;
use amends_workers::{Act, Attempt, Compensate, Database, Halt, Service, ServiceError, reject};
use sqlx::migrate::Migrator;
use trip::{Hire, NoCar, ReserveCar, Reserved};

/// What makes its schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("migrations/car");

struct Car;

/// The service over its database, where [`MIGRATIONS`] were applied.
///
/// # Errors
/// Steps that do not fit together.
pub fn service(database: Database) -> Result<Service, ServiceError> {
    Service::new("car", database, Car).step::<ReserveCar>().build()
}

impl Act<ReserveCar> for Car {
    async fn act(&self, cx: &mut Attempt<'_>, wanted: Hire) -> Result<Reserved, Halt<NoCar>> {
        let (saga, car) = (cx.id.saga.0, cx.effect_id());
        let Hire { class, days } = wanted;
        let days = i64::from(days);
        let taken = sqlx::query_file!("src/car/reserve.sql", saga, car, class, days)
            .fetch_optional(&mut *cx.tx)
            .await?;
        if let Some(taken) = taken {
            return Ok(Reserved { car, price: taken.price });
        }
        let fleet = sqlx::query_file!("src/car/known.sql", class).fetch_one(&mut *cx.tx).await?;
        reject(match fleet.known {
            true => NoCar::AllOut(class),
            false => NoCar::UnknownClass(class),
        })
    }
}

impl Compensate<ReserveCar> for Car {
    async fn compensate(
        &self,
        cx: &mut Attempt<'_>,
        _: Undo<Hire, Reserved>,
    ) -> Result<(), Halt<Infallible>> {
        sqlx::query_file!("src/car/return.sql", cx.action_id()).execute(&mut *cx.tx).await?;
        Ok(())
    }
}
