//! Notification: tells the customer.

use std::{convert::Infallible, time::Duration};

use amends_workers::{Act, Attempt, Database, Halt, Service, ServiceError};
use order::{Notice, Notified, NotifyCustomer};
use sqlx::migrate::Migrator;

/// What makes its schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("migrations/notification");

/// The customer whom no mail reaches: the saga is soon stuck.
const NOBODY: &str = "c-nobody";
/// Between two attempts at it.
const NOBODY_PAUSE: Duration = Duration::from_millis(100);

struct Notification;

/// The service over its database, where [`MIGRATIONS`] were applied.
///
/// # Errors
/// Steps that do not fit together.
pub fn service(database: Database) -> Result<Service, ServiceError> {
    Service::new("notification", database, Notification).forward::<NotifyCustomer>().build()
}

impl Act<NotifyCustomer> for Notification {
    async fn act(
        &self,
        cx: &mut Attempt<'_>,
        notice: Notice,
    ) -> Result<Notified, Halt<Infallible>> {
        if notice.customer == NOBODY {
            return Err(Halt::RetryAfter(NOBODY_PAUSE, "there is no such mailbox".to_owned()));
        }
        sqlx::query_file!("src/notification/send.sql", cx.id.saga.0).execute(&mut *cx.tx).await?;
        Ok(Notified {})
    }
}
