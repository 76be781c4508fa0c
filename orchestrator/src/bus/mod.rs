//! JetStream, and nothing else. It is a pipe that may lose, double and reorder: whatever is lost
//! here is sent again from Postgres.

mod delivery;
mod error;
mod hand;
mod limit;
mod probe;
mod publish;
mod pull;
mod raw;
mod requests;
mod settings;
mod shares;
mod standby;
mod topology;
mod unread;
mod upkeep;

pub(crate) use delivery::{Delivery, message_source};
pub use error::TopologyError;
pub(crate) use limit::context;
pub(crate) use probe::Probe;
pub(crate) use publish::send;
pub(crate) use pull::{Pull, Source};
pub(crate) use raw::{RawMessage, delete};
pub(crate) use shares::Shares;
pub(crate) use topology::{Topology, event_consumer, trigger_consumer};
