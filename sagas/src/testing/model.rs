//! A user's model of their services: what each step does to a world of theirs.

use std::{
    any::TypeId, collections::BTreeMap, convert::Infallible, fmt::Display, sync::Arc,
    time::Duration,
};

use serde::de::DeserializeOwned;

use super::{
    random::AccidentSource,
    services::{Outcome, RandomAct, SagaView, Services, Work},
};
use crate::{
    AttemptId, Compensatable, Definition, Json, Op, Rejection, SagaId, Step, StepKind, StepOutline,
    machine::OperatorCommand,
    wire::{Reply, Undo},
};

/// The effect that a handler is called for.
#[derive(Debug, Clone)]
pub struct Effect {
    id: AttemptId,
}

impl Effect {
    /// `<saga id>:<step>:<action|compensation>`: the same for all attempts.
    #[must_use]
    pub fn id(&self) -> String {
        self.id.effect()
    }

    /// The effect id of the step's action, also while it is compensated: the key under which the
    /// action's effect can be found again.
    #[must_use]
    pub fn action_id(&self) -> String {
        AttemptId { op: Op::Action, ..self.id.clone() }.effect()
    }

    /// The saga.
    #[must_use]
    pub const fn saga(&self) -> SagaId {
        self.id.saga
    }

    /// The number of this attempt, from 1.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.id.attempt
    }
}

