//! Explores what can happen to one or two sagas, with `stateright`: every order of messages, timers,
//! crashes, lost and doubled messages and operators' acts, as many as a setting allows. What is decided
//! of them the production function decides, `amends::turn::Batch`; streams, Postgres, services and
//! clock are a model, small enough that two worlds can be told alike.

mod act;
mod bug;
mod database;
mod explore;
mod happened;
mod judge;
mod message;
mod model;
mod moves;
mod orchestrator;
mod participants;
mod plans;
mod run;
mod setting;
mod settings;
mod stored;
mod watch;
mod world;

pub use run::run;

#[cfg(test)]
mod tests;
