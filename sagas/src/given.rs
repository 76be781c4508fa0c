//! Values that will be known when a saga runs.

use std::{collections::BTreeSet, marker::PhantomData, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Json, JsonError, panic::caught, wire};

/// What a saga knows while it runs.
pub(crate) struct Env<'a> {
    pub(crate) input: &'a Json,
    pub(crate) output: &'a dyn Fn(usize) -> Option<&'a Json>,
    /// Whether the step was left out, because its condition did not hold.
    pub(crate) omitted: &'a dyn Fn(usize) -> bool,
}

/// Computes a JSON text from what is known.
pub(crate) type Eval = Box<dyn Fn(&Env<'_>) -> Result<Json, MapError> + Send + Sync>;

/// Evaluates a mapping against what the saga knows.
pub(crate) fn evaluate(eval: &Eval, env: &Env<'_>) -> Result<Json, MapError> {
    let result = caught("the mapping function", || eval(env)).map_err(MapError).flatten();
    result.map_err(|MapError(message)| MapError(wire::cut(message)))
}

/// Why a value could not be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MapError(String);

impl MapError {
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn no_output() -> Self {
        Self("the output of a step is not known".to_owned())
    }

    pub(crate) fn no_key() -> Self {
        Self("the saga has no business key".to_owned())
    }

    pub(crate) fn no_element() -> Self {
        Self("the element has no input".to_owned())
    }

    pub(crate) fn of_list(message: String) -> Self {
        Self(message)
    }

    pub(crate) fn of_time(wait: &str, error: &JsonError) -> Self {
        Self(format!("the time that `{wait}` waits for cannot be read: {error}"))
    }

    pub(crate) fn of_far_time(wait: &str, year: i32, last: i32) -> Self {
        Self(format!(
            "`{wait}` would wait until the year {year}; a wait ends in the year {last} at the latest"
        ))
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Input,
    Step(usize),
}

type Expr<T> = dyn Fn(&Env<'_>) -> Result<T, MapError> + Send + Sync;

/// A value that will be known when the saga runs: its input, a step's output, or what a function
/// makes of them. A plan is data, so functions are plain `fn`s: they can capture nothing that would
/// not be there after a restart.
///
/// ```
/// use amends::Given;
/// fn twice(nights: &Given<u8>) -> Given<u16> {
///     nights.map(|n| u16::from(n) * 2)
/// }
/// ```
///
/// # When a value cannot be computed
///
/// A mapping has no way to fail but a panic: whatever business may refuse belongs into a step. A value cannot be
/// computed when a mapping panics, when a stored value does not fit its type (the saga began under code that
/// wrote it differently), or when the result breaks a limit of [`Json`]. A panic ends neither the process nor other
/// sagas, unless the program is built with `panic = "abort"`. The saga records the fact `unmappable`, its error has
/// the code `unmappable` and says why, and nothing is tried again by time, as the same facts give the same failure:
///
/// | value that cannot be computed | consequence |
/// |---|---|
/// | input or condition of a step before the pivot, or of the pivot | no step of its stage is sent; the saga turns back |
/// | input or condition of a step after the pivot | the step and the saga are `stuck`; steps beside it go on |
/// | the saga's output | after the pivot the saga is `stuck`; without a pivot it turns back |
/// | a step's output that does not fit its type | before the pivot it counts as unknown and is compensated; from the pivot on the saga is `stuck` |
///
/// A `stuck` saga goes on when a program with a mended mapping runs and an operator retries it, or when an operator
/// gives the missing output (`resolve`) or goes on without it (`skip`). A mended mapping needs no new version: the
/// digest of a plan does not depend on its functions.
pub struct Given<T> {
    expr: Arc<Expr<T>>,
    reads: BTreeSet<Source>,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Given<T> {
    fn clone(&self) -> Self {
        Self { expr: Arc::clone(&self.expr), reads: self.reads.clone(), value: PhantomData }
    }
}

impl<T: DeserializeOwned + 'static> Given<T> {
    pub(crate) fn input() -> Self {
        let expr = |env: &Env<'_>| read("the saga's input", env.input);
        Self { expr: Arc::new(expr), reads: [Source::Input].into(), value: PhantomData }
    }

    pub(crate) fn output_of(step: usize, name: &str) -> Self {
        let what = format!("the output of `{name}`");
        let expr = move |env: &Env<'_>| match (env.output)(step) {
            Some(output) => read(&what, output),
            None => Err(MapError(format!("{what} is not known"))),
        };
        Self { expr: Arc::new(expr), reads: [Source::Step(step)].into(), value: PhantomData }
    }
}

impl<T: 'static> Given<T> {
    /// The output of a step that may be omitted.
    pub(crate) fn unless_omitted(self, step: usize) -> Given<Option<T>> {
        let Self { expr, reads, .. } = self;
        let expr = move |env: &Env<'_>| {
            if (env.omitted)(step) { Ok(None) } else { expr(env).map(Some) }
        };
        Given { expr: Arc::new(expr), reads, value: PhantomData }
    }
}

fn read<T: DeserializeOwned>(what: &str, json: &Json) -> Result<T, MapError> {
    json.read().map_err(|e| MapError(format!("{what} does not fit its type: {e}")))
}

impl<T: 'static> Given<T> {
    /// What `f` makes of this value. A panic in `f` turns the saga back before the pivot, and leaves it stuck
    /// after it: [when a value cannot be computed](Given#when-a-value-cannot-be-computed).
    #[must_use]
    pub fn map<U>(&self, f: fn(T) -> U) -> Given<U>
    where
        U: 'static,
    {
        let expr = Arc::clone(&self.expr);
        Given {
            expr: Arc::new(move |env| Ok(f(expr(env)?))),
            reads: self.reads.clone(),
            value: PhantomData,
        }
    }

    pub(crate) fn into_eval(self) -> Eval
    where
        T: Serialize,
    {
        Box::new(move |env| {
            let value = (self.expr)(env)?;
            Json::of(&value).map_err(|e| MapError(e.to_string()))
        })
    }
}

impl<T> Given<T> {
    pub(crate) fn reads(&self) -> impl Iterator<Item = &Source> {
        self.reads.iter()
    }
}

/// Several values as one, for tuples of 2 to 8.
///
/// ```
/// use amends::{Given, Values};
/// fn total(price: Given<i64>, count: Given<i64>) -> Given<i64> {
///     (price, count).map(|price, count| price * count)
/// }
/// ```
pub trait Values {
    /// The type of a function over the values.
    type Fn<U>;
    /// What `f` makes of these values. A panic in `f` has the consequences of one in [`Given::map`].
    fn map<U: 'static>(&self, f: Self::Fn<U>) -> Given<U>;
}

macro_rules! values {
    ($($name:ident)+) => {
        impl<$($name: 'static),+> Values for ($(Given<$name>,)+) {
            type Fn<U> = fn($($name),+) -> U;

            #[allow(non_snake_case, reason = "one name serves type and value")]
            fn map<U: 'static>(&self, f: Self::Fn<U>) -> Given<U> {
                let ($($name,)+) = self.clone();
                let mut reads = BTreeSet::new();
                $(reads.extend($name.reads.iter().copied());)+
                Given {
                    expr: Arc::new(move |env| Ok(f($(($name.expr)(env)?),+))),
                    reads,
                    value: PhantomData,
                }
            }
        }
    };
}

values!(A B);
values!(A B C);
values!(A B C D);
values!(A B C D E);
values!(A B C D E F);
values!(A B C D E F G);
values!(A B C D E F G H);
