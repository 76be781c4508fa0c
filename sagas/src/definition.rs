//! A definition: an outline, and the functions that compute what flows between its steps.

use std::fmt;

use crate::{
    Json, JsonError,
    machine::State,
    name::{self, NameError},
    outline::Outline,
    plan::{CheckOutput, Env, Eval, Given, MapError, Plan, Saga, evaluate},
};

/// Longest business key, in bytes.
pub const KEY_BYTES_MAX: usize = 256;

/// Most steps in one definition: a saga's state is read and written whole.
pub const STEPS_MAX: usize = 256;

type Admit = Box<dyn Fn(&Json) -> Result<Option<String>, InputError> + Send + Sync>;

/// A saga definition, ready to run.
pub struct Definition {
    outline: Outline,
    digest: String,
    admit: Admit,
    inputs: Vec<Eval>,
    outputs: Vec<CheckOutput>,
    output: Eval,
}

impl Definition {
    /// Writes down the plan of `S` and checks it.
    ///
    /// # Errors
    /// [`DefinitionError`] with the first thing that is wrong.
    pub fn of<S: Saga>() -> Result<Self, DefinitionError> {
        let trigger = S::trigger();
        let finished = S::plan(Plan::new(), Given::input());
        let outline = Outline {
            name: S::NAME.to_owned(),
            version: S::VERSION,
            trigger: trigger.subject,
            keyed: trigger.key.is_some(),
            steps: finished.draft.steps,
            output_needs: finished.output_needs,
        };
        check(&outline).map_err(|kind| DefinitionError { definition: S::NAME.to_owned(), kind })?;
        let key = trigger.key;
        Ok(Self {
            digest: outline.digest(),
            outline,
            admit: Box::new(move |json| admit(json, key)),
            inputs: finished.draft.inputs,
            outputs: finished.draft.outputs,
            output: finished.output,
        })
    }

    /// A definition made by hand: the tests draw outlines at random.
    #[cfg(test)]
    pub(crate) fn of_parts(outline: Outline, inputs: Vec<Eval>, output: Eval) -> Self {
        let admit: Admit = Box::new(|_| Ok(None));
        let outputs = Vec::new();
        Self { digest: outline.digest(), outline, admit, inputs, outputs, output }
    }

    /// The plan as data.
    #[must_use]
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// [`Outline::digest`].
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Checks a trigger's body and finds its business key.
    ///
    /// # Errors
    /// [`InputError`] when the body does not fit the definition's input, or the key is unusable.
    pub fn admit(&self, input: &Json) -> Result<Option<String>, InputError> {
        (self.admit)(input)
    }

    pub(crate) fn step_input(&self, step: usize, state: &State) -> Result<Json, MapError> {
        with_env(state, |env| evaluate(&self.inputs[step], env))
    }

    /// Whether a step's output is of its type.
    pub(crate) fn check_output(&self, step: usize, output: &Json) -> Result<(), JsonError> {
        self.outputs.get(step).map_or(Ok(()), |check| check(output))
    }

    pub(crate) fn output(&self, state: &State) -> Result<Json, MapError> {
        with_env(state, |env| evaluate(&self.output, env))
    }
}

fn with_env<T>(state: &State, f: impl FnOnce(&Env<'_>) -> T) -> T {
    let output = |step: usize| state.steps.get(step).and_then(|s| s.output.as_ref());
    f(&Env { input: &state.input, output: &output })
}

fn admit<T: serde::de::DeserializeOwned>(
    json: &Json,
    key: Option<fn(&T) -> String>,
) -> Result<Option<String>, InputError> {
    let input: T = json.read().map_err(InputError::Shape)?;
    let Some(key) = key else { return Ok(None) };
    let key = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| key(&input)))
        .map_err(|_| InputError::Key)?;
    let usable =
        !key.is_empty() && key.len() <= KEY_BYTES_MAX && !key.chars().any(char::is_control);
    usable.then_some(Some(key)).ok_or(InputError::Key)
}

fn check(outline: &Outline) -> Result<(), DefinitionErrorKind> {
    name::check_name("definition", &outline.name)?;
    name::check_subject(&outline.trigger)?;
    if outline.version == 0 || i32::try_from(outline.version).is_err() {
        return Err(DefinitionErrorKind::Version);
    }
    if outline.steps.is_empty() || outline.steps.len() > STEPS_MAX {
        return Err(DefinitionErrorKind::Steps(outline.steps.len()));
    }
    for (at, step) in outline.steps.iter().enumerate() {
        name::check_step(&step.name)?;
        name::check_name("service", &step.service)?;
        name::check_name("operation", &step.operation)?;
        if outline.position(&step.name) != Some(at) {
            return Err(DefinitionErrorKind::Twice(step.name.clone()));
        }
    }
    Ok(())
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}#{}", self.outline.name, self.outline.version, self.digest)
    }
}

/// Why a trigger cannot start a saga.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The body does not fit.
    #[error("the body does not fit the definition's input: {0}")]
    Shape(JsonError),
    /// No usable key.
    #[error("the business key must have 1 to {KEY_BYTES_MAX} bytes and no control characters")]
    Key,
}

/// Why a definition cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the saga definition `{definition}` cannot be used: {kind}")]
pub struct DefinitionError {
    /// Its name.
    pub definition: String,
    /// What is wrong.
    pub kind: DefinitionErrorKind,
}

/// What is wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionErrorKind {
    /// A name that cannot enter a subject or an id.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Two steps of one name.
    #[error("two steps are called `{0}`: give one another name with `.named(…)`")]
    Twice(String),
    /// No step, or too many.
    #[error("it has {0} steps; 1 to {STEPS_MAX} are allowed")]
    Steps(usize),
    /// Version 0, or too large.
    #[error("its version must be 1 to 2147483647")]
    Version,
}
