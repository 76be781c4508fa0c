//! Notification: tells the customer.

use std::convert::Infallible;

use amends_workers::{Act, Attempt, Database, Halt, Service, ServiceError};
use order::{Notice, Notified, NotifyCustomer};
use sqlx::migrate::Migrator;

/// What makes its schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("migrations/notification");

struct Notification;

/// The service over its database, where [`MIGRATIONS`] were applied.
///
/// # Errors
/// Steps that do not fit together.
pub fn service(database: Database) -> Result<Service, ServiceError> {
    Service::new("notification", database, Notification).forward::<NotifyCustomer>().build()
}

impl Act<NotifyCustomer> for Notification {
    async fn act(&self, cx: &mut Attempt<'_>, _: Notice) -> Result<Notified, Halt<Infallible>> {
        sqlx::query_file!("src/notification/send.sql", cx.id.saga.0).execute(&mut *cx.tx).await?;
        Ok(Notified {})
    }
}
