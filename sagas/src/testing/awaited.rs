//! What moves a saga beside replies and time: events that it waits for, its locks, the sagas that are its
//! steps. The database keeps all of this, and the saga's timer has it read.

use std::time::Duration;

use super::{
    audit::Watch,
    breach::{Kept, hold},
    fault::Fault,
    message::Message,
    saga::Saga,
    sim::Sim,
};
use crate::{
    AttemptId, EventId, Op, SagaId, Task,
    machine::{Arrival, ChildEnd, Phase, Status, Time, child_id},
    turn::Batch,
};

/// How long after the start an event is published, or a lock is free.
const LATER_MS: [u64; 6] = [500, 0, 20, 5_000, 50_000, 1_000_000];

impl Sim<'_> {
    /// Somebody will publish the events, in their time.
    pub(super) fn publish_events(&mut self, saga: SagaId) {
        for n in 0..self.externals.len() {
            let fault = self.event_fault(saga, n);
            let ms = LATER_MS[self.random.pick(LATER_MS.len())];
            let twice = fault == Some(Fault::Duplicate) || self.random.chance(12);
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

    /// What is planned for an event, by the step that waits for it.
    fn event_fault(&mut self, saga: SagaId, n: usize) -> Option<Fault> {
        let subject = &self.externals[n].subject;
        let waits = |task: &Task| matches!(task, Task::Event { subject: s } if s == subject);
        let mut steps = self.trigger.0.outline().steps.iter();
        let step = steps.find(|step| waits(&step.task))?.name.as_str().into();
        self.schedule.event(&AttemptId { saga, step, op: Op::Action, attempt: 1 })
    }

    /// An event is kept, and wakes the sagas that wait for it.
    pub(super) fn published(&mut self, n: usize) {
        let sequence = u64::try_from(self.kept.len()).unwrap_or(u64::MAX);
        let event = EventId::of_message("EVENTS", sequence, self.now);
        self.kept.push((n, event.clone()));
        let sagas: Vec<_> = self.sagas.keys().copied().collect();
        for id in sagas {
            if self.arrivals(id).iter().any(|arrival| arrival.event == event) {
                self.database.wake(id, self.now);
            }
        }
    }

    /// The kept events that steps of a saga wait for, oldest first.
    fn arrivals(&self, id: SagaId) -> Vec<Arrival> {
        let Some(saga) = self.sagas.get(&id) else { return Vec::new() };
        let outline = saga.definition.outline();
        let mut arrivals = Vec::new();
        for (step, key) in self.database.waits(id) {
            let Some(at) = outline.position(step) else { continue };
            for (order, (external, event)) in self.kept.iter().enumerate() {
                let external = &self.externals[*external];
                let subject = Task::Event { subject: external.subject.clone() };
                let fits = outline.steps[at].task == subject
                    && saga.definition.matches(at, &external.body).is_ok_and(|found| found == key);
                if fits {
                    let (event, body) = (event.clone(), external.body.clone());
                    arrivals.push((order, Arrival { step: step.into(), event, body }));
                }
            }
        }
        arrivals.sort_by_key(|(order, _)| *order);
        arrivals.into_iter().map(|(_, arrival)| arrival).collect()
    }

    /// Somebody else holds a lock that a saga wants, and lets it go after a while, or at once.
    pub(super) fn others_let_go(&mut self, id: SagaId) {
        if self.random.chance(2) {
            let ms = LATER_MS[self.random.pick(LATER_MS.len())];
            self.post_in(Duration::from_millis(ms), id, Message::LockIsFree);
        } else {
            self.database.lock_is_free(id);
        }
    }

    /// Reads what the sagas whose timers fired may have waited for.
    pub(super) fn read_inboxes(&mut self, batch: &mut Batch<Watch>, woken: &[SagaId]) {
        let query = batch.inbox_query(woken);
        for id in query.mail {
            batch.inbox(id).acts = self.database.open_acts(id);
        }
        for id in query.waiting {
            batch.inbox(id).arrivals = self.arrivals(id);
        }
        for id in query.queued {
            batch.inbox(id).granted = self.database.acquires(id);
        }
        for (child, (outer, step)) in query.children {
            batch.inbox(outer).ends.extend(self.child_end(child, &step));
        }
    }

    /// How a nested saga ended, if it has.
    fn child_end(&self, child: SagaId, step: &str) -> Option<(ChildEnd, Time)> {
        let child = self.sagas.get(&child)?;
        let status = child.store.state().status;
        let error = || child.store.changes().last().and_then(|change| change.error.clone());
        let end = || ChildEnd {
            step: step.into(),
            status,
            output: child.output.clone().filter(|_| status == Status::Completed),
            error: error().filter(|_| status == Status::Compensated),
        };
        status.ended().then(|| (end(), child.store.moved_at()))
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
