//! Events for sagas that are there, and what follows from their turns.

use std::sync::Arc;

use crate::{
    Definition, Record, SagaId, StatusChange,
    machine::{self, ChildOrder, Decision, Event, ReplyEvent, State, Time, Turn, Unexpected},
};

use super::{Batch, Disposition, Message, Observe, Start};

impl<O: Observe> Batch<O> {
    /// Decides a reply that came at some time.
    pub(super) fn reply(&mut self, id: SagaId, reply: &ReplyEvent, came: Time) -> Disposition {
        let event = Event::Reply(reply.clone());
        let mut publish = Vec::new();
        if self.has_acts(id) || self.is_overdue(id, came, self.now) {
            // A reply that may not belong to the saga is found out before anything is taken.
            if let Some(Decision::Unexpected(why)) = self.foresee(id, &event) {
                return self.unexpected(id, &why);
            }
            publish.extend(self.acts(id));
            publish.extend(self.overdue(id, came, self.now));
            self.by_itself.insert(id);
        }
        self.event(id, &event, publish)
    }

    /// Decides an event, after what these messages followed from.
    pub(super) fn event(
        &mut self,
        id: SagaId,
        event: &Event,
        mut publish: Vec<Message>,
    ) -> Disposition {
        let Some(decision) = self.ask(id, event, self.now) else {
            return Disposition::Bury(format!("there is no saga {id}"));
        };
        match decision {
            Decision::Turn(turn) => publish.extend(self.take(id, *turn)),
            Decision::Known(sends) => {
                // Which of the changes this event caused may be forgotten by now: the saga has gone
                // on. All are published again; JetStream and consumers drop what they have.
                if let Some(instance) = self.instances.get(&id) {
                    publish.extend(instance.changes.iter().map(|change| instance.announce(change)));
                    publish.extend(instance.commands(&sends));
                }
            }
            Decision::Unexpected(why) => return self.unexpected(id, &why),
            Decision::Refused(why) => return Disposition::Bury(why),
        }
        Disposition::Publish(publish)
    }

    fn unexpected(&self, id: SagaId, why: &Unexpected) -> Disposition {
        if self.fresh.contains(&id) {
            return Disposition::Bury(why.to_string());
        }
        Disposition::Recheck
    }

    /// What the machine would decide now.
    fn foresee(&self, id: SagaId, event: &Event) -> Option<Decision> {
        let instance = self.instances.get(&id)?;
        Some(machine::decide(&instance.definition, &instance.state, event, self.now))
    }

    /// Whether something was due when something else came. A stream's clock that is ahead makes nothing
    /// late that is not.
    fn is_overdue(&self, id: SagaId, came: Time, now: Time) -> bool {
        let due = self.instances.get(&id).and_then(|instance| instance.state.limit());
        due.is_some_and(|due| due <= came.min(now))
    }

    /// Decides the limits that had passed when something else came, before that is decided: whatever is
    /// decided first, a limit holds as if its timer had fired in time.
    pub(super) fn overdue(&mut self, id: SagaId, came: Time, now: Time) -> Vec<Message> {
        if !self.is_overdue(id, came, now) {
            return Vec::new();
        }
        match self.ask(id, &Event::Overdue(came.min(now)), now) {
            Some(Decision::Turn(turn)) => self.take(id, *turn),
            _ => Vec::new(),
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
            if let Some(new) = StatusChange::of(&fact, &instance.changes) {
                let earlier = change.status.take().and_then(|(_, error)| error);
                change.status = Some((new.status, new.error.clone().or(earlier)));
                instance.changes.push(new);
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
        // One that is held while it waits for locks lets others go first; afterwards it asks again.
        if instance.state.queued && before.paused != instance.state.paused {
            self.read_inbox.insert(id);
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
                let trace = instance.trace.clone();
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
