//! How a saga is written: typed steps, and typed values that flow between them.

mod code;
mod given;
mod group;
mod list;
mod nested;
mod part;
mod wait;

use std::{marker::PhantomData, time::Duration};

pub(crate) use code::{Input, Matches, StepCode};
pub(crate) use given::{Env, Eval};
pub use given::{Given, MapError, Values};
pub use group::Group;
pub use list::{ELEMENTS_MAX, Each};
pub use nested::Nested;
pub(crate) use part::EitherPhase;
pub use part::{Decides, OnlyIf, Part, Place};
pub use wait::{Await, Delay};

use crate::{
    Json, Retry,
    outline::{OWN_SERVICE, StepKind, StepOutline, Task},
    step::{Call, Compensatable, Policy, Rejection, Step},
};
use given::Source;
use part::Written;
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
    fn plan(plan: Plan<BeforePivot>, input: Given<Self::Input>) -> Finished<Self::Output>;

    /// How long a saga may take, from its start: a second to a year. When the time is over and the
    /// pivot was not asked for, it turns back (code `deadline`); after that the deadline is only
    /// recorded, logged as an error and counted. Default: no limit.
    fn deadline() -> Option<Duration> {
        None
    }

    /// This saga as a step of another. Its id follows from that saga and the step; it begins in the
    /// same commit, and its end is the step's outcome: completed is ok, compensated is rejected.
    /// Undoing the step turns it back, also when it was completed; therefore before the pivot it
    /// needs a plan of compensatable steps only. It takes no locks: the outer saga does.
    fn nested(input: Given<Self::Input>) -> Nested<Self>
    where
        Self: Sized,
    {
        Nested::new(input)
    }
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
    pub(crate) locks: Vec<fn(&T) -> String>,
}

impl<T> Trigger<T> {
    /// Each message on this subject.
    #[must_use]
    pub fn on(subject: &str) -> Self {
        Self { subject: subject.to_owned(), key: None, locks: Vec::new() }
    }

    /// The business key (1 to 256 bytes): one saga per key, for ever. Without it each stored
    /// message starts a saga.
    #[must_use]
    pub fn key(self, key: fn(&T) -> String) -> Self {
        Self { key: Some(key), ..self }
    }

    /// A semantic lock, named by 1 to 256 bytes: sagas that name the same one take turns, in order of
    /// arrival, and wait as `queued`. It is held until the saga has ended, so until every effect is
    /// settled. A saga takes all its locks at once, up to 8: no two can wait for each other.
    #[must_use]
    pub fn lock(mut self, name: fn(&T) -> String) -> Self {
        self.locks.push(name);
        self
    }
}

/// Phase of a plan before the pivot: each step can be undone.
pub struct BeforePivot;

/// Phase of a plan after the pivot: no step can be rejected.
pub struct AfterPivot;

/// Which steps may stand in which phase of a plan.
#[diagnostic::on_unimplemented(
    message = "the step `{Self}` cannot stand here: the plan is in its phase `{Phase}`",
    label = "not allowed in this phase",
    note = "`BeforePivot`, before the pivot: a step needs a compensation; write `impl Compensatable for {Self} {{}}` and a `Compensate` handler in its service, or make the step the pivot",
    note = "`AfterPivot`, after the pivot: a step must not be able to say no (`type Rejection = Infallible`)"
)]
pub trait StandsIn<Phase>: Step {
    #[doc(hidden)]
    const KIND: StepKind;
}

impl<S: Compensatable> StandsIn<BeforePivot> for S {
    const KIND: StepKind = StepKind::Compensatable;
}

impl<S: Step<Rejection: Never>> StandsIn<AfterPivot> for S {
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
    pub(crate) code: Vec<StepCode>,
}

/// A finished plan.
pub struct Finished<T> {
    pub(crate) draft: Draft,
    pub(crate) output: Eval,
    pub(crate) output_needs: Vec<String>,
    result: PhantomData<fn() -> T>,
}

impl Plan<BeforePivot> {
    pub(crate) fn new() -> Self {
        Self { draft: Draft::default(), phase: PhantomData }
    }

    /// The step that decides: when it is done there is no way back. It may be rejected (the saga is
    /// then compensated), and needs no compensation. When nobody knows its outcome it is repeated, and
    /// at last the saga is stuck.
    pub fn pivot<P: Decides>(mut self, part: P) -> (Plan<AfterPivot>, Given<P::Value>) {
        let place = Place { stage: self.draft.next_stage(), condition: None };
        let output = part.decide(&mut self, place);
        (Plan { draft: self.draft, phase: PhantomData }, output)
    }
}

impl<Phase> Plan<Phase> {
    /// The next step; it begins when all before it are done.
    pub fn step<P: Part<Phase>>(&mut self, part: P) -> Given<P::Value> {
        let place = Place { stage: self.draft.next_stage(), condition: None };
        part.write(self, place)
    }

