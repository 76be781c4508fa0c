//! Card: charges.

use amends_workers::{Act, Attempt, Database, Halt, Service, ServiceError, reject};
use sqlx::migrate::Migrator;
use trip::{CardDeclined, Charge, ChargeCard, Charged};

/// What makes its schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("migrations/card");

/// The card that is always declined.
pub const DECLINED: &str = "tok_declined";

struct Card;

/// The service over its database, where [`MIGRATIONS`] were applied.
///
/// # Errors
/// Steps that do not fit together.
pub fn service(database: Database) -> Result<Service, ServiceError> {
    Service::new("card", database, Card).forward::<ChargeCard>().build()
}

impl Act<ChargeCard> for Card {
    async fn act(
        &self,
        cx: &mut Attempt<'_>,
        wanted: Charge,
    ) -> Result<Charged, Halt<CardDeclined>> {
        if wanted.card == DECLINED {
            return reject(CardDeclined);
        }
        let charge = cx.effect_id();
        sqlx::query_file!("src/card/charge.sql", cx.id.saga.0, charge, wanted.amount)
            .execute(&mut *cx.tx)
            .await?;
        Ok(Charged { charge })
    }
}
