//! A definition: an outline, and the functions that compute what flows between its steps.

use std::{cell::Cell, collections::BTreeSet, fmt, sync::Arc, time::Duration};

use serde::de::DeserializeOwned;

use crate::{
    Json, JsonError, StepKind, StepOutline,
    machine::{State, StepState},
    name::{self, NameError},
    outline::{OWN_SERVICE, Outline, Task, element_name},
    plan::{
        self, ELEMENTS_MAX, Env, Eval, Given, Input, MapError, Plan, Saga, StepCode, Trigger,
        evaluate,
    },
};

/// Shortest deadline of a saga: a shorter one would be over before an answer can come.
const DEADLINE_MIN: Duration = Duration::from_secs(1);

/// Longest business key, in bytes.
pub const KEY_BYTES_MAX: usize = 256;

/// Most steps in one definition: a saga's state is read and written whole.
pub const STEPS_MAX: usize = 256;

/// Most locks of one definition.
pub const LOCKS_MAX: usize = 8;

/// How deep sagas may be nested.
const NESTING_MAX: u32 = 8;

/// What a trigger's body says about the saga that it starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Its business key.
    pub key: Option<String>,
    /// The locks that it takes, each once, in order of their names.
    pub locks: Vec<String>,
}

type Admit = Box<dyn Fn(&Json) -> Result<Admitted, InputError> + Send + Sync>;

/// A saga definition, ready to run.
pub struct Definition {
    outline: Outline,
    digest: String,
    admit: Admit,
    code: Vec<StepCode>,
    output: Eval,
}

thread_local! {
    /// How deep definitions are being built within each other.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

impl Definition {
    /// Writes down the plan of `S` and checks it.
    ///
    /// # Errors
    /// [`DefinitionError`] with the first thing that is wrong.
    pub fn of<S: Saga>() -> Result<Self, DefinitionError> {
        let wrong = |kind| DefinitionError { definition: S::NAME.to_owned(), kind };
        let depth = DEPTH.get();
        if depth >= NESTING_MAX {
            return Err(wrong(DefinitionErrorKind::Nesting));
        }
        DEPTH.set(depth + 1);
        let finished = S::plan(Plan::new(), Given::input());
        DEPTH.set(depth);
        let trigger = S::trigger();
        let outline = Outline {
            name: S::NAME.to_owned(),
            version: S::VERSION,
            trigger: trigger.subject.clone(),
            keyed: trigger.key.is_some(),
            locks: u32::try_from(trigger.locks.len()).unwrap_or(u32::MAX),
            deadline_ms: S::deadline().map(|deadline| plan::millis(deadline.max(DEADLINE_MIN))),
            steps: finished.draft.steps,
            output_needs: finished.output_needs,
        };
        let code = finished.draft.code;
        check(&outline, &code).map_err(wrong)?;
        Ok(Self {
            digest: outline.digest(),
            outline,
            admit: Box::new(move |json| admit(json, &trigger)),
            code,
            output: finished.output,
        })
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
    /// [`InputError`] when the event does not fit the step's type, or names nothing usable.
    pub fn matches(&self, step: usize, event: &Json) -> Result<String, InputError> {
        let matches = self.code.get(step).and_then(|code| code.matches.as_ref());
        let matches = matches.ok_or(InputError::Match)?;
        let key = caught(|| matches(event)).ok_or(InputError::Match)?.map_err(InputError::Shape)?;
        usable(key).ok_or(InputError::Match)
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
    pub(crate) fn condition(&self, step: usize, state: &State) -> Result<bool, MapError> {
        let Some(condition) = &self.code[step].condition else { return Ok(true) };
        with_env(state, |env| evaluate(condition, env)).map(|holds| holds.as_str() == "true")
    }

    pub(crate) fn step_input(&self, step: usize, state: &State) -> Result<Json, MapError> {
        // An element's input comes with its list.
        let code = self.code.get(step).ok_or_else(MapError::no_element)?;
        match &code.input {
            Input::Eval(eval) => with_env(state, |env| evaluate(eval, env)),
            Input::Nothing => Ok(Json::null()),
            Input::Key => {
                let admitted = self.admit(&state.input).ok().and_then(|admitted| admitted.key);
                admitted.and_then(|key| Json::of(&key).ok()).ok_or_else(MapError::no_key)
            }
        }
    }

    /// Whether a step's output is of its type.
    pub(crate) fn check_output(&self, step: usize, output: &Json) -> Result<(), JsonError> {
        (self.code[step].check_output)(output)
    }

    pub(crate) fn output(&self, state: &State) -> Result<Json, MapError> {
        with_env(state, |env| evaluate(&self.output, env))
    }
}

fn with_env<T>(state: &State, f: impl FnOnce(&Env<'_>) -> T) -> T {
    let output = |step: usize| state.steps.get(step).and_then(|s| s.output.as_ref());
    let omitted = |step: usize| state.steps.get(step).is_some_and(StepState::omitted);
    f(&Env { input: &state.input, output: &output, omitted: &omitted })
}

fn admit<T: DeserializeOwned>(json: &Json, trigger: &Trigger<T>) -> Result<Admitted, InputError> {
    let input: T = json.read().map_err(InputError::Shape)?;
    let name = |name: fn(&T) -> String| caught(|| name(&input)).and_then(usable);
    let key = trigger.key.map(|key| name(key).ok_or(InputError::Key)).transpose()?;
    let locks = trigger.locks.iter().map(|lock| name(*lock).ok_or(InputError::Lock));
    let locks: BTreeSet<String> = locks.collect::<Result<_, _>>()?;
    Ok(Admitted { key, locks: locks.into_iter().collect() })
}

/// Runs a user's function: its panic must not take the other sagas of a lane along.
fn caught<T>(f: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).ok()
}

/// A business key that can be used.
///
/// # Errors
/// [`InputError::Key`] when it is empty, longer than [`KEY_BYTES_MAX`], or holds control characters.
pub fn usable_key(key: String) -> Result<String, InputError> {
    usable(key).ok_or(InputError::Key)
}

fn usable(name: String) -> Option<String> {
    let fits = (1..=KEY_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    fits.then_some(name)
}

fn check(outline: &Outline, code: &[StepCode]) -> Result<(), DefinitionErrorKind> {
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
    for (at, (step, code)) in outline.steps.iter().zip(code).enumerate() {
        check_step(outline, at, step)?;
        check_code(outline, step, code)?;
    }
    Ok(())
}

fn check_step(outline: &Outline, at: usize, step: &StepOutline) -> Result<(), DefinitionErrorKind> {
    name::check_step(&step.name)?;
    name::check_name("service", &step.service)?;
    name::check_name("operation", &step.operation)?;
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
    Ok(())
}

fn check_code(
    outline: &Outline,
    step: &StepOutline,
    code: &StepCode,
) -> Result<(), DefinitionErrorKind> {
    if let Task::Event { subject } = &step.task {
        name::check_subject(subject)?;
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
    /// Nothing usable to match an event by.
    #[error(
        "what an event is matched by must have 1 to {KEY_BYTES_MAX} bytes and no control characters"
    )]
    Match,
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
