//! The examples as one program: their sagas, their services, and the stock of the shop.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use amends_app::{App, During as _, Failed, WorkerFlags};
use amends_postgres::Database;
use clap::Args;
use order::{Item, OrderPlaced, PlaceOrder};
use order_services::{inventory, notification, payment, shipping};
use trip::{BookTrip, CarWanted, RentCar, Stay, TripWanted, VisaGranted};
use trip_services::{car, card, hotel, insurance, mail};

/// The service that has a stock.
const STOCK_KEEPER: &str = "inventory";

/// What `dev` tells beside its examples.
const HINTS: &str = r#"
Other fates: "card":"tok_declined", "country":"AQ", "sku":"moon-lamp" with a large quantity; "customer":"c-nobody" gets
stuck, "card":"tok_review" waits for `amends reply`. The trip waits for its visa for 15 seconds.
"#;

/// Both examples.
pub(crate) fn app() -> App {
    App::new("amends")
        .saga::<PlaceOrder>()
        .service("inventory", inventory::service, &inventory::MIGRATIONS)
        .service("payment", payment::service, &payment::MIGRATIONS)
        .service("shipping", shipping::service, &shipping::MIGRATIONS)
        .service("notification", notification::service, &notification::MIGRATIONS)
        .saga::<BookTrip>()
        .saga::<RentCar>()
        .service("hotel", hotel::service, &hotel::MIGRATIONS)
        .service("car", car::service, &car::MIGRATIONS)
        .service("insurance", insurance::service, &insurance::MIGRATIONS)
        .service("card", card::service, &card::MIGRATIONS)
        .service("mail", mail::service, &mail::MIGRATIONS)
        .first_data(async |database| {
            Ok(inventory::seed_stock(&database, &amends_demo::stock()).await?)
        })
        .example::<PlaceOrder>(&an_order())
        .example::<BookTrip>(&a_trip())
        .example_event("visas.granted", &a_visa())
        .hints(HINTS)
}

fn an_order() -> OrderPlaced {
    OrderPlaced {
        order_id: "o-1001".into(),
        customer: "c-17".into(),
        currency: "EUR".into(),
        items: vec![Item { sku: "tea".into(), quantity: 2, unit_price: 450 }],
        card: "tok_visa".into(),
        country: "DE".into(),
    }
}

fn a_trip() -> TripWanted {
    TripWanted {
        trip_id: "t-1".into(),
        traveller: "ada".into(),
        card: "tok_visa".into(),
        stays: vec![Stay { hotel: "grand".into(), nights: 2 }],
        car: Some(CarWanted { class: "compact".into(), days: 2, age: 40 }),
        insured: false,
        visa: true,
    }
}

fn a_visa() -> VisaGranted {
    VisaGranted { trip_id: "t-1".into(), visa: "v-1".into() }
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
    inventory::seed_stock(database, &stock).await.during(&what)
}