type ActFn<W> = dyn Fn(&mut W, &Work<'_>) -> Result<Reply, Misfit> + Send + Sync;

/// The handlers of one step.
struct Handler<W> {
    act: Option<Box<ActFn<W>>>,
    compensate: Option<Box<ActFn<W>>>,
    never_rejects: bool,
    /// It accepts the action, and does it after this time.
    deferred: Option<Duration>,
}

/// A handler cannot read what it is given, or its answer cannot be written: the attempt breaks, as
/// it would at a worker.
struct Misfit;

/// The handlers of all steps, by `service.operation`.
pub(crate) struct Handlers<W> {
    by_name: BTreeMap<String, Handler<W>>,
}

impl<W> Handlers<W> {
    pub(crate) const fn new() -> Self {
        Self { by_name: BTreeMap::new() }
    }

    fn entry<S: Step>(&mut self) -> &mut Handler<W> {
        self.by_name.entry(S::NAME.to_owned()).or_insert_with(|| Handler {
            act: None,
            compensate: None,
            deferred: None,
            never_rejects: TypeId::of::<S::Rejection>() == TypeId::of::<Infallible>(),
        })
    }

    pub(crate) fn act<S: Step>(
        &mut self,
        act: impl Fn(&mut W, &Effect, S::Input) -> Result<S::Output, S::Rejection>
        + Send
        + Sync
        + 'static,
    ) {
        self.entry::<S>().act = Some(Box::new(move |world, task| {
            let input = read(task.body)?;
            let effect = Effect { id: task.id.clone() };
            match act(world, &effect, input) {
                Ok(output) => Json::of(&output).map(Reply::Ok).map_err(|_| Misfit),
                Err(rejection) => Ok(Reply::Rejected {
                    code: rejection.code().to_owned(),
                    message: rejection.message(),
                }),
            }
        }));
    }

    pub(crate) fn compensate<S: Compensatable>(
        &mut self,
        compensate: impl Fn(&mut W, &Effect, Undo<S::Input, S::Output>) + Send + Sync + 'static,
    ) {
        self.entry::<S>().compensate = Some(Box::new(move |world, task| {
            let mut undo: Undo<S::Input, S::Output> = read(task.body)?;
            // As a worker does: its own database knows best what the action answered.
            if let Some(Reply::Ok(output)) = task.action {
                undo.output = Some(read(output.as_str())?);
            }
            compensate(world, &Effect { id: task.id.clone() }, undo);
            Ok(Reply::Ok(Json::null()))
        }));
    }

    pub(crate) fn deferred<S: Step>(&mut self, delay: Duration) {
        self.entry::<S>().deferred = Some(delay);
    }

    /// What is missing for a plan and the sagas within it, or too much.
    pub(crate) fn lacks(&self, definition: &Definition) -> Vec<String> {
        let mut lacks = Vec::new();
        let children = definition.children();
        let outlines = children.iter().map(|child| child.outline());
        let outlines: Vec<_> = std::iter::once(definition.outline()).chain(outlines).collect();
        let steps = || outlines.iter().flat_map(|outline| &outline.steps);
        for step in steps().filter(|step| step.task.is_call()) {
            let name = name_of(step);
            let handler = self.by_name.get(&name);
            if handler.is_none_or(|handler| handler.act.is_none()) {
                lacks.push(format!("`{name}` has no `.act::<…>(…)`"));
            }
            let undo = handler.is_some_and(|handler| handler.compensate.is_some());
            if step.kind == StepKind::Compensatable && !undo {
                lacks.push(format!("`{name}` has no `.compensate::<…>(…)`"));
            }
        }
        for name in self.by_name.keys() {
            if !steps().any(|step| name_of(step) == *name) {
                lacks.push(format!("`{name}` is no step of the plan"));
            }
        }
        lacks.sort();
        lacks.dedup();
        lacks
    }

    pub(crate) fn never_rejects(&self, step: &StepOutline) -> bool {
        self.by_name.get(&name_of(step)).is_some_and(|handler| handler.never_rejects)
    }
}

fn name_of(step: &StepOutline) -> String {
    format!("{}.{}", step.service, step.operation)
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Misfit> {
    serde_json::from_str(text).map_err(|_| Misfit)
}

/// The services of a run: the user's world, and what may happen to it.
pub(crate) struct Model<'a, W> {
    pub(crate) handlers: &'a Arc<Handlers<W>>,
    pub(crate) world: W,
}

impl<W: Clone> Services for Model<'_, W> {
    fn run(&mut self, work: &Work<'_>) -> Outcome {
        let handler = self.handlers.by_name.get(&name_of(work.plan));
        let deferred = handler.and_then(|handler| handler.deferred);
        match (work.id.op, deferred) {
            (Op::Action, Some(delay)) => Outcome::Accepted(Some(delay)),
            // It was accepted, and not done: it never will be.
            (Op::Compensation, _) if work.action == Some(&Reply::Pending) => Outcome::Nothing,
            _ => self.transact(work).map_or(Outcome::Broke, Outcome::Settled),
        }
    }

    fn finish(&mut self, work: &Work<'_>) -> Reply {
        let broke = || Reply::Retry { message: "it broke".into(), after: None };
        self.transact(work).unwrap_or_else(broke)
    }

    fn random_act(
        &mut self,
        random: &mut AccidentSource,
        _view: &SagaView<'_>,
    ) -> Option<RandomAct> {
        Some(RandomAct::Act(match random.pick(6) {
            0 | 1 => OperatorCommand::Retry,
            2 => OperatorCommand::Cancel,
            3 => OperatorCommand::Pause,
            _ => OperatorCommand::Resume,
        }))
    }
}

impl<W: Clone> Model<'_, W> {
    /// In a transaction: what a handler did before it broke or rejected is rolled back.
    fn transact(&mut self, work: &Work<'_>) -> Option<Reply> {
        let handler = self.handlers.by_name.get(&name_of(work.plan))?;
        let half = match work.id.op {
            Op::Action => handler.act.as_ref()?,
            Op::Compensation => handler.compensate.as_ref()?,
        };
        let mut transaction = self.world.clone();
        let reply = half(&mut transaction, work).ok()?;
        if matches!(reply, Reply::Ok(_)) {
            self.world = transaction;
        }
        Some(reply)
    }
}

/// A name and a condition on the user's world.
pub(crate) struct Invariant<W> {
    pub(crate) name: String,
    /// Only when the saga ended so.
    pub(crate) status: Option<crate::machine::Status>,
    pub(crate) holds: Box<dyn Fn(&W) -> bool + Send + Sync>,
}

impl<W> Display for Invariant<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.status {
            Some(status) => write!(f, "{} (when {status})", self.name),
            None => f.write_str(&self.name),
        }
    }
}
