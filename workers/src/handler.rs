//! The traits that a service implements, and their common form without types.

use std::{convert::Infallible, marker::PhantomData, sync::Arc};

use amends::{Compensatable, Handler, Json, JsonError, Op, Rejection, Step, wire::Undo};
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;

use crate::{Attempt, Halt};

/// Handles the action of a step.
///
/// The barrier sees to it that an action takes effect at most once, whatever is delivered twice.
/// Write only through [`Attempt::tx`], or pass [`Attempt::effect_id`] as idempotency key. The
/// [front page](crate) has a whole service.
pub trait Act<S: Step>: Send + Sync + 'static {
    /// Does the step's work in the attempt's transaction.
    ///
    /// # Errors
    /// [`Halt`]: a rejection, or a fault (by `?`) that is retried.
    fn act(
        &self,
        cx: &mut Attempt<'_>,
        input: S::Input,
    ) -> impl Future<Output = Result<S::Output, Halt<S::Rejection>>> + Send;
}

/// Handles the compensation of a step.
///
/// It is called only for an action that took effect (or is [`Halt::Pending`]), and takes effect at
/// most once. The [front page](crate) has a whole service.
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
pub(crate) struct UntypedRejection {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// What a command gives its handler.
pub(crate) struct CommandInput<'a> {
    pub(crate) op: Op,
    /// The command's body.
    pub(crate) body: &'a [u8],
    /// For a compensation: what the action's remembered reply holds.
    pub(crate) action_output: Option<&'a Json>,
}

/// One operation of a service: the action of a step and, if there is one, its compensation.
pub(crate) trait Operation: Send + Sync {
    /// What it is, as data.
    fn handler(&self) -> Handler;

    fn run<'a>(
        &'a self,
        cx: &'a mut Attempt<'_>,
        input: CommandInput<'a>,
    ) -> BoxFuture<'a, Result<Json, Halt<UntypedRejection>>>;
}

/// A step without compensation.
pub(crate) struct ActionOnly<S, H>(pub(crate) Arc<H>, pub(crate) PhantomData<fn() -> S>);

/// A step with compensation.
pub(crate) struct WithCompensation<S, H>(pub(crate) Arc<H>, pub(crate) PhantomData<fn() -> S>);

/// A command that this version of the service cannot carry out; another version may.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Mismatch {
    #[error("the body does not fit {step}: {source}")]
    Body { step: &'static str, source: serde_json::Error },
    #[error("{0} has no compensation")]
    NoCompensation(&'static str),
    #[error("the output of {step} cannot be sent: {source}")]
    Output { step: &'static str, source: JsonError },
    #[error("a rejection of {0} has no code")]
    NoCode(&'static str),
}

impl<S: Step, H: Act<S>> Operation for ActionOnly<S, H> {
    fn handler(&self) -> Handler {
        Handler::action(S::NAME)
    }

    fn run<'a>(
        &'a self,
        cx: &'a mut Attempt<'_>,
        input: CommandInput<'a>,
    ) -> BoxFuture<'a, Result<Json, Halt<UntypedRejection>>> {
        Box::pin(async move {
            match input.op {
                Op::Action => act::<S, H>(&self.0, cx, input.body).await,
                Op::Compensation => Err(Mismatch::NoCompensation(S::NAME).into()),
            }
        })
    }
}

impl<S: Compensatable, H: Act<S> + Compensate<S>> Operation for WithCompensation<S, H> {
    fn handler(&self) -> Handler {
        Handler::with_compensation(S::NAME)
    }

    fn run<'a>(
        &'a self,
        cx: &'a mut Attempt<'_>,
        input: CommandInput<'a>,
    ) -> BoxFuture<'a, Result<Json, Halt<UntypedRejection>>> {
        Box::pin(async move {
            match input.op {
                Op::Action => act::<S, H>(&self.0, cx, input.body).await,
                Op::Compensation => compensate::<S, H>(&self.0, cx, input).await,
            }
        })
    }
}

async fn act<S: Step, H: Act<S>>(
    handler: &H,
    cx: &mut Attempt<'_>,
    body: &[u8],
) -> Result<Json, Halt<UntypedRejection>> {
    let input: S::Input = read::<S, _>(body)?;
    match handler.act(cx, input).await {
        Ok(output) => {
            Json::of(&output).map_err(|source| Mismatch::Output { step: S::NAME, source }.into())
        }
        Err(Halt::Rejected(rejection)) if rejection.code().is_empty() => {
            Err(Mismatch::NoCode(S::NAME).into())
        }
        Err(Halt::Rejected(rejection)) => Err(Halt::Rejected(UntypedRejection {
            code: rejection.code().to_owned(),
            message: rejection.message(),
        })),
        Err(Halt::Fault(error)) => Err(Halt::Fault(error)),
        Err(Halt::RetryAfter(delay, message)) => Err(Halt::RetryAfter(delay, message)),
        Err(Halt::Pending) => Err(Halt::Pending),
    }
}

async fn compensate<S: Compensatable, H: Compensate<S>>(
    handler: &H,
    cx: &mut Attempt<'_>,
    input: CommandInput<'_>,
) -> Result<Json, Halt<UntypedRejection>> {
    let mut undo: Undo<S::Input, S::Output> = read::<S, _>(input.body)?;
    if let Some(output) = input.action_output {
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

fn read<S: Step, T: DeserializeOwned>(body: &[u8]) -> Result<T, Mismatch> {
    serde_json::from_slice(body).map_err(|source| Mismatch::Body { step: S::NAME, source })
}
