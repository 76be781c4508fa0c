//! The examples as one program: their sagas, their services, and the stock of the shop.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use amends::{Definition, DefinitionError};
use amends_app::{During as _, Failed, Program, ProgramService, WorkerFlags};
use amends_postgres::Database;
use clap::Args;
use order_services::inventory::seed_stock;

/// The names of all services, for `worker --help`.
pub(crate) const SERVICES: &str =
    "inventory, payment, shipping, notification; hotel, car, insurance, card, mail";

/// The service that has a stock.
const STOCK_KEEPER: &str = "inventory";

/// What `dev` tells to try.
const TOUR: &str = r#"  nats --server "$NATS_URL" pub orders.placed '{"order_id":"o-1001","customer":"c-17","currency":"EUR","items":[{"sku":"tea","quantity":2,"unit_price":450}],"card":"tok_visa","country":"DE"}'
  psql "$DATABASE_URL" -c 'select * from amends.sagas'
  amends show o-1001

Other fates: "card":"tok_declined", "country":"AQ", "sku":"moon-lamp" with a large quantity.
And a trip, which waits for its visa:

  nats --server "$NATS_URL" pub trips.wanted '{"trip_id":"t-1","traveller":"ada","card":"tok_visa","stays":[{"hotel":"grand","nights":2}],"car":{"class":"compact","days":2,"age":40},"visa":true}'
  nats --server "$NATS_URL" pub visas.granted '{"trip_id":"t-1","visa":"v-1"}'
"#;

/// Both examples.
pub(crate) fn program() -> Program {
    let mut services: Vec<_> = order_services::NAMES.map(order_service).into();
    services.extend(trip_services::NAMES.map(trip_service));
    Program {
        define: definitions,
        services,
        first_data: Box::new(|database| Box::pin(async move { fill_shelves(&database).await })),
        tour: TOUR,
    }
}

fn definitions() -> Result<Vec<Definition>, DefinitionError> {
    let all = [
        Definition::of::<order::PlaceOrder>(),
        Definition::of::<trip::BookTrip>(),
        Definition::of::<trip::RentCar>(),
    ];
    all.into_iter().collect()
}

fn order_service(name: &'static str) -> ProgramService {
    let migrate =
        async move |database: Database| Ok(order_services::prepare(name, &database).await?);
    ProgramService::new(name, move |database| Ok(order_services::service(name, database)?), migrate)
}

fn trip_service(name: &'static str) -> ProgramService {
    let migrate =
        async move |database: Database| Ok(trip_services::prepare(name, &database).await?);
    ProgramService::new(name, move |database| Ok(trip_services::service(name, database)?), migrate)
}

/// Fills the shelves of a new shop.
async fn fill_shelves(database: &Database) -> Result<(), Failed> {
    seed_stock(database, &amends_demo::stock()).await.during("the stock cannot be seeded")
}

/// The stock of the shop, for `worker`.
#[derive(Debug, Args)]
pub(crate) struct Stock {
    /// Stock for articles that `inventory` does not know yet: a JSON object, sku to quantity
    #[arg(long, value_name = "FILE")]
    seed_stock: Option<PathBuf>,
}

impl WorkerFlags for Stock {
    fn warn(&self, services: &[&str]) {
        if self.seed_stock.is_some() && !services.contains(&STOCK_KEEPER) {
            tracing::warn!("--seed-stock is for the service inventory, which is not among these");
        }
    }

    async fn seed(&self, service: &str, database: &Database) -> Result<(), Failed> {
        match &self.seed_stock {
            Some(file) if service == STOCK_KEEPER => seed_from(file, database).await,
            _ => Ok(()),
        }
    }
}

async fn seed_from(file: &Path, database: &Database) -> Result<(), Failed> {
    let what = format!("the stock in {}", file.display());
    let text = std::fs::read_to_string(file).during(&what)?;
    let stock: BTreeMap<String, i64> = serde_json::from_str(&text)
        .during(&format!("{what} must be a JSON object, sku to quantity"))?;
    seed_stock(database, &stock).await.during(&what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_each_service() {
        let named: Vec<_> = SERVICES.split([',', ';']).map(str::trim).collect();
        assert_eq!(named, program().service_names().collect::<Vec<_>>());
    }
}
