//! Notification: tells the customer.

use std::convert::Infallible;

use amends_workers::Database;
use amends_workers::{Act, Attempt, Halt, Service, ServiceError};
use order::{Notice, Notified, NotifyCustomer};

struct Notification;

pub(crate) fn service(database: Database) -> Result<Service, ServiceError> {
    Service::new("notification", database, Notification).forward::<NotifyCustomer>().build()
}

impl Act<NotifyCustomer> for Notification {
    async fn act(&self, cx: &mut Attempt<'_>, _: Notice) -> Result<Notified, Halt<Infallible>> {
        sqlx::query_file!("src/notification/send.sql", cx.id.saga.0).execute(&mut *cx.tx).await?;
        Ok(Notified {})
    }
}
