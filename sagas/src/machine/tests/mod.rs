//! Whole sagas in a simulated world, and the machine against states nobody would reach.

mod book;
mod checker;
mod judge;
mod operator;
mod participant;
mod plans;
mod properties;
mod record;
mod tape;
mod total;
mod world;
