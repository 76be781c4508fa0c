//! Operators in the simulated world: acts at random while accidents happen, and what only a person
//! can end.

use std::sync::Arc;

use super::{
    breach::{Kept, hold},
    services::{Look, Meddling, Repair},
    sim::{Message, Sim},
};
use crate::{
    AttemptId, Json, Op, SagaId,
    machine::{Act, ActEvent, Event, Status},
    wire::Reply,
};

/// A saga that they must get going more often than this does not end.
const CLOSED_MAX: u32 = 100;

impl Sim<'_> {
    /// Someone looks at a saga and acts; it arrives later, if at all in time.
    pub(super) fn meddles(&mut self) {
        let n = self.tape.pick(self.sagas.len());
        let Some((id, saga)) = self.sagas.iter().nth(n) else { return };
        let (id, state) = (*id, saga.store.state());
        let look = Look { definition: &saga.definition, state, ledger: &self.ledger };
        let Some(meddling) = self.services.meddle(&mut self.tape, &look) else { return };
        let seq = state.seq;
        let act = match meddling {
            Meddling::Act(act) => act,
            Meddling::Resolve { step, op, yes } => {
                let attempt = AttemptId { saga: id, step: step.as_str().into(), op, attempt: 1 };
                Act::Resolve { step, outcome: self.by_hand(&attempt, yes) }
            }
        };
        let ago = if self.tape.pick(6) == 5 { self.tape.pick(9) } else { 0 };
        let seen = seq.saturating_sub(u32::try_from(ago).unwrap_or(0));
        let event = self.signed(act, seen);
        self.send(id, Message::Act(event));
    }

    fn signed(&mut self, act: Act, seen: u32) -> ActEvent {
        let by = ["alice", "bob"][self.tape.pick(2)].to_owned();
        ActEvent { act, by, reason: format!("looked at {seen} facts"), seen }
    }

    /// An operator cancels, now.
    pub(super) fn cancels(&mut self, id: SagaId) {
        let Some(saga) = self.sagas.get(&id) else { return };
        let seen = saga.store.seq();
        let event = self.signed(Act::Cancel, seen);
        self.note(|| "       FAULT an operator cancels".to_owned());
        self.post_now(id, Message::Act(event));
    }

    /// An operator does it, or sees to it that it is never done, and says so.
    fn by_hand(&mut self, id: &AttemptId, yes: bool) -> Reply {
        let naive = self.services.naive(id);
        let deeds = self.ledger.of(id.saga, &id.step);
        let action = AttemptId { op: Op::Action, ..id.clone() };
        let remembered = self.barrier.remembered(&action).filter(|r| r.settles()).cloned();
        let refused = matches!(remembered, Some(Reply::Rejected { .. }));
        let never = || Reply::Rejected { code: "compensated".into(), message: "by hand".into() };
        let reply = match (id.op, remembered) {
            (Op::Compensation, _) if deeds.applied > deeds.undone => {
                self.ledger.did(id);
                Reply::Ok(Json::null())
            }
            (Op::Compensation, _) => {
                if !refused {
                    self.barrier.by_hand(&action, Some(never()));
                }
                Reply::Ok(Json::null())
            }
            (Op::Action, Some(reply)) if !naive => reply,
            (Op::Action, _) if yes => {
                self.ledger.did(id);
                Reply::Ok(self.services.by_hand(id))
            }
            (Op::Action, _) => never(),
        };
        self.barrier.by_hand(id, Some(reply.clone()));
        let deeds = self.ledger.entry(id);
        (deeds.by_hand, deeds.naive) = (true, naive);
        reply
    }

    /// Nothing will ever happen again by itself. False when nobody has anything to do.
    pub(super) fn close(&mut self) -> Kept<bool> {
        let waits = self.sagas.iter().find_map(|(id, saga)| {
            let state = saga.store.state();
            let stuck = state.status == Status::Stuck && self.heal;
            (state.paused || stuck).then(|| (*id, state.paused, state.seq))
        });
        let Some((id, paused, seq)) = waits else { return Ok(false) };
        let act = if paused {
            Act::Resume
        } else {
            match self.repair(id)? {
                Some(act) => act,
                None => return Ok(false),
            }
        };
        self.closed += 1;
        hold!(self.closed <= CLOSED_MAX, Ends, "nobody can end it");
        let event = Event::Act(self.signed(act, seq));
        self.note(|| format!("act     {event:?}"));
        self.handle(id, &event)?;
        Ok(true)
    }

    fn repair(&mut self, id: SagaId) -> Kept<Option<Act>> {
        let Some(saga) = self.sagas.get_mut(&id) else { return Ok(None) };
        let state = saga.store.state();
        let look = Look { definition: &saga.definition, state, ledger: &self.ledger };
        let Some(Repair { act, definition, forget }) = self.services.repair(&look) else {
            return Ok(None);
        };
        for effect in &forget {
            self.barrier.by_hand(effect, None);
        }
        if let Some(definition) = definition.map(Arc::new) {
            saga.store.deploy(Arc::clone(&definition));
            saga.definition = definition;
        }
        Ok(Some(act))
    }
}
