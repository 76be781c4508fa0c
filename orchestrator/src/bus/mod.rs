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
mod survey;
mod topology;
mod unread;
mod upkeep;

pub(crate) use delivery::{Delivery, message_source};
pub use error::TopologyError;
pub(crate) use limit::context;
pub(crate) use probe::{Probe, store_once};
pub(crate) use publish::send;
pub(crate) use pull::{Pull, Source};
pub(crate) use raw::{RawMessage, delete};
pub use settings::Difference;
pub(crate) use shares::Shares;
pub use survey::{Part, PartKind};
pub(crate) use topology::{Topology, event_consumer, trigger_consumer};
