//! Events for sagas that are there, and what follows from their turns.

use std::sync::Arc;

use crate::{
    Definition, Record, SagaId, StatusChange,
    machine::{self, ChildOrder, Decision, Event, State, Time, Turn},
};

use super::{Batch, Disposition, Message, Observe, Start};

impl<O: Observe> Batch<O> {
    /// Decides an event, after the limits that had passed when it came; none are asked for an event that
    /// says nothing new.
    pub(super) fn event(&mut self, id: SagaId, event: &Event, came: Option<Time>) -> Disposition {
        let overdue = came.and_then(|came| self.overdue(id, came, self.now));
        let mut publish = overdue.unwrap_or_default();
        let Some(decision) = self.ask(id, event, self.now) else {
            return Disposition::Bury(format!("there is no saga {id}"));
        };
        match decision {
            Decision::Turn(turn) => {
                publish.extend(self.take(id, *turn));
                Disposition::Publish(publish)
            }
            Decision::Known(sends) => {
                // Which of the changes this event caused may be forgotten by now: the saga has gone
                // on. All are published again; JetStream and consumers drop what they have.
                if let Some(instance) = self.instances.get(&id) {
                    publish.extend(instance.changes.iter().map(|change| instance.announce(change)));
                    publish.extend(instance.commands(&sends));
                }
                Disposition::Publish(publish)
            }
            Decision::Unexpected(_) if !self.fresh.contains(&id) => Disposition::Recheck,
            Decision::Unexpected(why) => Disposition::Bury(why.to_string()),
            Decision::Refused(why) => Disposition::Bury(why),
        }
    }

    /// Decides the limits that had passed when something else came, before that is decided: whatever is
    /// decided first, a limit holds as if its timer had fired in time. `None` when there are none.
    pub(super) fn overdue(&mut self, id: SagaId, came: Time, now: Time) -> Option<Vec<Message>> {
        // A stream's clock that is ahead makes nothing late that is not.
        let came = came.min(now);
        self.instances.get(&id)?.state.due().filter(|due| *due <= came)?;
        match self.ask(id, &Event::Overdue(came), now)? {
            Decision::Turn(turn) => Some(self.take(id, *turn)),
            _ => None,
        }
    }

    /// The machine's decision; `None` when there is no such saga at hand.
    pub(super) fn ask(&mut self, id: SagaId, event: &Event, now: Time) -> Option<Decision> {
        let instance = self.instances.get(&id)?;
        let decision = machine::decide(&instance.definition, &instance.state, event, now);
        self.observer.decided(instance, event, now, &decision);
        Some(decision)
    }

    /// Takes a turn into the batch.
    pub(super) fn take(&mut self, id: SagaId, turn: Turn) -> Vec<Message> {
        let Some(instance) = self.instances.get_mut(&id) else { return Vec::new() };
        let definition = Arc::clone(&instance.definition);
        let change = self.changes.entry(id).or_default();
        let (mut sends, published) = (Vec::new(), instance.changes.len());
        for fact in turn.facts {
            instance.changes.extend(StatusChange::of(&fact));
            if let Some(status) = fact.next.status {
                let earlier = change.status.take().and_then(|(_, error)| error);
                change.status = Some((status, fact.next.error.clone().or(earlier)));
            }
            let record = Record::of(definition.outline(), &turn.next, &fact);
            self.recorded.push((id, Arc::clone(&definition), record.clone()));
            change.facts.push(record);
            sends.extend(fact.next.sends);
        }
        let before = std::mem::replace(&mut instance.state, turn.next);
        self.due_before.entry(id).or_insert_with(|| before.due());
        let changes = instance.changes[published..].iter().map(|change| instance.announce(change));
        let mut publish: Vec<_> = changes.chain(instance.commands(&sends)).collect();
        let order = |send| machine::child(&definition, &instance.state, send);
        let orders: Vec<_> = sends.iter().filter_map(|s| Some((s.step, order(s)?))).collect();
        self.bind(id, &definition, &before);
        for (step, order) in orders {
            publish.extend(self.order(id, step, order));
        }
        publish
    }

    /// What a turn changes in what its saga waits for, and who waits for it.
    fn bind(&mut self, id: SagaId, definition: &Definition, before: &State) {
        let Some(instance) = self.instances.get(&id) else { return };
        let old = machine::waits(definition, before);
        let new = machine::waits(definition, &instance.state);
        for over in old.iter().filter(|wait| !new.contains(wait)) {
            self.rows.wait_over(id, &over.step);
        }
        for wait in new.into_iter().filter(|wait| !old.contains(wait)) {
            // The event may be there already.
            self.read_inbox.insert(id);
            self.rows.wait(id, &definition.outline().name, wait);
        }
        if instance.state.status.ended() && instance.is_awaited() {
            self.read_inbox.insert(id);
            self.wakes.extend(instance.parent);
        }
    }

    /// Starts a nested saga, or has it undone.
    fn order(&mut self, outer: SagaId, step: usize, order: ChildOrder) -> Vec<Message> {
        match order {
            ChildOrder::Start { definition, id, input } => {
                let Some(instance) = self.instances.get(&outer) else { return Vec::new() };
                let step = instance.state.name(instance.definition.outline(), step);
                let trace = instance.trace;
                let start = Start { definition, key: None, locks: Vec::new(), input, trace };
                self.begin(id, &start, Some((outer, step)))
            }
            ChildOrder::Undo { id, reason } => {
                self.rows.undo.push((id, reason));
                self.wakes.insert(id);
                Vec::new()
            }
        }
    }
}
