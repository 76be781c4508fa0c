//! What operators look at, and do.
//!
//! | to read | start at |
//! |---|---|
//! | sagas: a table, one told from its start, a live overview | `list`, `show`, `top` |
//! | acts on one saga, and on all that a query finds | `act`, `bulk` |
//! | what a cancellation would undo, and that or nothing | `cancel` |
//! | a saga without a message | `start` |
//! | messages that could not be used, kept or only counted | `letters`, `dropped_letters` |
//! | who holds which lock, which versions start sagas | `locks`, `versions` |
//! | what people did, and why; whether that is as it was written | `audit`, `verify` |
//! | a saga's row, steps and facts, for those above | `saga` |
//! | the names that a filter may have | `known` |
//! | whether this login sees inputs, outputs and bodies | `payloads` |
//! | an act's verb, and what an orchestrator decided about it | `verb`, `decision` |

pub(crate) mod act;
pub(crate) mod audit;
pub(crate) mod bulk;
pub(crate) mod cancel;
mod decision;
pub(crate) mod dropped_letters;
mod known;
pub(crate) mod letters;
pub(crate) mod list;
pub(crate) mod locks;
mod patience;
mod payloads;
mod saga;
pub(crate) mod show;
pub(crate) mod start;
pub(crate) mod top;
pub(crate) mod verb;
pub(crate) mod verify;
pub(crate) mod versions;

pub use show::transcript;
