//! What the ledgers say, for people.

use crate::audit::{Audit, TripAudit};

fn euros(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, (cents % 100).abs())
}

/// What the ledgers of the order services say.
pub(crate) fn shop(audit: &Audit) -> String {
    format!(
        "  stock  {} units are missing from the shelves, {} are reserved by completed orders
  money  {} EUR was captured, completed orders cost {} EUR
",
        audit.stock_missing,
        audit.stock_reserved,
        euros(audit.captured),
        euros(audit.owed)
    )
}

/// What the ledgers of the trip services say.
pub(crate) fn agency(audit: &TripAudit) -> String {
    format!(
        "  rooms  {} are taken, {} are booked by completed trips
  cars   {} are out, {} are reserved by completed trips
  money  {} EUR was charged, completed trips cost {} EUR
  turns  {} travellers wanted several trips at once
",
        audit.rooms_taken,
        audit.rooms_booked,
        audit.cars_out,
        audit.cars_reserved,
        euros(audit.charged),
        euros(audit.owed),
        audit.busy_travellers
    )
}
