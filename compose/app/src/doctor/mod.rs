//! `doctor`: whether an installation is as it has to be. One file for each group of checks.
//!
//! | to read | start at |
//! |---|---|
//! | what a check is | `check` |
//! | in which order they are made | `examine` |
//! | how they are told | `report` |
//! | Postgres, asked with a bound | `ask` |
//! | servers, ways to them and clocks | `servers` |
//! | settings, room, schema of Postgres | `postgres` |
//! | streams and their settings | `streams`, `sync` |
//! | who reads consumers | `readers` |
//! | leader, timers, what waits for people | `orchestrator` |
//! | definitions here and there | `definitions` |
//! | barrier and outbox of services | `participants` |
//! | rights of a login | `rights` |
//! | a saga that is started for it | `saga` |

mod ask;
mod check;
mod definitions;
mod examine;
mod orchestrator;
mod participants;
mod postgres;
mod readers;
mod report;
mod rights;
mod saga;
mod servers;
mod streams;
mod sync;

pub(crate) use examine::{Options, run};
pub(crate) use rights::Inspection;
