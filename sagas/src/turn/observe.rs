//! An observer of decisions.

use crate::{
    SagaId,
    machine::{Decision, Event, Time, Turn},
};

use super::Instance;

/// Is shown each decision before it is taken into the batch. There is none in production; that of the
/// fault matrix judges them.
pub trait Observe {
    /// A saga begins with this turn.
    fn started(&mut self, _saga: SagaId, _turn: &Turn) {}

    /// The machine answered an event with this decision.
    fn decided(&mut self, _before: &Instance, _event: &Event, _now: Time, _decision: &Decision) {}
}

impl Observe for () {}
