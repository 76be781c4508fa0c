//! The worked example's services. Each has a schema of its own with an append-only `ledger`, and may
//! have a database of its own.
//!
//! | service | steps | rejects with |
//! |---|---|---|
//! | [`inventory`] | `reserve` | `out_of_stock`, `unknown_sku` |
//! | [`payment`] | `authorize`, `capture` | `card_declined` for the card `tok_declined`; `tok_flaky` works at the third attempt, `tok_review` is pending until a person answers |
//! | [`shipping`] | `book` | `no_route` for the country `AQ` |
//! | [`notification`] | `send` | never; for the customer `c-nobody` it breaks until the saga is stuck |

pub mod inventory;
pub mod notification;
pub mod payment;
pub mod shipping;

/// The names of the services.
pub const NAMES: [&str; 4] = ["inventory", "payment", "shipping", "notification"];