    /// Steps that run in parallel, and are compensated in parallel: a tuple of 2 to 8 parts. None of
    /// them can read what another of them answers, for the outputs come after it.
    ///
    /// ```
    /// # use amends::{Compensatable, BeforePivot, Given, Plan, Step};
    /// # pub struct BookHotel;
    /// # impl Step for BookHotel {
    /// #     const NAME: &'static str = "hotel.book";
    /// #     type Input = u8;
    /// #     type Output = u64;
    /// #     type Rejection = std::convert::Infallible;
    /// # }
    /// # impl Compensatable for BookHotel {}
    /// fn two_hotels(p: &mut Plan<BeforePivot>, nights: &Given<u8>) -> (Given<u64>, Given<u64>) {
    ///     p.together((
    ///         BookHotel::with(nights.clone()).named("hotel.first"),
    ///         BookHotel::with(nights.map(|n| n / 2)).named("hotel.second"),
    ///     ))
    /// }
    /// ```
    pub fn together<G: Group<Phase>>(&mut self, parts: G) -> G::Outputs {
        parts.add(self)
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

    fn call<S: Step>(&mut self, call: Call<S>, kind: StepKind, place: Place) -> Given<S::Output> {
        let name = call.name.unwrap_or_else(|| S::NAME.to_owned());
        let output = Given::output_of(self.steps.len(), &name);
        let needs = self.needs(&call.input);
        let input = Input::Eval(call.input.into_eval());
        self.act::<S>(name, kind, needs, input, call.policy, place);
        output
    }

    fn list<S: Step>(
        &mut self,
        list: Each<S>,
        kind: StepKind,
        place: Place,
    ) -> Given<Vec<S::Output>> {
        let name = list.name.unwrap_or_else(|| S::NAME.to_owned());
        let output = Given::output_of(self.steps.len(), &name);
        let needs = self.needs(&list.inputs);
        let inputs = Input::Eval(list.inputs.into_eval());
        self.act::<S>(name, kind, needs, inputs, list.policy, place);
        if let Some(step) = self.steps.last_mut() {
            step.each = Some(list.at_once);
        }
        output
    }

    fn act<S: Step>(
        &mut self,
        name: String,
        kind: StepKind,
        needs: Vec<String>,
        input: Input,
        policy: Policy,
        place: Place,
    ) {
        let Policy { retry, compensation_retry, attempt_timeout, within } = policy;
        let code =
            StepCode { input, ..StepCode::new(|output| output.read::<S::Output>().map(drop)) };
        let task = Task::Call;
        self.push(Written { name, kind, task, needs, within, code }, place);
        let Some(step) = self.steps.last_mut() else { return };
        let (service, operation) = S::NAME.split_once('.').unwrap_or((S::NAME, ""));
        service.clone_into(&mut step.service);
        operation.clone_into(&mut step.operation);
        step.retry = retry.unwrap_or(step.retry);
        step.compensation_retry = compensation_retry.unwrap_or(step.compensation_retry);
        step.attempt_timeout_ms = attempt_timeout.map_or(step.attempt_timeout_ms, millis);
    }

    /// Writes a step down, with the default policies of its kind.
    fn push(&mut self, written: Written, place: Place) {
        let Written { name, kind, task, needs, within, mut code } = written;
        let retry = if kind == StepKind::Compensatable { Retry::ACTION } else { Retry::PERSISTENT };
        let condition = place.condition.as_ref().map(|condition| self.needs(condition));
        code.condition = place.condition.map(Given::into_eval);
        self.steps.push(StepOutline {
            stage: place.stage,
            name,
            service: OWN_SERVICE.to_owned(),
            operation: task.operation().to_owned(),
            kind,
            needs,
            retry,
            compensation_retry: Retry::PERSISTENT,
            attempt_timeout_ms: millis(ATTEMPT_TIMEOUT),
            within_ms: within.map(millis),
            task,
            condition,
            each: None,
        });
        self.code.push(code);
    }
}

/// At least a millisecond, at most a year: times stay within what a timestamp holds.
pub(crate) fn millis(duration: Duration) -> u64 {
    const YEAR_MS: u128 = 366 * 24 * 60 * 60 * 1000;
    u64::try_from(duration.as_millis().clamp(1, YEAR_MS)).unwrap_or(1)
}

/// Evaluates a mapping against what the saga knows.
pub(crate) fn evaluate(eval: &Eval, env: &Env<'_>) -> Result<Json, MapError> {
    let run = std::panic::AssertUnwindSafe(|| eval(env));
    // The mapping is the user's code; a panic in it must not take the other sagas of a lane along.
    std::panic::catch_unwind(run).unwrap_or_else(|_| Err(MapError::panicked()))
}
