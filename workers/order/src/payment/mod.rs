//! Payment: holds an amount on a card, lets it go, or collects it.

use std::convert::Infallible;

use amends::wire::Undo;
use amends_workers::{Act, Attempt, Compensate, Database, Halt, Service, ServiceError, reject};
use order::{
    Authorization, AuthorizePayment, Authorized, Capture, CapturePayment, Captured, CardDeclined,
};
use sqlx::migrate::Migrator;

/// What makes its schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("migrations/payment");

/// The card that is always declined.
const DECLINED: &str = "tok_declined";
/// The card whose network answers only from the third attempt on.
const FLAKY: &str = "tok_flaky";
/// The card whose payments a person reviews: the answer comes later, by `amends reply`, and whoever gives it has made
/// the hold.
const REVIEWED: &str = "tok_review";

struct Payment;

/// The service over its database, where [`MIGRATIONS`] were applied.
///
/// # Errors
/// Steps that do not fit together.
pub fn service(database: Database) -> Result<Service, ServiceError> {
    Service::new("payment", database, Payment)
        .step::<AuthorizePayment>()
        .forward::<CapturePayment>()
        .build()
}

/// What `tok_flaky` meets.
#[derive(Debug, thiserror::Error)]
#[error("the card network did not answer")]
struct NoAnswer;

impl Act<AuthorizePayment> for Payment {
    async fn act(
        &self,
        cx: &mut Attempt<'_>,
        wanted: Authorization,
    ) -> Result<Authorized, Halt<CardDeclined>> {
        match wanted.card.as_str() {
            DECLINED => return reject(CardDeclined),
            REVIEWED => return Err(Halt::Pending),
            FLAKY if cx.attempt() < 3 => return Err(NoAnswer.into()),
            _ => {}
        }
        let saga = cx.id.saga.0;
        sqlx::query_file!("src/payment/authorize.sql", saga, wanted.customer, wanted.amount)
            .execute(&mut *cx.tx)
            .await?;
        Ok(Authorized { authorization: cx.effect_id() })
    }
}

impl Compensate<AuthorizePayment> for Payment {
    async fn compensate(
        &self,
        cx: &mut Attempt<'_>,
        _: Undo<Authorization, Authorized>,
    ) -> Result<(), Halt<Infallible>> {
        sqlx::query_file!("src/payment/void.sql", cx.id.saga.0).execute(&mut *cx.tx).await?;
        Ok(())
    }
}

impl Act<CapturePayment> for Payment {
    async fn act(
        &self,
        cx: &mut Attempt<'_>,
        capture: Capture,
    ) -> Result<Captured, Halt<CardDeclined>> {
        let saga = cx.id.saga.0;
        sqlx::query_file!("src/payment/capture.sql", saga, capture.customer, capture.amount)
            .execute(&mut *cx.tx)
            .await?;
        Ok(Captured { capture: cx.effect_id() })
    }
}
