//! A definition: an outline, and the functions that compute what flows between its steps.

use std::{fmt, sync::Arc};

use crate::{
    Json, JsonError, StepKind, StepOutline,
    given::{Env, Eval, MapError, evaluate},
    name::{self, NameError},
    outline::{ELEMENTS_MAX, OWN_SERVICE, Outline, Task, element_name},
    panic::caught,
};

/// Longest business key, in bytes.
pub const KEY_BYTES_MAX: usize = 256;

/// Most steps in one definition: a saga's state is read and written whole.
pub const STEPS_MAX: usize = 256;

/// Largest plan as it is stored: [`STEPS_MAX`] steps with names of their own, and all that each is made of.
const OUTLINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most locks of one definition.
pub const LOCKS_MAX: usize = 8;

/// How deep sagas may be nested.
pub(crate) const NESTING_MAX: u32 = 8;

/// What a trigger's body says about the saga that it starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Its business key.
    pub key: Option<String>,
    /// The locks that it takes, each once, in order of their names.
    pub locks: Vec<String>,
}

pub(crate) type Admit = Box<dyn Fn(&Json) -> Result<Admitted, InputError> + Send + Sync>;

/// A saga definition, ready to run.
///
/// ```
/// # use amends::{Definition, Saga};
/// /// The plan as text, and whether it would start a saga with this body.
/// fn try_out<S: Saga>(body: &str) -> Result<String, Box<dyn std::error::Error>> {
///     let definition = Definition::of::<S>()?;
///     let admitted = definition.admit(&amends::Json::parse(body.as_bytes())?)?;
///     Ok(format!("{}starts a saga of the key {:?}", definition.outline(), admitted.key))
/// }
/// ```
pub struct Definition {
    outline: Outline,
    digest: String,
    admit: Admit,
    code: Vec<StepCode>,
    output: Eval,
}

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

impl Definition {
    /// What a plan has written down, once it is checked.
    pub(crate) fn new(
        outline: Outline,
        code: Vec<StepCode>,
        output: Eval,
        admit: Admit,
    ) -> Result<Self, DefinitionErrorKind> {
        check(&outline, &code)?;
        Ok(Self { digest: outline.digest(), outline, admit, code, output })
    }

