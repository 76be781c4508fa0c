//! What a saga knows, for the functions of its definition.

use super::{State, StepState};
use crate::given::Env;

/// Calls `f` with what the saga knows.
pub(super) fn with_env<T>(state: &State, f: impl FnOnce(&Env<'_>) -> T) -> T {
    let output = |step: usize| state.steps.get(step).and_then(|s| s.output.as_ref());
    let omitted = |step: usize| state.steps.get(step).is_some_and(StepState::omitted);
    f(&Env { input: &state.input, output: &output, omitted: &omitted })
}
