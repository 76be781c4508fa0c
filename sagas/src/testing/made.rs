//! Definitions that are made at run time: their plan is data, their functions work on JSON.

use std::sync::Arc;

use crate::{
    Admitted, Definition, DefinitionErrorKind, InputError, Json, JsonError, Outline, StepOutline,
    Task,
    definition::{Input, StepCode},
    given::{Env, Eval, MapError},
};

/// What is made of the values that are needed, in the order of the outline's `needs`: `null` for a
/// step that was omitted.
pub type Mapping<T> = Box<dyn Fn(&[Json]) -> T + Send + Sync>;

/// What names the saga that an event is for.
pub type Matching = Box<dyn Fn(&Json) -> Result<String, JsonError> + Send + Sync>;

/// What finds business key and locks in a trigger's body.
pub type Admitting = Box<dyn Fn(&Json) -> Result<Admitted, InputError> + Send + Sync>;

/// The functions of a step.
pub struct StepFunctions {
    /// What it is given: of a list an array, of an await the key, of a delay until a time that time.
    pub input: Mapping<Json>,
    /// Whether it runs, if it has a condition.
    pub condition: Option<Mapping<bool>>,
    /// What names the saga, if it waits for an event.
    pub matches: Option<Matching>,
    /// The saga that it is, if it is one.
    pub nested: Option<Arc<Definition>>,
}

/// A definition of an outline, with these functions of each step. Plans that are drawn at random have
/// no types; whatever a step answers is of its type.
///
/// # Errors
/// What is wrong with the outline, as for a plan that is written down.
pub fn definition(
    outline: Outline,
    functions: impl FnMut(&StepOutline) -> StepFunctions,
    output: Mapping<Json>,
    admit: Admitting,
) -> Result<Definition, DefinitionErrorKind> {
    let code = outline.steps.iter().map(functions).zip(&outline.steps);
    let code = code.map(|(functions, step)| code_of(&outline, step, functions)).collect();
    let output = reading(&outline, &outline.output_needs, output);
    Definition::new(outline, code, output, admit)
}

fn code_of(outline: &Outline, step: &StepOutline, functions: StepFunctions) -> StepCode {
    let StepFunctions { input, condition, matches, nested } = functions;
    let truth = |condition: Mapping<bool>| -> Mapping<Json> {
        Box::new(move |values| Json::trusted(if condition(values) { "true" } else { "false" }))
    };
    let reads = step.condition.as_deref().unwrap_or_default();
    StepCode {
        input: match step.task {
            Task::Delay { .. } => Input::Nothing,
            _ => Input::Eval(reading(outline, &step.needs, input)),
        },
        condition: condition.map(|condition| reading(outline, reads, truth(condition))),
        matches,
        child: nested.map(Ok),
        ..StepCode::new(|_| Ok(()))
    }
}

/// A mapping over the values of these names: `input`, or a step.
fn reading(outline: &Outline, needs: &[String], map: Mapping<Json>) -> Eval {
    let sources: Vec<_> = needs.iter().map(|need| outline.position(need)).collect();
    Box::new(move |env| {
        let values = sources.iter().map(|source| value(env, *source));
        Ok(map(&values.collect::<Result<Vec<_>, _>>()?))
    })
}

fn value(env: &Env<'_>, source: Option<usize>) -> Result<Json, MapError> {
    match source {
        None => Ok(env.input.clone()),
        Some(step) if (env.omitted)(step) => Ok(Json::null()),
        Some(step) => (env.output)(step).cloned().ok_or_else(MapError::no_output),
    }
}
