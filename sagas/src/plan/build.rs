//! From a saga's type to its definition.

use std::{cell::Cell, collections::BTreeSet, time::Duration};

use serde::de::DeserializeOwned;

use super::{Plan, Saga, Trigger};
use crate::{
    Admitted, Definition, DefinitionError, DefinitionErrorKind, Given, InputError, Json, Outline,
    definition::{Admit, NESTING_MAX, usable},
    duration::millis,
    panic::caught,
};

/// Shortest deadline of a saga: a shorter one would be over before an answer can come.
const DEADLINE_MIN: Duration = Duration::from_secs(1);

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
            deadline_ms: S::deadline().map(|deadline| millis(deadline.max(DEADLINE_MIN))),
            steps: finished.steps.outlines,
            output_needs: finished.output_needs,
        };
        let admit: Admit = Box::new(move |json| admit(json, &trigger));
        Self::new(outline, finished.steps.code, finished.output, admit).map_err(wrong)
    }
}

fn admit<T: DeserializeOwned>(json: &Json, trigger: &Trigger<T>) -> Result<Admitted, InputError> {
    let input: T = json.read().map_err(InputError::Shape)?;
    let name = |what, name: fn(&T) -> String, unusable| {
        let name = caught(what, || name(&input)).map_err(InputError::Panicked)?;
        usable(name).ok_or(unusable)
    };
    let key = |key| name("the trigger's function `.key(…)`", key, InputError::Key);
    let key = trigger.key.map(key).transpose()?;
    let lock = |lock: &_| name("the trigger's function `.lock(…)`", *lock, InputError::Lock);
    let locks = trigger.locks.iter().map(lock);
    let locks: BTreeSet<String> = locks.collect::<Result<_, _>>()?;
    Ok(Admitted { key, locks: locks.into_iter().collect() })
}
