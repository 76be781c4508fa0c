//! What is checked before a deploy, and drawn for who reads a plan.
//!
//! | to read | start at |
//! |---|---|
//! | whether the program fits together | `check` |
//! | a definition as a picture | `graph` |
//! | the program beside the database | `plan`, `assess` |
//! | the versions of definitions that the program has | `inventory` |
//! | those that the database has, and what changed from one to the next | `stored`, `changes` |
//! | the accounts and rights that they need in NATS | `nats_config` |

mod assess;
pub(crate) mod changes;
pub(crate) mod check;
pub(crate) mod graph;
mod inventory;
pub(crate) mod nats_config;
pub(crate) mod plan;
mod stored;

pub(crate) use assess::{Assessment, State};
