//! A timer fired: the inbox is decided first, and then the time.

use crate::{
    SagaId, StatusChange,
    machine::{Event, Time},
};

use super::{Batch, Due, Message, Observe, Rearm, timer};

impl<O: Observe> Batch<O> {
    pub(super) fn timer(&mut self, due: &Due) -> Vec<Message> {
        let id = due.saga;
        let inbox = self.inboxes.remove(&id).unwrap_or_default();
        if self.foreign.contains(&id) {
            return Vec::new();
        }
        if !self.instances.contains_key(&id) {
            if let Some(start) = inbox.request {
                return self.start_requested(due, start);
            }
            self.rearm.push(Rearm::Delete(*due));
            return Vec::new();
        }
        // The database found the timer due; a replica whose clock is behind must not disagree.
        let now = self.now.max(due.now);
        self.fired.insert(id, *due);
        let before = self.seq(id);
        let mut publish = self.decide_acts(id, inbox.acts, now);
        let granted = inbox.granted.then_some((Event::Granted, now));
        let ends = inbox.ends.into_iter().map(|(end, came)| (Event::Child(end), came));
        let arrivals = inbox.arrivals.into_iter().map(|arrival| {
            let came = arrival.event.came().unwrap_or(now);
            (Event::Arrived(arrival), came)
        });
        for (event, came) in granted.into_iter().chain(ends).chain(arrivals) {
            publish.extend(self.overdue(id, came, now));
            match self.decide_event(id, &event, now) {
                Ok(more) => publish.extend(more),
                Err(why) => self.unusable.push((id, why)),
            }
        }
        publish.extend(self.decide_event(id, &Event::TimerFired, now).unwrap_or_default());
        if self.seq(id) == before {
            publish.extend(self.announce_again(id, now));
        }
        publish
    }

    /// How many facts a saga at hand has.
    pub(super) fn seq(&self, id: SagaId) -> u32 {
        self.instances.get(&id).map_or(0, |instance| instance.state.seq)
    }

    /// Nothing was due, and the timer is set again at the end of the batch, by the state that is then. A
    /// change that a timer caused has no message that would be delivered again: its status event is published
    /// again until it is known to be stored.
    fn announce_again(&self, id: SagaId, now: Time) -> Option<Message> {
        let change = self.unannounced(id).filter(|change| timer::is_overdue(change, now))?;
        Some(self.instances.get(&id)?.announce(change))
    }

    /// When the event of a saga's last change was published, or is now, if that may have to be done again.
    pub(super) fn announced_at(&self, id: SagaId, now: Time) -> Option<Time> {
        let change = self.unannounced(id)?;
        Some(if timer::is_overdue(change, now) { now } else { change.at })
    }

    /// The change by a saga's last fact, or its end, if the event may have to be published again.
    fn unannounced(&self, id: SagaId) -> Option<&StatusChange> {
        let instance = self.instances.get(&id)?;
        let state = &instance.state;
        let current = |c: &&StatusChange| c.seq + 1 == state.seq || state.status.ended();
        let last = instance.changes.last().filter(current)?;
        let announced = self.announced.get(&id).is_some_and(|seq| *seq >= last.seq);
        (!announced).then_some(last)
    }
}
