//! A batch of turns, decided without I/O: states, events and the time go in; rows, messages and timers
//! come out. What drives it (the orchestrator's lanes, the simulated ones of the fault matrix, scripts of
//! tests) only reads, writes and publishes:
//!
//! ```text
//! items ─▶ gather ─▶ Missing:    sagas and keys to read   ─▶ put, put_key
//!          woken  ─▶ InboxQuery: what may have come for    ─▶ inbox
//!                    sagas whose timer fired
//!       ─▶ decide, item by item ─▶ Disposition: what to publish, and whether to ack
//!       ─▶ finish ─▶ Outcome:    rows to write in one transaction, timers to set again,
//!                                instances to keep at hand
//! ```
//!
//! The order is commit the rows, publish, ack. The version check is the key (saga, seq) of the facts: a
//! batch that meets it was decided on an outdated state, and is decided again on what is stored. One
//! that may or may not have been written is decided again, too, and finds its work done.

mod acts;
mod batch;
mod inbox;
mod instance;
mod item;
mod observe;
mod rows;
mod start;
mod take;
#[cfg(test)]
mod tests;
mod timer;
mod woken;

pub use batch::{Batch, Missing, Outcome};
pub use inbox::{Inbox, InboxQuery, OpenAct, UnreadableAct};
pub use instance::{Instance, Stored, Unreadable};
pub use item::{Disposition, Due, Input, Item, KeyHolder, Message, Request, Start};
pub use observe::Observe;
pub use rows::{Change, DecidedAct, DecidedStart, NewSaga, NewWait, Rearm, Rows, Timer};
