//! Insurance: insures trips and drivers, and ends policies.

use std::convert::Infallible;

use amends::wire::Undo;
use amends_workers::{Act, Attempt, Compensate, Database, Halt, Service, ServiceError, reject};
use sqlx::migrate::Migrator;
use trip::{Cover, Driver, InsureDriver, Policy, TakeInsurance, TooYoung};

/// What makes its schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("migrations/insurance");

/// A driver must be so old.
pub const DRIVER_AGE_MIN: u32 = 21;

/// What insuring a trip costs for a night.
const NIGHT: i64 = 650;

/// What insuring a driver costs for a day.
const DAY: i64 = 1200;

struct Insurance;

/// The service over its database, where [`MIGRATIONS`] were applied.
///
/// # Errors
/// Steps that do not fit together.
pub fn service(database: Database) -> Result<Service, ServiceError> {
    Service::new("insurance", database, Insurance)
        .step::<TakeInsurance>()
        .step::<InsureDriver>()
        .build()
}

async fn insure(cx: &mut Attempt<'_>, price: i64) -> sqlx::Result<Policy> {
    let policy = cx.effect_id();
    sqlx::query_file!("src/insurance/insure.sql", cx.id.saga.0, policy, price)
        .execute(&mut *cx.tx)
        .await?;
    Ok(Policy { policy, price })
}

async fn end(cx: &mut Attempt<'_>) -> sqlx::Result<()> {
    sqlx::query_file!("src/insurance/end.sql", cx.action_id()).execute(&mut *cx.tx).await?;
    Ok(())
}

impl Act<TakeInsurance> for Insurance {
    async fn act(&self, cx: &mut Attempt<'_>, wanted: Cover) -> Result<Policy, Halt<Infallible>> {
        Ok(insure(cx, i64::from(wanted.nights) * NIGHT).await?)
    }
}

impl Compensate<TakeInsurance> for Insurance {
    async fn compensate(
        &self,
        cx: &mut Attempt<'_>,
        _: Undo<Cover, Policy>,
    ) -> Result<(), Halt<Infallible>> {
        Ok(end(cx).await?)
    }
}

impl Act<InsureDriver> for Insurance {
    async fn act(&self, cx: &mut Attempt<'_>, wanted: Driver) -> Result<Policy, Halt<TooYoung>> {
        if wanted.age < DRIVER_AGE_MIN {
            return reject(TooYoung);
        }
        Ok(insure(cx, i64::from(wanted.days) * DAY).await?)
    }
}

impl Compensate<InsureDriver> for Insurance {
    async fn compensate(
        &self,
        cx: &mut Attempt<'_>,
        _: Undo<Driver, Policy>,
    ) -> Result<(), Halt<Infallible>> {
        Ok(end(cx).await?)
    }
}
