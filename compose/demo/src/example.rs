//! What tells the examples apart: what is published, who serves it, and which ledgers judge it.

use amends::Saga as _;
use amends_app::{During as _, Failed};
use amends_postgres::Database;
use clap::ValueEnum;

use crate::{
    audit::{Audit, TripAudit},
    ledgers,
    message::Message,
    orders,
    stock::stock,
    trips,
};

/// A worked example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Example {
    /// Orders: payment, inventory, shipping, notification.
    Order,
    /// Trips: several hotels, a nested rental of a car, events, delays, locks.
    Trip,
}

/// What the ledgers say.
pub(crate) struct Findings {
    /// Sagas by status.
    pub(crate) statuses: Vec<(String, i64)>,
    /// A line for each kind of thing.
    pub(crate) ledgers: String,
    pub(crate) problems: Vec<String>,
}

impl Example {
    /// How many are generated unless the command line says otherwise.
    pub(crate) const fn usual(self) -> u32 {
        match self {
            Self::Order => 1000,
            Self::Trip => 300,
        }
    }

    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Self::Order => "orders",
            Self::Trip => "trips",
        }
    }

    pub(crate) const fn definition(self) -> &'static str {
        match self {
            Self::Order => order::PlaceOrder::NAME,
            Self::Trip => trip::BookTrip::NAME,
        }
    }

    /// Where the triggers go.
    pub(crate) const fn subject(self) -> &'static str {
        match self {
            Self::Order => "orders.placed",
            Self::Trip => "trips.wanted",
        }
    }

    pub(crate) const fn services(self) -> &'static [&'static str] {
        match self {
            Self::Order => &order_services::NAMES,
            Self::Trip => &trip_services::NAMES,
        }
    }

    /// The service that is killed on the way.
    pub(crate) const fn victim(self) -> &'static str {
        match self {
            Self::Order => "inventory",
            Self::Trip => "hotel",
        }
    }

    /// What `count` orders or trips publish.
    pub(crate) fn generate(self, count: u32) -> Result<Vec<Message>, Failed> {
        match self {
            Self::Order => {
                (0..count).map(|n| Message::new(self.subject(), &orders::generate(n))).collect()
            }
            Self::Trip => trips::generate(count),
        }
    }

    /// Reads the ledgers.
    pub(crate) async fn judge(self, database: &Database) -> Result<Findings, Failed> {
        let unread = "the ledgers cannot be read";
        match self {
            Self::Order => {
                let audit = Audit::of(database, stock().values().sum()).await.during(unread)?;
                let ledgers = ledgers::shop(&audit);
                Ok(Findings { statuses: audit.statuses, ledgers, problems: audit.problems })
            }
            Self::Trip => {
                let audit = TripAudit::of(database).await.during(unread)?;
                let ledgers = ledgers::agency(&audit);
                Ok(Findings { statuses: audit.statuses, ledgers, problems: audit.problems })
            }
        }
    }

    /// What is true when no problem was found.
    pub(crate) const fn all_well(self) -> &'static str {
        match self {
            Self::Order => "every effect was applied once, or undone once",
            Self::Trip => {
                "every effect was applied once, or undone once, and each traveller's trips took turns"
            }
        }
    }

    /// Commands to try afterwards.
    pub(crate) const fn further(self) -> &'static str {
        match self {
            Self::Order => {
                r#"  nats --server "$NATS_URL" pub orders.placed '{"order_id":"o-1","customer":"c-1","currency":"EUR","items":[{"sku":"tea","quantity":2,"unit_price":450}],"card":"tok_visa","country":"DE"}'
  psql "$DATABASE_URL" -c 'select id, key, status, step, error from amends.sagas order by id desc limit 10'
  amends list --status compensated
  amends show o-1"#
            }
            Self::Trip => {
                r#"  nats --server "$NATS_URL" pub trips.wanted '{"trip_id":"t-1","traveller":"ada","card":"tok_visa","stays":[{"hotel":"grand","nights":2}],"car":{"class":"compact","days":2,"age":40},"visa":true}'
  psql "$DATABASE_URL" -c 'select * from amends.waits' -c 'select * from amends.locks'
  nats --server "$NATS_URL" pub visas.granted '{"trip_id":"t-1","visa":"v-1"}'
  psql "$DATABASE_URL" -c 'select * from amends.tree order by root desc, depth limit 10'
  amends show t-1"#
            }
        }
    }
}
