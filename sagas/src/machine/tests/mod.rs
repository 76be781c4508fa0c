//! Whole sagas of random plans in a simulated world, and the machine against states nobody would
//! reach. `tests/mutants` draws the same runs in a copy of the sources that has bugs.

mod found;
mod plans;
mod random_services;
pub(crate) mod runs;
mod total;