    /// A definition made by hand: the tests draw outlines at random.
    #[cfg(test)]
    pub(crate) fn of_parts(outline: Outline, code: Vec<StepCode>, output: Eval) -> Self {
        let admit: Admit = Box::new(|_| Ok(Admitted::default()));
        Self { digest: outline.digest(), outline, admit, code, output }
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

    /// Checks a trigger's body, and finds the business key and the locks.
    ///
    /// # Errors
    /// [`InputError`] when the body does not fit the definition's input, or a name is unusable.
    pub fn admit(&self, input: &Json) -> Result<Admitted, InputError> {
        (self.admit)(input)
    }

    /// What in an event names the saga whose step `step` waits for it.
    ///
    /// # Errors
    /// [`AwaitedError`] when the event does not fit the step's type, or names nothing usable.
    pub fn matches(&self, step: usize, event: &Json) -> Result<String, AwaitedError> {
        let wrong = |kind| {
            let name = self.outline.steps.get(step).map_or("", |step| &step.name);
            AwaitedError { definition: self.outline.name.clone(), step: name.to_owned(), kind }
        };
        let matches = self.code.get(step).and_then(|code| code.matches.as_ref());
        let matches = matches.ok_or_else(|| wrong(AwaitedErrorKind::Match))?;
        let key = caught("its function `.matching(…)`", || matches(event));
        let key = key.map_err(|why| wrong(AwaitedErrorKind::Panicked(why)))?;
        let key = key.map_err(|error| wrong(AwaitedErrorKind::Shape(error)))?;
        usable(key).ok_or_else(|| wrong(AwaitedErrorKind::Match))
    }

    /// The definition of the saga that is the step `step`.
    #[must_use]
    pub fn child(&self, step: usize) -> Option<&Arc<Self>> {
        self.code.get(step)?.child.as_ref()?.as_ref().ok()
    }

    /// The definitions of the nested sagas, and of theirs.
    #[must_use]
    pub fn children(&self) -> Vec<Arc<Self>> {
        let direct = (0..self.code.len()).filter_map(|step| self.child(step));
        direct.flat_map(|child| [vec![Arc::clone(child)], child.children()].concat()).collect()
    }

    /// Whether the step's condition holds; a step without one always runs.
    pub(crate) fn condition(&self, step: usize, env: &Env<'_>) -> Result<bool, MapError> {
        let Some(condition) = &self.code[step].condition else { return Ok(true) };
        evaluate(condition, env).map(|holds| holds.as_str() == "true")
    }

    pub(crate) fn step_input(&self, step: usize, env: &Env<'_>) -> Result<Json, MapError> {
        // An element's input comes with its list.
        let code = self.code.get(step).ok_or_else(MapError::no_element)?;
        match &code.input {
            Input::Eval(eval) => evaluate(eval, env),
            Input::Nothing => Ok(Json::null()),
            Input::Key => {
                let admitted = self.admit(env.input).ok().and_then(|admitted| admitted.key);
                admitted.and_then(|key| Json::of(&key).ok()).ok_or_else(MapError::no_key)
            }
        }
    }

    /// Whether a step's output is of its type.
    pub(crate) fn check_output(&self, step: usize, output: &Json) -> Result<(), JsonError> {
        (self.code[step].check_output)(output)
    }

    pub(crate) fn output(&self, env: &Env<'_>) -> Result<Json, MapError> {
        evaluate(&self.output, env)
    }
}

/// A business key that can be used.
///
/// # Errors
/// [`InputError::Key`] when it is empty, longer than [`KEY_BYTES_MAX`], or holds control characters.
pub fn usable_key(key: String) -> Result<String, InputError> {
    usable(key).ok_or(InputError::Key)
}

pub(crate) fn usable(name: String) -> Option<String> {
    let fits = (1..=KEY_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    fits.then_some(name)
}

/// Reads a plan as a definition stores it. Who may write to the database may have written any: what no definition
/// can have is refused, so that whatever is done with it has the limits of one.
///
/// # Errors
/// [`OutlineError`].
pub fn read_outline(text: &str) -> Result<Outline, OutlineError> {
    if text.len() > OUTLINE_BYTES_MAX {
        return Err(OutlineError::TooLarge(text.len()));
    }
    let outline =
        serde_json::from_str(text).map_err(|error| OutlineError::Json(error.to_string()))?;
    check_outline(&outline)?;
    Ok(outline)
}

fn check(outline: &Outline, code: &[StepCode]) -> Result<(), DefinitionErrorKind> {
    check_outline(outline)?;
    for (step, code) in outline.steps.iter().zip(code) {
        check_code(outline, step, code)?;
    }
    Ok(())
}

/// What can be told of a plan without its code.
fn check_outline(outline: &Outline) -> Result<(), DefinitionErrorKind> {
    name::check_name("definition", &outline.name)?;
    name::check_subject(&outline.trigger)?;
    if outline.version == 0 || i32::try_from(outline.version).is_err() {
        return Err(DefinitionErrorKind::Version);
    }
    if outline.steps.is_empty() || outline.steps.len() > STEPS_MAX {
        return Err(DefinitionErrorKind::Steps(outline.steps.len()));
    }
    if outline.locks as usize > LOCKS_MAX {
        return Err(DefinitionErrorKind::Locks(outline.locks));
    }
    let mut next = 0;
    for (at, step) in outline.steps.iter().enumerate() {
        check_step(outline, at, step)?;
        if step.stage != next && Some(step.stage) != next.checked_sub(1) {
            return Err(DefinitionErrorKind::Stage(step.name.clone()));
        }
        next = step.stage.saturating_add(1);
    }
    check_needs(&outline.output_needs)
}

fn check_needs(needs: &[String]) -> Result<(), DefinitionErrorKind> {
    // All steps, and the input.
    if needs.len() > STEPS_MAX + 1 {
        return Err(DefinitionErrorKind::Needs(needs.len()));
    }
    needs.iter().try_for_each(|name| Ok(name::check_step(name)?))
}

fn check_step(outline: &Outline, at: usize, step: &StepOutline) -> Result<(), DefinitionErrorKind> {
    if step.task.is_call() {
        name::check_operation(&operation_name(step))?;
    }
    name::check_step(&step.name)?;
    if step.task.is_call() && step.service == OWN_SERVICE {
        return Err(DefinitionErrorKind::Reserved(step.name.clone()));
    }
    if step.each.is_some() {
        name::check_step(&element_name(&step.name, ELEMENTS_MAX - 1))?;
    }
    let twice = outline.position(&step.name) != Some(at)
        || outline.element(&step.name).is_some_and(|(list, _)| outline.steps[list].each.is_some());
    if twice {
        return Err(DefinitionErrorKind::Twice(step.name.clone()));
    }
    if let Task::Event { subject } = &step.task {
        name::check_subject(subject)?;
    }
    check_needs(&step.needs)?;
    check_needs(step.condition.as_deref().unwrap_or_default())
}

/// The operation of a service as its author wrote it: a name without a dot is all of it a service's.
fn operation_name(step: &StepOutline) -> String {
    match step.operation.as_str() {
        "" => step.service.clone(),
        operation => format!("{}.{operation}", step.service),
    }
}

fn check_code(
    outline: &Outline,
    step: &StepOutline,
    code: &StepCode,
) -> Result<(), DefinitionErrorKind> {
    if let Task::Event { .. } = &step.task {
        if code.matches.is_none() {
            return Err(DefinitionErrorKind::Unmatched(step.name.clone()));
        }
        if matches!(code.input, Input::Key) && !outline.keyed {
            return Err(DefinitionErrorKind::Keyless(step.name.clone()));
        }
    }
    let Some(child) = &code.child else { return Ok(()) };
    let child = child.as_ref().map_err(|error| error.kind.clone())?;
    if child.outline.locks > 0 {
        return Err(DefinitionErrorKind::NestedLock(child.outline.name.clone()));
    }
    let undoable = |s: &StepOutline| s.kind == StepKind::Compensatable;
    if step.kind == StepKind::Compensatable && !child.outline.steps.iter().all(undoable) {
        return Err(DefinitionErrorKind::NestedPivot(child.outline.name.clone()));
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
    /// No usable name of a lock.
    #[error("the name of a lock must have 1 to {KEY_BYTES_MAX} bytes and no control characters")]
    Lock,
    /// A function of the trigger panicked: which, and its message.
    #[error("{0}")]
    Panicked(String),
}

/// Why a step that waits for events cannot use one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the event that the step `{step}` of `{definition}` waits for cannot be used: {kind}")]
pub struct AwaitedError {
    /// The name of the definition.
    pub definition: String,
    /// The step's name.
    pub step: String,
    /// What is wrong.
    pub kind: AwaitedErrorKind,
}

/// What is wrong with an event that a step waits for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AwaitedErrorKind {
    /// The body does not fit the event's type.
    #[error("its body does not fit the type that the plan gives it: {0}")]
    Shape(JsonError),
    /// Nothing usable to match the event by.
    #[error(
        "the name that `.matching(…)` finds in it must have 1 to {KEY_BYTES_MAX} bytes and no control characters"
    )]
    Match,
    /// The function that is to find it panicked: its message.
    #[error("{0}")]
    Panicked(String),
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

/// Why a stored plan cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutlineError {
    /// Larger than any definition's.
    #[error("the plan has {0} bytes; at most {OUTLINE_BYTES_MAX} are allowed")]
    TooLarge(usize),
    /// No plan, or one that another version has written.
    #[error("the plan cannot be read: {0}")]
    Json(String),
    /// No definition has such a plan.
    #[error(transparent)]
    Wrong(#[from] DefinitionErrorKind),
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
    /// A stage that does not follow the one before it.
    #[error("`{0}` is of a stage that does not follow the one before it")]
    Stage(String),
    /// Something that is made of more than there is.
    #[error(
        "something is made of {0} values; it can be made of all {STEPS_MAX} steps and the input"
    )]
    Needs(usize),
    /// Version 0, or too large.
    #[error("its version must be 1 to 2147483647")]
    Version,
    /// Too many locks.
    #[error("it takes {0} locks; at most {LOCKS_MAX} are allowed")]
    Locks(u32),
    /// A service of the orchestrator's name.
    #[error(
        "`{0}` belongs to a service called `{OWN_SERVICE}`, which is the orchestrator's own name"
    )]
    Reserved(String),
    /// An event that nothing names.
    #[error(
        "`{0}` waits for an event that nothing names: say what in the event does with `.matching(…)`"
    )]
    Unmatched(String),
    /// An event for a saga without a key.
    #[error(
        "`{0}` waits for an event by the business key, and the trigger names none: give the trigger a key, or the step one with `.key(…)`"
    )]
    Keyless(String),
    /// A nested saga that takes locks.
    #[error("the nested saga `{0}` takes locks: let the outer saga take them")]
    NestedLock(String),
    /// A nested saga that cannot be undone, before the pivot.
    #[error(
        "the nested saga `{0}` has a pivot, so it cannot be undone: make it the pivot, or give it compensatable steps only"
    )]
    NestedPivot(String),
    /// A saga within itself.
    #[error("sagas are nested more than {NESTING_MAX} deep: does it contain itself?")]
    Nesting,
}

#[cfg(test)]
mod tests;
