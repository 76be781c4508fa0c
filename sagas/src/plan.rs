//! How a saga is written: typed steps, and typed values that flow between them.

mod given;
mod group;

use std::{marker::PhantomData, time::Duration};

pub(crate) use given::{Env, Eval};
pub use given::{Given, MapError, Values};
pub use group::Group;

use crate::{
    Json, JsonError, Retry,
    outline::{StepKind, StepOutline},
    step::{Call, Compensatable, Policy, Rejection, Step},
};
use given::Source;
use serde::{Serialize, de::DeserializeOwned};
use std::convert::Infallible;

/// Default of [`Call::attempt_timeout`].
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

/// A saga: name, version, trigger and plan. The crate's front page shows a whole one.
pub trait Saga: 'static {
    /// The definition's name, `[a-z0-9_-]+`.
    const NAME: &'static str;
    /// The version; a changed plan needs a new one.
    const VERSION: u32;
    /// The trigger's body.
    type Input: DeserializeOwned + 'static;
    /// The saga's result.
    type Output: Serialize + 'static;

    /// What starts it.
    fn trigger() -> Trigger<Self::Input>;
    /// The steps, written down once when the definition is built. No step runs here.
    fn plan(plan: Plan<Compensating>, input: Given<Self::Input>) -> Finished<Self::Output>;
}

/// What starts a saga.
///
/// ```
/// use amends::Trigger;
/// #[derive(serde::Deserialize)]
/// struct OrderPlaced { order_id: u64 }
/// let trigger = Trigger::<OrderPlaced>::on("orders.placed").key(|order| order.order_id.to_string());
/// # drop(trigger);
/// ```
pub struct Trigger<T> {
    pub(crate) subject: String,
    pub(crate) key: Option<fn(&T) -> String>,
}

impl<T> Trigger<T> {
    /// Each message on this subject.
    #[must_use]
    pub fn on(subject: &str) -> Self {
        Self { subject: subject.to_owned(), key: None }
    }

    /// The business key (1 to 256 bytes): one saga per key, for ever. Without it each stored
    /// message starts a saga.
    #[must_use]
    pub fn key(self, key: fn(&T) -> String) -> Self {
        Self { key: Some(key), ..self }
    }
}

/// Phase of a plan before the pivot: each step can be undone.
pub struct Compensating;

/// Phase of a plan after the pivot: no step can say no.
pub struct Retrying;

/// Which steps may stand in which phase of a plan.
#[diagnostic::on_unimplemented(
    message = "the step `{Self}` cannot stand here: the plan is in its phase `{Phase}`",
    label = "not allowed in this phase",
    note = "`Compensating`, before the pivot: a step needs a compensation; write `impl Compensatable for {Self} {{}}` and a `Compensate` handler in its service, or make the step the pivot",
    note = "`Retrying`, after the pivot: a step must not be able to say no (`type Rejection = Infallible`)"
)]
pub trait StandsIn<Phase>: Step {
    #[doc(hidden)]
    const KIND: StepKind;
}

impl<S: Compensatable> StandsIn<Compensating> for S {
    const KIND: StepKind = StepKind::Compensatable;
}

impl<S: Step<Rejection: Never>> StandsIn<Retrying> for S {
    const KIND: StepKind = StepKind::Retriable;
}

/// A rejection that cannot happen. It is a trait for the sake of the compiler's words.
#[diagnostic::on_unimplemented(
    message = "a step that may say no (`{Self}`) cannot stand after the pivot",
    label = "its `Rejection` is `{Self}`",
    note = "after the pivot there is no way back: move the step before the pivot, or give it `type Rejection = Infallible`"
)]
#[doc(hidden)]
pub trait Never: Rejection {}

impl Never for Infallible {}

/// A plan being written.
#[must_use = "a plan ends with `finish`"]
pub struct Plan<Phase> {
    draft: Draft,
    phase: PhantomData<Phase>,
}

/// The steps written so far.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) steps: Vec<StepOutline>,
    pub(crate) inputs: Vec<Eval>,
    pub(crate) outputs: Vec<CheckOutput>,
}

/// Whether a step's output fits its type.
pub(crate) type CheckOutput = fn(&Json) -> Result<(), JsonError>;

/// A finished plan.
pub struct Finished<T> {
    pub(crate) draft: Draft,
    pub(crate) output: Eval,
    pub(crate) output_needs: Vec<String>,
    result: PhantomData<fn() -> T>,
}

impl Plan<Compensating> {
    pub(crate) fn new() -> Self {
        Self { draft: Draft::default(), phase: PhantomData }
    }

