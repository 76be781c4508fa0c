//! Waiting: for an event, or for some time.

use std::time::Duration;

use chrono::{DateTime, Datelike as _, Utc};
use serde::de::DeserializeOwned;

use super::{
    EitherPhase, Part,
    steps::{PlanSteps, Position, Written},
};
use crate::{
    Given, Json, JsonError, MapError, OnlyIf,
    definition::{Input, Matches, StepCode},
    duration::millis,
    given::Eval,
    outline::Task,
};

/// Waits for an event that another service publishes. An event that comes before the saga asks for
/// it is kept, and found later. Of several that match, each step takes the oldest that no earlier
/// step of the saga took.
///
/// ```
/// # use std::time::Duration;
/// use amends::{Await, BeforePivot, Given, Plan};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// pub struct Settled { pub order_id: String, pub amount: i64 }
///
/// fn wait(p: &mut Plan<BeforePivot>) -> Given<Settled> {
///     let settled = Await::<Settled>::on("payments.settled")
///         .matching(|event| event.order_id.clone()) // the saga's business key
///         .within(Duration::from_secs(3 * 24 * 3600));
///     p.step(settled)
/// }
/// ```
#[must_use = "it does nothing until it is given to the plan"]
pub struct Await<E> {
    subject: String,
    matches: Option<fn(&E) -> String>,
    key: Option<Given<String>>,
    name: Option<String>,
    within: Option<Duration>,
}

impl<E: DeserializeOwned + 'static> Await<E> {
    /// An event on this subject: plain JSON, or a CloudEvent.
    pub fn on(subject: &str) -> Self {
        Self { subject: subject.to_owned(), matches: None, key: None, name: None, within: None }
    }

    /// What in the event names the saga: the event is the saga's when this equals its business key,
    /// or what [`Await::key`] says. 1 to 256 bytes; needed. An event for which `matches` panics or returns no such
    /// name is a dead letter, and the saga waits on.
    pub fn matching(mut self, matches: fn(&E) -> String) -> Self {
        self.matches = Some(matches);
        self
    }

    /// What the event must match in place of the saga's business key. A key that cannot be computed has the
    /// [consequences of such an input](Given#when-a-value-cannot-be-computed).
    pub fn key(mut self, key: Given<String>) -> Self {
        self.key = Some(key);
        self
    }

    /// A name for the step within its saga, in place of the subject.
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// How long to wait. When the time is over the saga turns back, as if the step had been rejected
    /// (code `timed_out`); after the pivot it is stuck. Default: no limit.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = Some(limit);
        self
    }

    /// As [`Call::only_if`](crate::Call::only_if).
    pub fn only_if(self, condition: Given<bool>) -> OnlyIf<Self> {
        OnlyIf::new(self, condition)
    }
}

impl<Phase: EitherPhase, E: DeserializeOwned + 'static> Part<Phase> for Await<E> {
    type Value = E;

    fn write(self, steps: &mut PlanSteps, place: Position) -> Given<E> {
        let name = self.name.unwrap_or_else(|| self.subject.to_lowercase());
        let output = Given::output_of(steps.outlines.len(), &name);
        let needs =
            self.key.as_ref().map_or_else(|| vec!["key".to_owned()], |key| steps.needs(key));
        let matches = self.matches;
        let code = StepCode {
            input: self.key.map_or(Input::Key, |key| Input::Eval(key.into_eval())),
            matches: matches.map(|matches| {
                Box::new(move |event: &Json| Ok(matches(&event.read()?))) as Matches
            }),
            ..StepCode::new(|output| output.read::<E>().map(drop))
        };
        let task = Task::Event { subject: self.subject };
        let within = self.within;
        steps.push(Written { name, kind: Phase::KIND, task, needs, within, code }, place);
        output
    }
}

/// Waits for some time.
///
/// ```
/// # use std::time::Duration;
/// use amends::{Delay, Plan, AfterPivot};
/// fn cool_off(p: &mut Plan<AfterPivot>) {
///     p.step(Delay::of("cooling-off", Duration::from_secs(3600)));
/// }
/// ```
#[must_use = "it does nothing until it is given to the plan"]
pub struct Delay {
    name: String,
    task: Task,
    until: Option<Given<DateTime<Utc>>>,
}

impl Delay {
    /// A step of this name that is done after `duration`; at most a year.
    pub fn of(name: &str, duration: Duration) -> Self {
        Self { name: name.to_owned(), task: Task::Delay { ms: millis(duration) }, until: None }
    }

    /// A step of this name that is done at a time which the saga knows by then; at once when it has
    /// passed. A time beyond the year 9999 cannot be waited for: the saga turns back, or is stuck behind
    /// the pivot, with the code `unmappable`.
    pub fn until(name: &str, time: Given<DateTime<Utc>>) -> Self {
        Self { name: name.to_owned(), task: Task::Until, until: Some(time) }
    }

    /// As [`Call::only_if`](crate::Call::only_if).
    pub fn only_if(self, condition: Given<bool>) -> OnlyIf<Self> {
        OnlyIf::new(self, condition)
    }
}

/// The last year that a wait may end in: the last that RFC 3339 can write.
const YEAR_MAX: i32 = 9999;

/// Computes the time, if it is one that can be waited for.
fn until_eval(name: &str, until: Given<DateTime<Utc>>) -> Eval {
    let (eval, name) = (until.into_eval(), name.to_owned());
    Box::new(move |env| {
        let json = eval(env)?;
        let time: DateTime<Utc> = json.read().map_err(|e| MapError::of_time(&name, &e))?;
        if time.year() > YEAR_MAX {
            return Err(MapError::of_far_time(&name, time.year(), YEAR_MAX));
        }
        Ok(json)
    })
}

impl<Phase: EitherPhase> Part<Phase> for Delay {
    type Value = ();

    fn write(self, steps: &mut PlanSteps, place: Position) -> Given<()> {
        let Self { name, task, until } = self;
        let output = Given::output_of(steps.outlines.len(), &name);
        let needs = until.as_ref().map_or_else(Vec::new, |until| steps.needs(until));
        let code = StepCode {
            input: until.map_or(Input::Nothing, |until| Input::Eval(until_eval(&name, until))),
            ..StepCode::new(|_| Ok::<(), JsonError>(()))
        };
        steps.push(Written { name, kind: Phase::KIND, task, needs, within: None, code }, place);
        output
    }
}
