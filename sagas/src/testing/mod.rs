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
mod others;
mod people;
mod plot;
mod report;
mod sends;
mod services;
mod sim;
mod store;
mod tape;
mod turns;

pub use fault::{Fault, Planned};
pub use matrix::FaultMatrix;
pub use model::Effect;
pub use report::Coverage;

#[cfg(test)]
pub(crate) use {
    breach::{Breach, Guarantee, Kept},
    checker::Seen,
    crew::{share, words},
    fault::everywhere,
    plot::Plot,
    services::{Look, Meddling, Outcome, Services, Work},
    sim::{End, External, Setting, Sim},
    tape::{Dice, Tape},
};
