//! A timer fired: the inbox is decided first, and then the time.

use crate::{SagaId, machine::Event};

use super::{Batch, Due, Message, Observe, Rearm};

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
            publish.extend(self.announce_again(id));
        }
        publish
    }

    /// How many facts a saga at hand has.
    pub(super) fn seq(&self, id: SagaId) -> u32 {
        self.instances.get(&id).map_or(0, |instance| instance.state.seq)
    }

    /// Nothing was due, and the timer is set again at the end of the batch, by the state that is then. A
    /// change that a timer caused has no message that would be delivered again: the timer has its status
    /// event published again.
    fn announce_again(&self, id: SagaId) -> Option<Message> {
        let instance = self.instances.get(&id)?;
        let last = instance.changes.last().filter(|c| c.seq + 1 == instance.state.seq)?;
        Some(instance.announce(last))
    }
}
