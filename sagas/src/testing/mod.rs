//! The fault matrix.
mod barrier;
mod book;
mod breach;
mod checker;
mod crew;
mod ends;
mod fault;
mod judge;
mod matrix;
mod model;
mod people;
mod plot;
mod report;
mod services;
mod sim;
mod store;
mod tape;
mod turns;

pub use fault::{Fault, Planned};
pub use matrix::FaultMatrix;
pub use model::Effect;
pub use report::Coverage;
