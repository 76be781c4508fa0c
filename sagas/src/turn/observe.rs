//! Who sees decisions as they are made.

use crate::{
    SagaId,
    machine::{Decision, Event, Time, Turn},
};

use super::Instance;

/// Sees each decision, before it is taken into the batch. Nobody does in production; the fault matrix
/// judges them.
pub trait Observe {
    /// A saga begins with this turn.
    fn started(&mut self, _saga: SagaId, _turn: &Turn) {}

    /// The machine answered an event with this decision.
    fn decided(&mut self, _before: &Instance, _event: &Event, _now: Time, _decision: &Decision) {}
}

impl Observe for () {}
