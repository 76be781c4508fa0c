//! `amends doctor`: a healthy installation, and one thing at a time that is broken there.

mod findings;
mod healthy;
mod rights;
mod round_trip;
mod sagas;
mod servers;
mod streams;

use findings::{Findings, healthy};
