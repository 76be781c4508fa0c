//! The saga machine: `decide(definition, state, event, now)` says what an event means, as facts to
//! record and commands to send. A saga's state is the fold of its facts ([`State::apply`]).
//!
//! ```text
//!           action                                  compensation
//!   idle ─▶ in flight ─▶ done                idle ─▶ in flight ─▶ done
//!            │  ▲   ├──▶ rejected                     │  ▲   ├──▶ given up (saga stuck)
//!            ▼  │   ├──▶ unknown (is compensated)     ▼  │   └──▶ pending
//!           backoff └──▶ pending, given up           backoff
//! ```
//!
//! The terms are Garcia-Molina and Salem's (Sagas, 1987) and Richardson's (Microservices Patterns,
//! ch. 4); that an unknown outcome is compensated is ours.

mod advance;
mod attempt;
pub(crate) mod backward;
mod builder;
mod command;
mod decide;
mod event;
mod fact;
mod fold;
mod forward;
mod nested;
mod operator;
mod reply;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod timer;
mod values;
mod waits;

pub use command::{Command, command};
pub use decide::{decide, start};
pub use event::{
    Arrival, ChildEnd, Decision, Event, OperatorAct, OperatorCommand, ReplyEvent, Turn, Unexpected,
};
pub use fact::{Fact, Failure, Kind, Next, Send, Status, Time, UnknownWord};
pub use nested::{ChildOrder, child, child_id, open_children};
pub use state::{OpState, OutputState, Phase, State, StepState};
pub use waits::{Wait, waits};
