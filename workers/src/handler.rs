//! The traits that a service implements, and their common form without types.

use std::{convert::Infallible, marker::PhantomData, sync::Arc};

use amends::{Compensatable, Handler, Json, JsonError, Op, Rejection, Step, wire::Undo};
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;

use crate::{Attempt, Halt};

/// Handles the action of a step.
///
/// The barrier sees to it that an action takes effect at most once, whatever is delivered twice.
/// Write only through [`Attempt::tx`], or pass [`Attempt::effect_id`] as idempotency key.
pub trait Act<S: Step>: Send + Sync + 'static {
    /// Does the step's work in the attempt's transaction.
    ///
    /// # Errors
    /// [`Halt`]: a business no, or a fault (by `?`) that is retried.
    fn act(
        &self,
        cx: &mut Attempt<'_>,
        input: S::Input,
    ) -> impl Future<Output = Result<S::Output, Halt<S::Rejection>>> + Send;
}

/// Handles the compensation of a step.
///
/// It is called only for an action that took effect (or is [`Halt::Pending`]), and takes effect at
/// most once.
pub trait Compensate<S: Compensatable>: Send + Sync + 'static {
    /// Undoes what the step's action did. `undo.output` is what the action answered here, even when
    /// the orchestrator never heard it; `None` only for an action that is still pending.
    ///
    /// # Errors
    /// [`Halt`]: a fault that is retried. A compensation cannot be rejected.
    fn compensate(
        &self,
        cx: &mut Attempt<'_>,
        undo: Undo<S::Input, S::Output>,
    ) -> impl Future<Output = Result<(), Halt<Infallible>>> + Send;
}

/// A rejection without its type.
pub(crate) struct Rejected {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// What is known of a command's work before it runs.
pub(crate) struct Work<'a> {
    pub(crate) op: Op,
    /// The command's body.
    pub(crate) body: &'a [u8],
    /// For a compensation: what the action's remembered reply holds.
    pub(crate) output: Option<&'a Json>,
}

/// One operation of a service: the action of a step and, if there is one, its compensation.
pub(crate) trait Operation: Send + Sync {
    /// What it is, as data.
    fn handler(&self) -> Handler;

    fn run<'a>(
        &'a self,
        cx: &'a mut Attempt<'_>,
        work: Work<'a>,
    ) -> BoxFuture<'a, Result<Json, Halt<Rejected>>>;
}

/// A step without compensation.
pub(crate) struct Forward<S, H>(pub(crate) Arc<H>, pub(crate) PhantomData<fn() -> S>);

/// A step with compensation.
pub(crate) struct Both<S, H>(pub(crate) Arc<H>, pub(crate) PhantomData<fn() -> S>);

/// A command that this version of the service cannot carry out; another version may.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Misfit {
    #[error("the body does not fit {step}: {source}")]
    Body { step: &'static str, source: serde_json::Error },
    #[error("{0} has no compensation")]
    NoCompensation(&'static str),
    #[error("the output of {step} cannot be sent: {source}")]
    Output { step: &'static str, source: JsonError },
    #[error("a rejection of {0} has no code")]
    NoCode(&'static str),
}

impl<S: Step, H: Act<S>> Operation for Forward<S, H> {
    fn handler(&self) -> Handler {
        Handler::action(S::NAME)
    }

    fn run<'a>(
        &'a self,
        cx: &'a mut Attempt<'_>,
        work: Work<'a>,
    ) -> BoxFuture<'a, Result<Json, Halt<Rejected>>> {
        Box::pin(async move {
            match work.op {
                Op::Action => act::<S, H>(&self.0, cx, work.body).await,
                Op::Compensation => Err(Misfit::NoCompensation(S::NAME).into()),
            }
        })
    }
}

impl<S: Compensatable, H: Act<S> + Compensate<S>> Operation for Both<S, H> {
    fn handler(&self) -> Handler {
        Handler::with_compensation(S::NAME)
    }

    fn run<'a>(
        &'a self,
        cx: &'a mut Attempt<'_>,
        work: Work<'a>,
    ) -> BoxFuture<'a, Result<Json, Halt<Rejected>>> {
        Box::pin(async move {
            match work.op {
                Op::Action => act::<S, H>(&self.0, cx, work.body).await,
                Op::Compensation => compensate::<S, H>(&self.0, cx, work).await,
            }
        })
    }
}

async fn act<S: Step, H: Act<S>>(
    handler: &H,
    cx: &mut Attempt<'_>,
    body: &[u8],
) -> Result<Json, Halt<Rejected>> {
    let input: S::Input = read::<S, _>(body)?;
    match handler.act(cx, input).await {
        Ok(output) => {
            Json::of(&output).map_err(|source| Misfit::Output { step: S::NAME, source }.into())
        }
        Err(Halt::Rejected(no)) if no.code().is_empty() => Err(Misfit::NoCode(S::NAME).into()),
        Err(Halt::Rejected(no)) => {
            Err(Halt::Rejected(Rejected { code: no.code().to_owned(), message: no.message() }))
        }
        Err(Halt::Fault(error)) => Err(Halt::Fault(error)),
        Err(Halt::RetryAfter(delay, message)) => Err(Halt::RetryAfter(delay, message)),
        Err(Halt::Pending) => Err(Halt::Pending),
    }
}

async fn compensate<S: Compensatable, H: Compensate<S>>(
    handler: &H,
    cx: &mut Attempt<'_>,
    work: Work<'_>,
) -> Result<Json, Halt<Rejected>> {
    let mut undo: Undo<S::Input, S::Output> = read::<S, _>(work.body)?;
    if let Some(output) = work.output {
        undo.output = Some(read::<S, _>(output.as_str().as_bytes())?);
    }
    match handler.compensate(cx, undo).await {
        Ok(()) => Ok(Json::null()),
        Err(Halt::Rejected(never)) => match never {},
        Err(Halt::Fault(error)) => Err(Halt::Fault(error)),
        Err(Halt::RetryAfter(delay, message)) => Err(Halt::RetryAfter(delay, message)),
        Err(Halt::Pending) => Err(Halt::Pending),
    }
}

fn read<S: Step, T: DeserializeOwned>(body: &[u8]) -> Result<T, Misfit> {
    serde_json::from_slice(body).map_err(|source| Misfit::Body { step: S::NAME, source })
}
