//! A timer fired: the inbox is decided first, and then the time.

use crate::{
    SagaId,
    machine::{Decision, Event, Time},
};

use super::{Batch, DecidedAct, Due, Message, Observe, OpenAct, Rearm};

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
        let mut publish = Vec::new();
        for act in inbox.acts {
            publish.extend(self.act(due, act, now));
        }
        let granted = inbox.granted.then_some((Event::Granted, now));
        let ends = inbox.ends.into_iter().map(|(end, came)| (Event::Child(end), came));
        let arrivals = inbox.arrivals.into_iter().map(|arrival| {
            let came = arrival.event.came().unwrap_or(now);
            (Event::Arrived(arrival), came)
        });
        for (event, came) in granted.into_iter().chain(ends).chain(arrivals) {
            publish.extend(self.overdue_before(due, came, now));
            match self.decide_event(due, &event, now) {
                Ok(more) => publish.extend(more),
                Err(why) => self.unusable.push((id, why)),
            }
        }
        match self.decide_event(due, &Event::TimerFired, now) {
            Ok(more) if !more.is_empty() || self.fired.contains_key(&id) => publish.extend(more),
            _ => publish.extend(self.idle(due)),
        }
        publish
    }

    /// As [`Batch::overdue`], for a saga whose timer fired.
    fn overdue_before(&mut self, due: &Due, came: Time, now: Time) -> Vec<Message> {
        let turn = self.overdue(due.saga, came, now);
        if turn.is_some() {
            self.fired.insert(due.saga, *due);
        }
        turn.unwrap_or_default()
    }

    /// Decides an event for a saga whose timer fired.
    ///
    /// # Errors
    /// Why the event cannot be used.
    fn decide_event(
        &mut self,
        due: &Due,
        event: &Event,
        now: Time,
    ) -> Result<Vec<Message>, String> {
        match self.ask(due.saga, event, now) {
            Some(Decision::Turn(turn)) => {
                self.fired.insert(due.saga, *due);
                Ok(self.take(due.saga, *turn))
            }
            None | Some(Decision::Known(_)) => Ok(Vec::new()),
            Some(Decision::Refused(why)) => Err(why),
            Some(Decision::Unexpected(why)) => Err(why.to_string()),
        }
    }

    /// Decides an item of the mailbox: of an operator, the outer saga or another replica.
    fn act(&mut self, due: &Due, act: OpenAct, now: Time) -> Vec<Message> {
        let mut publish = self.overdue_before(due, act.came, now);
        let answer = act.event.map_err(|why| why.to_string()).and_then(|event| {
            self.as_seen(due.saga, &event, act.exact)?;
            // The outer saga asked for an end that may be there already: it must look again.
            if matches!(event, Event::Undo(_)) {
                self.wakes.extend(self.instances.get(&due.saga).and_then(|saga| saga.parent));
            }
            self.decide_event(due, &event, now)
        });
        let refusal = match answer {
            Ok(more) => {
                publish.extend(more);
                None
            }
            Err(why) => Some(why),
        };
        self.rows.acts.push(DecidedAct { id: act.id, saga: due.saga, refusal });
        publish
    }

    /// An act that is only for the saga as the operator saw it. A state that is older than that is found
    /// out by the commit.
    fn as_seen(&self, id: SagaId, event: &Event, exact: bool) -> Result<(), String> {
        let facts = self.instances.get(&id).map_or(0, |instance| instance.state.seq);
        match event {
            Event::Act(act) if exact && facts > act.seen => {
                Err("the saga has moved on since you looked: look at it again".into())
            }
            _ => Ok(()),
        }
    }

    /// Nothing was due. The timer is set again at the end of the batch, by the state that is then.
    fn idle(&mut self, due: &Due) -> Option<Message> {
        self.idle.insert(due.saga, *due);
        let instance = self.instances.get(&due.saga)?;
        // A change that a timer caused has no message that would be delivered again: the timer has its
        // status event published again.
        let last = instance.changes.last().filter(|c| c.seq + 1 == instance.state.seq)?;
        Some(instance.announce(last))
    }
}
