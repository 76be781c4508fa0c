//! An input with which a saga goes well.

use amends::{Definition, Json, Saga};
use serde::Serialize;

/// An input with which a saga goes well.
pub(crate) struct Example {
    pub(crate) subject: String,
    /// JSON.
    pub(crate) body: String,
    /// What names its saga in `show`.
    pub(crate) key: Option<String>,
}

impl Example {
    /// `None` where the definition is not sound or has no such input: `check` says why.
    pub(crate) fn of<S: Saga<Input: Serialize>>(input: &S::Input) -> Option<Self> {
        let definition = Definition::of::<S>().ok()?;
        let input = Json::of(input).ok()?;
        let key = definition.admit(&input).ok()?.key;
        Some(Self {
            subject: definition.outline().trigger.clone(),
            body: input.as_str().to_owned(),
            key,
        })
    }
}
