//! JetStream, and nothing else. It is a pipe that may lose, double and reorder: whatever is lost
//! here is sent again from Postgres.

mod caretaker;
mod delivery;
mod publish;
mod pull;
mod replay;
mod topology;
mod unreadable;

pub(crate) use caretaker::Caretaker;
pub(crate) use delivery::Delivery;
pub(crate) use publish::{Job, Publisher};
pub(crate) use pull::{Place, Pull};
pub(crate) use replay::Replays;
pub use topology::TopologyError;
pub(crate) use topology::{Topology, event_consumer, trigger_consumer};
