//! What the example services' own ledgers say, beside what the orchestrator says: the judge of demo
//! and tests.

mod order;
mod statuses;
mod trip;

pub use order::Audit;
pub(crate) use statuses::statuses;
pub use trip::TripAudit;
