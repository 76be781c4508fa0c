//! Commit, publish, ack, in this order: the simulated orchestrators' writes, between any two of which one
//! may die, and the audit of their order.

use std::{collections::HashMap, sync::Arc};

use super::{
    audit::{Decided, Watch, met_its_limits},
    breach::{Kept, hold},
    message::Message as Posted,
    saga::Saga,
    schedule::Fate,
    sim::Sim,
};
use crate::{
    SagaId,
    machine::{Command, Event, Phase, State, Turn, command},
    turn::{Disposition, Input, Item, Message, Outcome},
};

/// A decided batch.
pub(super) struct DecidedBatch {
    pub(super) outcome: Outcome<Watch>,
    /// Of each item: its disposition, and how many decisions were seen until then.
    pub(super) dispositions: Vec<(Disposition, usize)>,
}

/// An orchestrator died before its next write.
struct Crashed;

/// Whether an orchestrator lives on, if all promises are kept.
type Survives = Kept<Result<(), Crashed>>;

/// How far a batch came.
pub(super) struct Written {
    /// Of each item, whether it is acked.
    pub(super) acked: Vec<bool>,
    /// The orchestrator died on the way.
    pub(super) died: bool,
}

impl Sim<'_> {
    /// Commits, publishes and acks, until all is done or the orchestrator dies.
    pub(super) fn write(
        &mut self,
        items: &[&Item],
        decided: DecidedBatch,
        replica: usize,
    ) -> Kept<Written> {
        let mut acked = vec![false; items.len()];
        let died = self.write_on(items, decided, replica, &mut acked)?.is_err();
        Ok(Written { acked, died })
    }

    fn write_on(
        &mut self,
        items: &[&Item],
        decided: DecidedBatch,
        replica: usize,
        acked: &mut [bool],
    ) -> Survives {
        let DecidedBatch { outcome, dispositions } = decided;
        let at_hand: HashMap<_, _> =
            outcome.instances.iter().map(|(id, instance)| (*id, instance.state.clone())).collect();
        self.goes_past_no_act(&outcome.rows)?;
        if self.commit(&outcome)?.is_err() {
            return Ok(Err(Crashed));
        }
        for (id, instance) in outcome.instances {
            if !instance.state.status.ended() {
                self.saga(id)?.replicas[replica] = Some(instance);
            }
        }
        let (watched, mut from) = (outcome.observer.0, 0);
        for (n, (disposition, until)) in dispositions.into_iter().enumerate() {
            let decided = &watched[std::mem::replace(&mut from, until)..until];
            met_its_limits(items[n], decided)?;
            let Some(publish) = self.messages_of(items[n], disposition)? else { continue };
            if self.publish(&publish, &at_hand)?.is_err() {
                return Ok(Err(Crashed));
            }
            self.known(decided)?;
            acked[n] = true;
            if self.ack(items[n], decided)?.is_err() {
                return Ok(Err(Crashed));
            }
        }
        Ok(Ok(()))
    }

    /// What an item's disposition has published; none when it is decided again. Here nothing is buried, parked
    /// or left: all versions are known, and no reply is made up.
    fn messages_of(&mut self, item: &Item, disposition: Disposition) -> Kept<Option<Vec<Message>>> {
        match disposition {
            Disposition::Publish(publish) => return Ok(Some(publish)),
            Disposition::Recheck => self.saga(item.saga)?.checker.saw("outdated"),
            other => hold!(false, Wire, "{item:?} is {other:?}"),
        }
        Ok(None)
    }

    fn crashes(&mut self) -> Result<(), Crashed> {
        if self.schedule.crashes(self.writes) || self.random.chance(15) {
            let writes = self.writes;
            self.note(|| format!("       FAULT the orchestrator dies after write {writes}"));
            return Err(Crashed);
        }
        Ok(())
    }

    /// One transaction, and the timers that led to nothing after it.
    fn commit(&mut self, outcome: &Outcome<Watch>) -> Survives {
        if !outcome.rows.is_empty() {
            if self.crashes().is_err() {
                return Ok(Err(Crashed));
            }
            self.writes += 1;
            self.keep(outcome)?;
            self.release(Fate::AfterGivenUp);
        } else {
            self.audit(&outcome.observer.0)?;
        }
        self.database.rearm(&outcome.rearm);
        Ok(if outcome.rows.is_empty() { Ok(()) } else { self.crashes() })
    }

    fn keep(&mut self, outcome: &Outcome<Watch>) -> Kept {
        for (id, change) in &outcome.rows.sagas {
            let (Some(new), Some(instance)) = (&change.start, outcome.instances.get(id)) else {
                continue;
            };
            if new.parent.is_none() {
                self.root.get_or_insert(*id);
            }
            let saga = Saga::new(&instance.definition, *id, &new.input, new.parent.clone());
            self.sagas.insert(*id, saga);
        }
        self.audit(&outcome.observer.0)?;
        for (id, change) in &outcome.rows.sagas {
            let saga = self.saga(*id)?;
            saga.store.commit(&change.facts)?;
            let (folded, state) = (saga.store.state(), outcome.instances.get(id).map(|i| &i.state));
            hold!(Some(folded) == state, Fold, "{folded:#?} is not {state:#?}");
        }
        self.database.write(&outcome.rows)?;
        for (id, _) in &outcome.rows.locks {
            self.others_let_go(*id);
        }
        outcome.rows.sagas.iter().try_for_each(|(id, _)| self.bound(*id))
    }

    /// What a committed turn sends is to be published.
    pub(super) fn sends(&mut self, id: SagaId, event: &Event, turn: &Turn) -> Kept {
        let saga = self.saga(id)?;
        let definition = Arc::clone(&saga.definition);
        for fact in &turn.facts {
            saga.output = fact.next.output.clone().or(saga.output.take());
            for send in &fact.next.sends {
                let plan = turn.next.steps.get(send.step).map_or(0, |step| step.plan);
                if !definition.outline().steps[plan].task.is_call() {
                    continue;
                }
                let Some(command) = command(&definition, &turn.next, send) else {
                    hold!(false, Wire, "what is sent is not in flight: {send:?}");
                    continue;
                };
                saga.unpublished.push((fact.seq, command.id));
            }
        }
        if let Some(first) = turn.facts.first() {
            saga.taken.push((event.clone(), first.seq));
        }
        Ok(())
    }

    fn publish(&mut self, messages: &[Message], at_hand: &HashMap<SagaId, State>) -> Survives {
        for message in messages {
            let command = match message {
                Message::Command(command, _) => command,
                Message::Status(event, _) => {
                    let saga = self.saga(event.saga)?;
                    saga.announced = saga.announced.max(Some(event.seq));
                    continue;
                }
            };
            if let Some(state) = at_hand.get(&command.id.saga) {
                self.may_publish(command, state)?;
            }
            let id = command.id.saga;
            self.saga(id)?.unpublished.retain(|(_, sent)| *sent != command.id);
            if self.schedule.cancels(&command.id) {
                self.cancels(id);
            }
            if self.schedule.overdue(&command.id) {
                self.passes_deadline(id);
            }
            let (sent, fate) = (command.id.clone(), self.schedule.command(&command.id));
            self.fated(fate, &sent, Posted::Command(command.clone()));
            self.writes += 1;
            if self.crashes().is_err() {
                return Ok(Err(Crashed));
            }
        }
        Ok(Ok(()))
    }

    /// A command is of a committed turn, and says what belongs to it.
    fn may_publish(&mut self, command: &Command, state: &State) -> Kept {
        let saga = self.saga(command.id.saga)?;
        let (step, op) = (saga.checker.position(&command.id.step), command.id.op);
        let Some(step) = step else {
            hold!(false, Committed, "{} is not committed", command.id);
            return Ok(());
        };
        let asked = saga.checker.accounts[step].attempts(op).asked;
        hold!(asked >= command.id.attempt, Committed, "{} is not committed", command.id);
        // Of two turns in one batch the second may have sent another attempt, and know more.
        let sent = state.steps.get(step).map(|step| (step.op(op).phase, step.op(op).attempt));
        let current = sent == Some((Phase::InFlight, command.id.attempt));
        if current && state.seq == saga.store.seq() {
            saga.checker.command(step, op, &command.body)?;
        }
        Ok(())
    }

    /// The item is gone from the queue: what it led to must be safe. A timer has no queue: what it led to,
    /// and is lost, is sent again by the next.
    fn ack(&mut self, item: &Item, decided: &[Decided]) -> Survives {
        for (id, turn) in decided.iter().filter_map(Decided::turn) {
            let saga = self.saga(id)?;
            let committed = turn.next.seq <= saga.store.seq();
            hold!(committed, Acked, "acked before its turn was committed: {item:?}");
            let first = turn.facts.first().map_or(0, |fact| fact.seq);
            let of_turn = |seq: u32| seq >= first && seq < turn.next.seq;
            let lost = saga.unpublished.iter().find(|(seq, _)| of_turn(*seq));
            hold!(lost.is_none(), Acked, "acked before {lost:?} was published: {item:?}");
        }
        if let Input::Reply(reply, _) = &item.input {
            self.heard(item.saga, reply)?;
        }
        self.writes += 1;
        Ok(self.crashes())
    }
}
