//! Steps that the plans of live tests are made of: a hotel, a card and a mailbox; a bank, and a till.

use std::convert::Infallible;

use amends::{Compensatable, Rejection, Step};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a saga is for.
#[derive(Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) id: String,
}

/// The rejection of all of them.
pub(crate) struct No;

impl Rejection for No {
    fn code(&self) -> &str {
        "no"
    }
}

pub(crate) struct Book;

impl Step for Book {
    const NAME: &'static str = "hotel.book";
    type Input = String;
    type Output = String;
    type Rejection = No;
}

impl Compensatable for Book {}

pub(crate) struct Charge;

impl Step for Charge {
    const NAME: &'static str = "card.charge";
    type Input = String;
    type Output = ();
    type Rejection = No;
}

pub(crate) struct Tell;

impl Step for Tell {
    const NAME: &'static str = "mail.tell";
    type Input = String;
    type Output = String;
    type Rejection = Infallible;
}

pub(crate) struct Pay;

impl Step for Pay {
    const NAME: &'static str = "bank.pay";
    type Input = Value;
    type Output = ();
    type Rejection = Infallible;
}

pub(crate) struct Cash;

impl Step for Cash {
    const NAME: &'static str = "till.pay";
    type Input = Value;
    type Output = Value;
    type Rejection = Infallible;
}
