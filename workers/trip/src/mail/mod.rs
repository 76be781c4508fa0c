//! Mail: sends the tickets.

use std::convert::Infallible;

use amends_workers::Database;
use amends_workers::{Act, Attempt, Halt, Service, ServiceError};
use trip::{MailTickets, Mailed, Tickets};

struct Mail;

pub(crate) fn service(database: Database) -> Result<Service, ServiceError> {
    Service::new("mail", database, Mail).forward::<MailTickets>().build()
}

impl Act<MailTickets> for Mail {
    async fn act(&self, cx: &mut Attempt<'_>, _: Tickets) -> Result<Mailed, Halt<Infallible>> {
        let (saga, letter) = (cx.id.saga.0, cx.effect_id());
        sqlx::query_file!("src/mail/send.sql", saga, letter).execute(&mut *cx.tx).await?;
        Ok(Mailed {})
    }
}
