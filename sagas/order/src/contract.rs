//! What crosses the wire. Money is in minor units of the order's currency.

use std::convert::Infallible;

use amends::{Compensatable, Rejection, Step};
use serde::{Deserialize, Serialize};

/// The trigger's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPlaced {
    /// The business key: one saga per order.
    pub order_id: String,
    /// Who pays.
    pub customer: String,
    /// ISO 4217.
    pub currency: String,
    /// What is bought; at least one line.
    pub items: Vec<Item>,
    /// A token of the card.
    pub card: String,
    /// Where to, ISO 3166-1 alpha-2.
    pub country: String,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The article.
    pub sku: String,
    /// How many, from 1.
    pub quantity: u32,
    /// Price of one, in minor units.
    pub unit_price: u32,
}

/// `payment.authorize`: reserve the amount on the card.
pub struct AuthorizePayment;

/// Input of [`AuthorizePayment`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// Who pays.
    pub customer: String,
    /// A token of the card.
    pub card: String,
    /// In minor units.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
}

/// Output of [`AuthorizePayment`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorized {
    /// The authorization's id.
    pub authorization: String,
}

/// `card_declined`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardDeclined;

impl Rejection for CardDeclined {
    fn code(&self) -> &str {
        "card_declined"
    }

    fn message(&self) -> String {
        "the card was declined".to_owned()
    }
}

impl Step for AuthorizePayment {
    const NAME: &'static str = "payment.authorize";
    type Input = Authorization;
    type Output = Authorized;
    type Rejection = CardDeclined;
}

impl Compensatable for AuthorizePayment {}

/// `inventory.reserve`: take the items from the stock.
pub struct ReserveStock;

/// Input of [`ReserveStock`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The order.
    pub order_id: String,
    /// What to take.
    pub items: Vec<Line>,
}

/// An article and how many of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The article.
    pub sku: String,
    /// How many.
    pub quantity: u32,
}

/// Output of [`ReserveStock`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// The reservation's id.
    pub reservation: String,
}

/// Why stock cannot be reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoStock {
    /// Too little of this article is left.
    OutOfStock(String),
    /// There is no such article.
    UnknownSku(String),
}

impl Rejection for NoStock {
    fn code(&self) -> &str {
        match self {
            Self::OutOfStock(_) => "out_of_stock",
            Self::UnknownSku(_) => "unknown_sku",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::OutOfStock(sku) => format!("too little {sku} is left"),
            Self::UnknownSku(sku) => format!("there is no article {sku}"),
        }
    }
}

impl Step for ReserveStock {
    const NAME: &'static str = "inventory.reserve";
    type Input = Reservation;
    type Output = Reserved;
    type Rejection = NoStock;
}

impl Compensatable for ReserveStock {}

/// `shipping.book`: book a parcel.
pub struct BookParcel;

/// Input of [`BookParcel`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// The order.
    pub order_id: String,
    /// Where to, ISO 3166-1 alpha-2.
    pub country: String,
}

/// Output of [`BookParcel`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booked {
    /// The parcel's id.
    pub parcel: String,
}

/// `no_route`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRoute(pub String);

impl Rejection for NoRoute {
    fn code(&self) -> &str {
        "no_route"
    }

    fn message(&self) -> String {
        format!("no parcel service goes to {}", self.0)
    }
}

impl Step for BookParcel {
    const NAME: &'static str = "shipping.book";
    type Input = Parcel;
    type Output = Booked;
    type Rejection = NoRoute;
}

impl Compensatable for BookParcel {}

/// `payment.capture`: collect what was authorized. The pivot.
pub struct CapturePayment;

/// Input of [`CapturePayment`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// The authorization's id.
    pub authorization: String,
    /// Who pays.
    pub customer: String,
    /// In minor units.
    pub amount: i64,
}

/// Output of [`CapturePayment`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// The capture's id.
    pub capture: String,
}

impl Step for CapturePayment {
    const NAME: &'static str = "payment.capture";
    type Input = Capture;
    type Output = Captured;
    type Rejection = CardDeclined;
}

/// `notification.send`: tell the customer. Cannot say no.
pub struct NotifyCustomer;

/// Input of [`NotifyCustomer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Whom to tell.
    pub customer: String,
    /// What to tell.
    pub receipt: Receipt,
}

/// Output of [`NotifyCustomer`]: `{}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notified {}

impl Step for NotifyCustomer {
    const NAME: &'static str = "notification.send";
    type Input = Notice;
    type Output = Notified;
    type Rejection = Infallible;
}

/// The saga's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The order.
    pub order_id: String,
    /// The reservation's id.
    pub reservation: String,
    /// The parcel's id.
    pub parcel: String,
    /// The capture's id.
    pub capture: String,
}
