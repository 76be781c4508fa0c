//! What was put into a saga's mailbox: by operators, its outer saga or another replica. It is decided
//! before anything else: no turn goes past what a person had asked for when it is committed.
//!
//! An act is a row beside the saga's next fact, [`Kind::Asked`](crate::machine::Kind::Asked), so a turn that
//! was decided without it meets the version check. What is read after that knows of the act.

use crate::{
    SagaId,
    machine::{Decision, Event, Time},
};

use super::{Batch, DecidedAct, Message, Observe, OpenAct};

impl<O: Observe> Batch<O> {
    /// Whether acts were found that are not decided yet.
    pub(super) fn has_acts(&self, id: SagaId) -> bool {
        self.instances.contains_key(&id)
            && self.inboxes.get(&id).is_some_and(|inbox| !inbox.acts.is_empty())
    }

    /// Decides the acts that were found.
    pub(super) fn acts(&mut self, id: SagaId) -> Vec<Message> {
        if !self.has_acts(id) {
            return Vec::new();
        }
        let acts = std::mem::take(&mut self.inbox(id).acts);
        self.decide_acts(id, acts, self.now)
    }

    pub(super) fn decide_acts(
        &mut self,
        id: SagaId,
        acts: Vec<OpenAct>,
        now: Time,
    ) -> Vec<Message> {
        acts.into_iter().flat_map(|act| self.act(id, act, now)).collect()
    }

    fn act(&mut self, id: SagaId, act: OpenAct, now: Time) -> Vec<Message> {
        let mut publish = self.overdue(id, act.came, now);
        let answer = act.event.map_err(|why| why.to_string()).and_then(|event| {
            self.as_seen(id, &event, act.exact)?;
            // The outer saga asked for an end that may be there already: it must look again.
            if matches!(event, Event::Undo(_)) {
                self.wakes.extend(self.instances.get(&id).and_then(|saga| saga.parent));
            }
            self.decide_event(id, &event, now)
        });
        let refusal = match answer {
            Ok(more) => {
                publish.extend(more);
                None
            }
            Err(why) => Some(why),
        };
        self.rows.acts.push(DecidedAct { id: act.id, saga: id, refusal });
        publish
    }

    /// An act that is only for the saga as the operator saw it; the fact that came with it is its own.
    fn as_seen(&self, id: SagaId, event: &Event, exact: bool) -> Result<(), String> {
        match event {
            Event::Act(act) if exact && self.seq(id) > act.seen.saturating_add(1) => {
                Err("the saga has moved on since you looked: look at it again".into())
            }
            _ => Ok(()),
        }
    }

    /// Decides what a saga found in its inbox.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(super) fn decide_event(
        &mut self,
        id: SagaId,
        event: &Event,
        now: Time,
    ) -> Result<Vec<Message>, String> {
        match self.ask(id, event, now) {
            Some(Decision::Turn(turn)) => Ok(self.take(id, *turn)),
            None | Some(Decision::Known(_)) => Ok(Vec::new()),
            Some(Decision::Refused(why)) => Err(why),
            Some(Decision::Unexpected(why)) => Err(why.to_string()),
        }
    }
}