    /// The step that decides: when it is done there is no way back. It may say no (the saga is then
    /// compensated), and needs no compensation. When nobody knows its outcome it is repeated, and
    /// at last the saga is stuck.
    pub fn pivot<S: Step>(mut self, call: Call<S>) -> (Plan<Retrying>, Given<S::Output>) {
        let stage = self.draft.next_stage();
        let output = self.draft.add(call, stage, StepKind::Pivot);
        (Plan { draft: self.draft, phase: PhantomData }, output)
    }
}

impl<Phase> Plan<Phase> {
    /// The next step; it begins when all before it are done.
    pub fn step<S: StandsIn<Phase>>(&mut self, call: Call<S>) -> Given<S::Output> {
        let stage = self.draft.next_stage();
        self.draft.add(call, stage, S::KIND)
    }

    /// Steps that run in parallel, and are compensated in parallel: a tuple of 2 to 8 calls. None of
    /// them can read what another of them answers, for the outputs come after it.
    ///
    /// ```
    /// # use amends::{Compensatable, Compensating, Given, Plan, Step};
    /// # pub struct BookHotel;
    /// # impl Step for BookHotel {
    /// #     const NAME: &'static str = "hotel.book";
    /// #     type Input = u8;
    /// #     type Output = u64;
    /// #     type Rejection = std::convert::Infallible;
    /// # }
    /// # impl Compensatable for BookHotel {}
    /// fn two_hotels(p: &mut Plan<Compensating>, nights: &Given<u8>) -> (Given<u64>, Given<u64>) {
    ///     p.together((
    ///         BookHotel::with(nights.clone()).named("hotel.first"),
    ///         BookHotel::with(nights.map(|n| n / 2)).named("hotel.second"),
    ///     ))
    /// }
    /// ```
    pub fn together<G: Group<Phase>>(&mut self, calls: G) -> G::Outputs {
        calls.add(self)
    }

    /// The end: what the saga answers.
    pub fn finish<T: Serialize + 'static>(self, output: Given<T>) -> Finished<T> {
        let output_needs = self.draft.needs(&output);
        Finished {
            output: output.into_eval(),
            output_needs,
            draft: self.draft,
            result: PhantomData,
        }
    }
}

impl Draft {
    fn next_stage(&self) -> u32 {
        self.steps.last().map_or(0, |s| s.stage + 1)
    }

    fn needs<T>(&self, given: &Given<T>) -> Vec<String> {
        let name = |source: &Source| match source {
            Source::Input => "input".to_owned(),
            Source::Step(at) => self.steps.get(*at).map_or_else(String::new, |s| s.name.clone()),
        };
        given.reads().map(name).collect()
    }

    fn add<S: Step>(&mut self, call: Call<S>, stage: u32, kind: StepKind) -> Given<S::Output> {
        let Policy { retry, compensation_retry, attempt_timeout, within } = call.policy;
        let (service, operation) = S::NAME.split_once('.').unwrap_or((S::NAME, ""));
        let default =
            if kind == StepKind::Compensatable { Retry::ACTION } else { Retry::PERSISTENT };
        let name = call.name.unwrap_or_else(|| S::NAME.to_owned());
        let output = Given::output_of(self.steps.len(), &name);
        self.steps.push(StepOutline {
            stage,
            name,
            service: service.to_owned(),
            operation: operation.to_owned(),
            kind,
            needs: self.needs(&call.input),
            retry: retry.unwrap_or(default),
            compensation_retry: compensation_retry.unwrap_or(Retry::PERSISTENT),
            attempt_timeout_ms: millis(attempt_timeout.unwrap_or(ATTEMPT_TIMEOUT)),
            within_ms: within.map(millis),
        });
        self.inputs.push(call.input.into_eval());
        self.outputs.push(|output| output.read::<S::Output>().map(drop));
        output
    }
}

/// At least a millisecond, at most a year: times stay within what a timestamp holds.
fn millis(duration: Duration) -> u64 {
    const YEAR_MS: u128 = 366 * 24 * 60 * 60 * 1000;
    u64::try_from(duration.as_millis().clamp(1, YEAR_MS)).unwrap_or(1)
}

/// Evaluates a mapping against what the saga knows.
pub(crate) fn evaluate(eval: &Eval, env: &Env<'_>) -> Result<Json, MapError> {
    let run = std::panic::AssertUnwindSafe(|| eval(env));
    // The mapping is the user's code; a panic in it must not take the other sagas of a lane along.
    std::panic::catch_unwind(run).unwrap_or_else(|_| Err(MapError::panicked()))
}
