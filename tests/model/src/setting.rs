//! What an exploration is of: sagas, events, and how much may go wrong on one path.

use std::sync::Arc;

use amends::{
    Admitted, Definition, DefinitionError, Json, Saga, SagaId, Task, machine::Time, turn::Start,
};

use crate::{
    act::Act,
    bug::Bug,
    happened::{Happened, Tally},
};

/// When every exploration begins.
const EPOCH_MS: i64 = 1_700_000_000_000;

/// How often each thing may happen on one path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// A message is lost.
    pub(crate) drops: u8,
    /// A message is delivered twice.
    pub(crate) doubles: u8,
    /// A replica dies.
    pub(crate) crashes: u8,
    /// A commit has no answer.
    pub(crate) unknowns: u8,
    /// A service says no.
    pub(crate) rejections: u8,
    /// An attempt breaks.
    pub(crate) breaks: u8,
    /// A service accepts, and answers later.
    pub(crate) deferrals: u8,
    /// A timer fires early.
    pub(crate) early: u8,
    /// Time passes while a message is under way, or a timer due.
    pub(crate) late: u8,
    /// Others go on while a timer's turn is under way.
    pub(crate) slow: u8,
    /// An operator acts.
    pub(crate) acts: u8,
    /// Two messages are decided in one batch.
    pub(crate) pairs: u8,
}

/// One saga that may begin.
pub(crate) struct SagaSpec {
    pub(crate) definition: Arc<Definition>,
    pub(crate) id: SagaId,
    pub(crate) key: Option<String>,
    pub(crate) locks: Vec<String>,
    pub(crate) input: Json,
    /// The saga and the step that it is.
    pub(crate) parent: Option<(usize, String)>,
}

/// What is explored.
pub(crate) struct Setting {
    /// What it is called.
    pub(crate) name: &'static str,
    pub(crate) sagas: Vec<SagaSpec>,
    /// The orders whose payments are told.
    pub(crate) events: Vec<u32>,
    pub(crate) budget: Budget,
    /// What operators may do, and to which saga.
    pub(crate) acts: Vec<(usize, ActKind)>,
    pub(crate) reaches: Vec<Happened>,
    pub(crate) bug: Option<Bug>,
    /// How often each rare event happened.
    pub(crate) tally: Tally,
}

/// What operators may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActKind {
    /// An act that needs nothing else.
    Plain(Act),
    /// Skip what is open.
    Skip,
    /// Say how what is open ended.
    Resolve,
}

impl Setting {
    /// Nothing goes wrong, and there are no sagas.
    pub(crate) fn new(name: &'static str, budget: Budget) -> Self {
        let (sagas, events, acts) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            name,
            sagas,
            events,
            budget,
            acts,
            reaches: Vec::new(),
            bug: None,
            tally: Tally::default(),
        }
    }

    /// With a trigger that starts such a saga.
    ///
    /// # Errors
    /// The plan is none.
    pub(crate) fn saga<S: Saga>(mut self, order: u32) -> Result<Self, DefinitionError> {
        let definition = Arc::new(Definition::of::<S>()?);
        let sequence = self.sagas.len() as u64 + 1;
        let id = SagaId::from_message(S::NAME, "AMENDS_EVENTS", sequence, epoch());
        let input = Json::trusted(&order.to_string());
        let Admitted { key, locks } = definition.admit(&input).unwrap_or_default();
        self.sagas.push(SagaSpec { definition, id, key, locks, input, parent: None });
        Ok(self)
    }

    /// The sagas that are steps of others come after all that triggers start.
    pub(crate) fn nested(mut self) -> Self {
        let mut at = 0;
        while at < self.sagas.len() {
            let outer = &self.sagas[at];
            let mut inner = Vec::new();
            for (n, step) in outer.definition.outline().steps.iter().enumerate() {
                if let (Task::Saga { .. }, Some(child)) = (&step.task, outer.definition.child(n)) {
                    inner.push(SagaSpec {
                        definition: Arc::clone(child),
                        id: SagaId::nested(outer.id, &step.name),
                        key: None,
                        locks: Vec::new(),
                        input: outer.input.clone(),
                        parent: Some((at, step.name.clone())),
                    });
                }
            }
            self.sagas.extend(inner);
            at += 1;
        }
        self
    }

    /// An operator may do this to a saga.
    pub(crate) fn act(mut self, saga: usize, kind: ActKind) -> Self {
        self.acts.push((saga, kind));
        self
    }

    /// The payment of an order is told.
    pub(crate) fn event(mut self, order: u32) -> Self {
        self.events.push(order);
        self
    }

    /// This must happen on some path.
    pub(crate) fn reaches(mut self, happened: &[Happened]) -> Self {
        self.reaches.extend(happened);
        self
    }

    /// With a bug in the driver.
    #[cfg(test)]
    pub(crate) fn with(self, bug: Bug) -> Self {
        Self { bug: Some(bug), ..self }
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Where a saga stands. All that there can be are known.
    pub(crate) fn position(&self, id: SagaId) -> usize {
        self.sagas.iter().position(|saga| saga.id == id).unwrap_or(usize::MAX)
    }

    /// A trigger as it is read.
    pub(crate) fn start(&self, saga: usize) -> Start {
        let SagaSpec { definition, key, locks, input, .. } = &self.sagas[saga];
        Start {
            definition: Arc::clone(definition),
            key: key.clone(),
            locks: locks.clone(),
            input: input.clone(),
            trace: None,
        }
    }

    /// The name of a step, or of an element of a list.
    pub(crate) fn step(&self, saga: usize, state: &amends::machine::State, step: u8) -> String {
        state.name(self.sagas[saga].definition.outline(), usize::from(step))
    }
}

/// The beginning of time.
pub(crate) fn epoch() -> Time {
    Time::from_timestamp_millis(EPOCH_MS).unwrap_or_default()
}
