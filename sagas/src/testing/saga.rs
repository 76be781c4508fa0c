//! One saga in the simulated world.

use std::{collections::BTreeMap, sync::Arc};

use super::{checker::Checker, store::Store};
use crate::{
    AttemptId, Definition, Json, Op, SagaId, StepOutline,
    machine::{Event, OpState},
    turn::Instance,
};

/// Orchestrators.
pub(super) const REPLICAS: usize = 3;

/// One saga, as the database and the orchestrators know it.
pub(super) struct Saga {
    pub(super) definition: Arc<Definition>,
    pub(super) store: Store,
    /// What each orchestrator remembers of the saga; it may be outdated.
    pub(super) replicas: [Option<Instance>; REPLICAS],
    pub(super) checker: Checker,
    /// Attempts that were committed and not yet published, with the fact that sent them.
    pub(super) unpublished: Vec<(u32, AttemptId)>,
    /// The last change whose status event was published, by its fact.
    pub(super) announced: Option<u32>,
    /// Events that were new, and the first fact of each.
    pub(super) taken: Vec<(Event, u32)>,
    /// `effect()` of each operation that was sent.
    pub(super) effects: BTreeMap<(Arc<str>, Op), String>,
    /// How often operators had to get it going.
    pub(super) closed: u32,
    /// The saga and the step that it is.
    pub(super) outer: Option<(SagaId, String)>,
    /// What it answered.
    pub(super) output: Option<Json>,
}

impl Saga {
    pub(super) fn new(
        definition: &Arc<Definition>,
        id: SagaId,
        input: &Json,
        outer: Option<(SagaId, String)>,
    ) -> Self {
        Self {
            definition: Arc::clone(definition),
            store: Store::new(Arc::clone(definition), id, input.clone()),
            replicas: [const { None }; REPLICAS],
            checker: Checker::new(Arc::clone(definition)),
            unpublished: Vec::new(),
            announced: None,
            taken: Vec::new(),
            effects: BTreeMap::new(),
            closed: 0,
            outer,
            output: None,
        }
    }

    pub(super) fn plan(&self, id: &AttemptId) -> Option<&StepOutline> {
        let (outline, state) = (self.definition.outline(), self.store.state());
        let at = state.position(outline, &id.step)?;
        outline.steps.get(state.steps[at].plan)
    }

    pub(super) fn op(&self, id: &AttemptId) -> Option<&OpState> {
        let state = self.store.state();
        let at = state.position(self.definition.outline(), &id.step)?;
        Some(state.steps[at].op(id.op))
    }
}
