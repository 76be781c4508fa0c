//! A shop: an order over a service, with everything undone when one step is refused.

pub mod order;
pub mod store;

use amends_app::App;
use order::{Order, PlaceOrder};

/// The sagas and services of this program.
pub fn app() -> App {
    App::new("shop")
        .saga::<PlaceOrder>()
        .service("store", store::service, &store::MIGRATIONS)
        .example::<PlaceOrder>(&Order {
            id: "o-1".into(),
            article: "tea".into(),
            quantity: 2,
            card: "tok_visa".into(),
        })
        .hints("\nOther fates: \"card\":\"tok_declined\", \"quantity\":1000.\n")
}
