//! What moves a saga beside replies and timers: events that it waits for, its locks, the sagas that
//! are its steps and the saga whose step it is. The database keeps all of this, so it may be late and
//! doubled, but is not lost.

use std::{sync::Arc, time::Duration};

use super::{
    breach::{Kept, hold},
    fault::Fault,
    pipe::Message,
    saga::Saga,
    sim::Sim,
};
use crate::{
    AttemptId, Op, SagaId, Task,
    machine::{Arrival, ChildEnd, ChildOrder, Event, Phase, Status, child_id, start, waits},
};

/// How long after the start an event is published.
const EVENT_MS: [u64; 6] = [500, 0, 20, 5_000, 50_000, 1_000_000];

impl Sim<'_> {
    /// Somebody will publish the events, in their time.
    pub(super) fn publish_events(&mut self, saga: SagaId) {
        let definition = Arc::clone(&self.trigger.0);
        for n in 0..self.externals.len() {
            let subject = &self.externals[n].subject;
            let waits = |task: &Task| matches!(task, Task::Event { subject: s } if s == subject);
            let steps = &definition.outline().steps;
            let step = steps.iter().find(|step| waits(&step.task));
            let fault = step.and_then(|step| {
                let step = step.name.as_str().into();
                self.plot.event(&AttemptId { saga, step, op: Op::Action, attempt: 1 })
            });
            let ms = EVENT_MS[self.tape.pick(EVENT_MS.len())];
            let twice = fault == Some(Fault::Duplicate) || self.tape.chance(12);
            match fault {
                Some(Fault::EarlyEvent) => self.published(n),
                Some(Fault::LateEvent) => self.hold_back(saga, Message::Published(n)),
                _ => self.post_in(Duration::from_millis(ms), saga, Message::Published(n)),
            }
            if twice {
                self.post_in(Duration::from_millis(ms + 1), saga, Message::Published(n));
            }
        }
    }

    fn published(&mut self, n: usize) {
        self.kept.push(n);
        let sagas: Vec<_> = self.sagas.keys().copied().collect();
        sagas.into_iter().for_each(|saga| self.find_events(saga));
    }

    /// The oldest kept event for each step that waits, of those that the saga has not taken.
    fn find_events(&mut self, id: SagaId) {
        let Some(saga) = self.sagas.get(&id) else { return };
        let (outline, state) = (saga.definition.outline(), saga.store.state());
        let mut found = Vec::new();
        for wait in waits(&saga.definition, state) {
            let Some(at) = outline.position(&wait.step) else { continue };
            let fits = |(n, external): (usize, &usize)| {
                let (event, external) = (i64::try_from(n).ok()?, &self.externals[*external]);
                let key = saga.definition.matches(at, &external.body);
                let subject = Task::Event { subject: external.subject.clone() };
                let fits = outline.steps[at].task == subject && key == Ok(wait.key.clone());
                (fits && !state.taken.contains(&event)).then(|| (event, external.body.clone()))
            };
            let event = self.kept.iter().enumerate().find_map(fits);
            found.extend(event.map(|(event, body)| (wait.step, event, body)));
        }
        for (step, event, body) in found {
            if self.told.insert((id, step.clone(), event)) {
                let arrival = Arrival { step: step.into(), event, body };
                self.post(id, Message::Arrived(arrival));
            }
        }
    }

    /// What is delivered from the database until it is taken.
    pub(super) fn deliver_own(&mut self, id: SagaId, message: Message) -> Kept {
        let event = match &message {
            Message::Published(n) => {
                self.published(*n);
                return Ok(());
            }
            Message::Arrived(arrival) => Event::Arrived(arrival.clone()),
            Message::Granted => Event::Granted,
            Message::Undo(reason) => Event::Undo(reason.clone()),
            Message::Look(step) => match self.look(id, step) {
                Some(end) => Event::Child(end),
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        if !self.handle(id, &event)? || self.tape.chance(10) {
            self.post(id, message);
        } else if matches!(message, Message::Undo(_)) {
            // Undone before, by itself: the outer saga has to be told again.
            let status = self.sagas.get(&id).map(|saga| saga.store.state().status);
            status.into_iter().for_each(|status| self.tell_outer(id, status));
        }
        Ok(())
    }

    /// How a nested saga ended, if it has.
    fn look(&self, id: SagaId, step: &str) -> Option<ChildEnd> {
        let outer = self.sagas.get(&id)?;
        let at = outer.definition.outline().position(step)?;
        let child = self.sagas.get(&child_id(&outer.definition, outer.store.state(), at)?)?;
        let status = child.store.state().status;
        status.ended().then(|| ChildEnd {
            step: step.into(),
            status,
            output: child.output.clone().filter(|_| status == Status::Completed),
            error: child.error.clone().filter(|_| status == Status::Compensated),
        })
    }

    /// What a step that is a saga asks for, in the transaction of its turn.
    pub(super) fn order(&mut self, outer: SagaId, step: String, order: ChildOrder) -> Kept {
        match order {
            ChildOrder::Start { definition, id, input } => {
                if let Some(there) = self.sagas.get(&id) {
                    let same = there.outer == Some((outer, step));
                    hold!(same, Once, "two steps are one saga, {id}");
                    return Ok(());
                }
                let turn = start(&definition, id, input.clone(), self.now);
                let saga = Saga::new(&definition, id, &input, Some((outer, step)));
                self.sagas.insert(id, saga);
                self.keep(id, &Event::StartedAgain, &turn)?;
                self.fresh.push((id, turn));
            }
            ChildOrder::Undo { id, reason } => self.post(id, Message::Undo(reason)),
        }
        Ok(())
    }

    /// What a commit sets going.
    pub(super) fn follow(&mut self, id: SagaId, status: Status) {
        if status == Status::Queued {
            self.post(id, Message::Granted);
        }
        self.tell_outer(id, status);
        self.find_events(id);
    }

    fn tell_outer(&mut self, id: SagaId, status: Status) {
        let outer = self.sagas.get(&id).and_then(|saga| saga.outer.clone());
        if let (Some((outer, step)), true) = (outer, status.ended()) {
            self.post(outer, Message::Look(step));
        }
    }

    /// Nothing moves until the saga's deadline has passed.
    pub(super) fn passes_deadline(&mut self, id: SagaId) {
        let deadline = self.sagas.get(&id).and_then(|saga| saga.store.state().deadline);
        if let Some(deadline) = deadline {
            self.note(|| "       FAULT nothing moves until the deadline".to_owned());
            self.now = self.now.max(deadline);
        }
    }

    /// A saga that is a step ended as the step did, unless a person spoke for it.
    pub(super) fn nested_end(&self, id: SagaId, saga: &Saga) -> Kept {
        let (state, outline) = (saga.store.state(), saga.definition.outline());
        for (at, plan) in outline.steps.iter().enumerate() {
            let Some(child) = child_id(&saga.definition, state, at) else { continue };
            let child = self.sagas.get(&child).map(|child| child.store.state().status);
            let step = &state.steps[at];
            let undo_skipped = step.compensation.phase == Phase::Skipped;
            let same = match (state.status, step.action.phase) {
                (Status::Completed, Phase::Done) => child == Some(Status::Completed),
                (Status::Compensated, _) => {
                    // What was done late, after its end, may leave it stuck.
                    let back = [None, Some(Status::Compensated), Some(Status::Stuck)];
                    undo_skipped || back.contains(&child)
                }
                _ => true,
            };
            hold!(same, Once, "{id} is {}, and its step {} is {child:?}", state.status, plan.name);
        }
        Ok(())
    }
}
