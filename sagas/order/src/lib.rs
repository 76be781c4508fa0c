//! The worked example: an order over payment, inventory, shipping and notification. One place for
//! both sides: the plan that the orchestrator runs, and the contract that the services fulfil.

mod contract;
mod plan;

pub use contract::*;
pub use plan::PlaceOrder;
