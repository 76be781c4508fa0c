//! Whole sagas of random plans in a simulated world, bugs that are planted to be found there, and
//! the machine against states nobody would reach.

mod crowd;
mod found;
mod plans;
mod planted;
mod runs;
mod total;
