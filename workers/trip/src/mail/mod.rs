//! Mail: sends the tickets.

use std::convert::Infallible;

use amends_workers::{Act, Attempt, Database, Halt, Service, ServiceError};
use sqlx::migrate::Migrator;
use trip::{MailTickets, Mailed, Tickets};

/// What makes its schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("migrations/mail");

struct Mail;

/// The service over its database, where [`MIGRATIONS`] were applied.
///
/// # Errors
/// Steps that do not fit together.
pub fn service(database: Database) -> Result<Service, ServiceError> {
    Service::new("mail", database, Mail).forward::<MailTickets>().build()
}

impl Act<MailTickets> for Mail {
    async fn act(&self, cx: &mut Attempt<'_>, _: Tickets) -> Result<Mailed, Halt<Infallible>> {
        let (saga, letter) = (cx.id.saga.0, cx.effect_id());
        sqlx::query_file!("src/mail/send.sql", saga, letter).execute(&mut *cx.tx).await?;
        Ok(Mailed {})
    }
}
