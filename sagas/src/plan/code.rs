//! The functions of a step, beside its outline.

use std::sync::Arc;

use super::Eval;
use crate::{Definition, DefinitionError, Json, JsonError};

/// Whether a step's output fits its type.
pub(crate) type CheckOutput = fn(&Json) -> Result<(), JsonError>;

/// What in an event names the saga that waits for it.
pub(crate) type Matches = Box<dyn Fn(&Json) -> Result<String, JsonError> + Send + Sync>;

/// What a step is given.
pub(crate) enum Input {
    /// What a mapping computes.
    Eval(Eval),
    /// The saga's business key.
    Key,
    /// Nothing.
    Nothing,
}

/// The functions of a step.
pub(crate) struct StepCode {
    pub(crate) input: Input,
    pub(crate) condition: Option<Eval>,
    pub(crate) check_output: CheckOutput,
    pub(crate) matches: Option<Matches>,
    pub(crate) child: Option<Result<Arc<Definition>, DefinitionError>>,
}

impl StepCode {
    pub(crate) const fn new(check_output: CheckOutput) -> Self {
        Self { input: Input::Nothing, condition: None, check_output, matches: None, child: None }
    }
}
