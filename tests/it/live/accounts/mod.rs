//! Parties that do not trust each other on one nats-server: what each may do, and what none can.

mod attacks;
mod raw;
mod reload;
mod rights;
