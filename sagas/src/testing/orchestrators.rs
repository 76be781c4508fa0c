//! The simulated orchestrators: read, decide, commit, publish, ack, with crashes between any two writes;
//! and the audit of that order. What is decided, [`Batch`] decides, as in production.

use std::{collections::HashMap, sync::Arc};

use super::{
    audit::{Decided, Watch},
    breach::{Breach, Guarantee, Kept, hold},
    message::Message as Posted,
    saga::{REPLICAS, Saga},
    schedule::Fate,
    sim::Sim,
};
use crate::{
    SagaId,
    machine::{Command, Event, Phase, State, Turn, command},
    turn::{Batch, Due, Input, Instance, Item, Message, Outcome, Verdict},
};

/// What a writer leaves behind when it dies.
pub(super) struct Crashed;

/// A decided batch, and whose it is.
struct Decision {
    outcome: Outcome<Watch>,
    /// Of each item: its verdict, and the decisions that were seen until then.
    verdicts: Vec<(Verdict, usize)>,
}

impl Sim<'_> {
    pub(super) fn saga(&mut self, id: SagaId) -> Kept<&mut Saga> {
        let saga = self.sagas.get_mut(&id);
        saga.ok_or_else(|| Breach::new(Guarantee::Wire, format!("there is no saga {id}")))
    }

    fn crashes(&mut self) -> Result<(), Crashed> {
        if self.schedule.crashes(self.writes) || self.random.chance(15) {
            let writes = self.writes;
            self.note(|| format!("       FAULT the orchestrator dies after write {writes}"));
            return Err(Crashed);
        }
        Ok(())
    }

    /// A timer fires: it is taken, and waits in its lane for a while, or not.
    pub(super) fn fire(&mut self, id: SagaId) -> Kept {
        let Some(due) = self.database.claim(id, self.now) else { return Ok(()) };
        if self.random.chance(12) {
            self.post(id, Posted::Fired(due));
            return Ok(());
        }
        self.fired(due)
    }

    pub(super) fn fired(&mut self, due: Due) -> Kept {
        self.batch(vec![Item { saga: due.saga, input: Input::Timer(due) }]).map(drop)
    }

    /// Takes items to one of the orchestrators, as one batch; which of them are acked. What is not will be
    /// delivered again, or its timer fires again.
    pub(super) fn batch(&mut self, items: Vec<Item>) -> Kept<Vec<bool>> {
        let replica = self.replica();
        let mut acked = vec![false; items.len()];
        let (mut open, mut trust): (Vec<usize>, _) = ((0..items.len()).collect(), true);
        while !open.is_empty() {
            let chosen: Vec<_> = open.iter().map(|n| &items[*n]).collect();
            let decision = self.decide(&chosen, trust, replica)?;
            let alone = !self.meanwhile(replica)?;
            if let Some(id) = self.database.conflicts(&self.sagas, &decision.outcome.rows) {
                hold!(trust || !alone, Fold, "the version check hits only outdated states");
                self.saga(id)?.checker.saw("version conflict");
                trust = false;
                continue;
            }
            match self.write(&chosen, decision, replica)? {
                Ok(settled) => {
                    open.iter().zip(&settled).for_each(|(n, settled)| acked[*n] = *settled);
                    open =
                        open.into_iter().zip(settled).filter(|(_, s)| !s).map(|(n, _)| n).collect();
                    trust = false;
                }
                Err(settled) => {
                    self.dies(replica);
                    open.iter().zip(settled).for_each(|(n, settled)| acked[*n] = settled);
                    return Ok(acked);
                }
            }
        }
        Ok(acked)
    }

    /// One of the orchestrators, but none that is in the midst of a batch.
    fn replica(&mut self) -> usize {
        let replica = self.random.pick(REPLICAS);
        if self.busy == Some(replica) { (replica + 1) % REPLICAS } else { replica }
    }

    /// Between the reading of an orchestrator and its writing others go on, or not.
    fn meanwhile(&mut self, replica: usize) -> Kept<bool> {
        if self.busy.is_some() || self.pipe.is_empty() || !self.random.chance(12) {
            return Ok(false);
        }
        let n = self.random.pick(self.pipe.len());
        let (_, id, message) = self.pipe.swap_remove(n);
        self.note(|| "       meanwhile".to_owned());
        self.busy = Some(replica);
        self.deliver(id, message)?;
        self.busy = None;
        Ok(true)
    }

    /// An orchestrator dies, and forgets.
    fn dies(&mut self, replica: usize) {
        self.sagas.values_mut().for_each(|saga| saga.replicas[replica] = None);
    }

    fn decide(&mut self, items: &[&Item], trust: bool, replica: usize) -> Kept<Decision> {
        let mut batch = Batch::observed(self.now, Watch::default());
        self.load(&mut batch, items, trust, replica);
        let mut verdicts = Vec::with_capacity(items.len());
        for item in items {
            let verdict = batch.decide(item);
            verdicts.push((verdict, batch.observer().0.len()));
        }
        let outcome = batch.finish();
        hold!(outcome.unusable.is_empty(), Wire, "{:?}", outcome.unusable);
        Ok(Decision { outcome, verdicts })
    }

    /// Reads what the orchestrator does not remember.
    fn load(&mut self, batch: &mut Batch<Watch>, items: &[&Item], trust: bool, replica: usize) {
        let sagas = &mut self.sagas;
        let remembered = |id| sagas.get_mut(&id)?.replicas[replica].take();
        let missing = batch.gather(items.iter().copied(), trust, remembered);
        for id in missing.sagas {
            if let Some(instance) = self.stored(id) {
                batch.put(id, instance);
            }
        }
        for (definition, key) in missing.keys {
            if let Some(holder) = self.database.holder(&definition, &key) {
                batch.put_key(definition, key, holder);
            }
        }
        self.read_inboxes(batch, &missing.woken);
    }

    fn stored(&self, id: SagaId) -> Option<Instance> {
        let saga = self.sagas.get(&id)?;
        Some(Instance {
            definition: Arc::clone(&saga.definition),
            state: saga.store.state().clone(),
            key: None,
            trace: None,
            changes: saga.store.changes().to_vec(),
            parent: saga.outer.as_ref().map(|(outer, _)| *outer),
            timer_at: self.database.timer_at(id, self.now),
        })
    }

    /// Commits, publishes and acks: which items are acked, those that are decided again not; or until
    /// where it came before it died.
    fn write(
        &mut self,
        items: &[&Item],
        decision: Decision,
        replica: usize,
    ) -> Kept<Result<Vec<bool>, Vec<bool>>> {
        let Decision { outcome, verdicts } = decision;
        let mut acked = vec![false; items.len()];
        let at_hand: HashMap<_, _> =
            outcome.instances.iter().map(|(id, instance)| (*id, instance.state.clone())).collect();
        if self.commit(&outcome)?.is_err() {
            return Ok(Err(acked));
        }
        for (id, instance) in outcome.instances {
            if !instance.state.status.ended() {
                self.saga(id)?.replicas[replica] = Some(instance);
            }
        }
        let (watched, mut from) = (outcome.observer.0, 0);
        for (n, (verdict, until)) in verdicts.into_iter().enumerate() {
            let decided = &watched[std::mem::replace(&mut from, until)..until];
            let publish = match verdict {
                Verdict::Publish(publish) => publish,
                Verdict::Recheck => {
                    self.saga(items[n].saga)?.checker.saw("outdated");
                    continue;
                }
                other => {
                    hold!(false, Wire, "{:?} is {other:?}", items[n]);
                    continue;
                }
            };
            if self.publish(&publish, &at_hand)?.is_err() {
                return Ok(Err(acked));
            }
            self.known(decided)?;
            acked[n] = true;
            if self.ack(items[n], decided)?.is_err() {
                return Ok(Err(acked));
            }
        }
        Ok(Ok(acked))
    }

    /// One transaction, and the timers that led to nothing after it.
    fn commit(&mut self, outcome: &Outcome<Watch>) -> Kept<Result<(), Crashed>> {
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
            saga.error = fact.next.error.clone().or(saga.error.take());
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

    fn publish(
        &mut self,
        messages: &[Message],
        at_hand: &HashMap<SagaId, State>,
    ) -> Kept<Result<(), Crashed>> {
        for message in messages {
            let Message::Command(command, _) = message else { continue };
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
    fn ack(&mut self, item: &Item, decided: &[Decided]) -> Kept<Result<(), Crashed>> {
        for (id, turn) in decided.iter().filter_map(Decided::turn) {
            let saga = self.saga(id)?;
            let committed = turn.next.seq <= saga.store.seq();
            hold!(committed, Acked, "acked before its turn was committed: {item:?}");
            let first = turn.facts.first().map_or(0, |fact| fact.seq);
            let of_turn = |seq: u32| seq >= first && seq < turn.next.seq;
            let lost = saga.unpublished.iter().find(|(seq, _)| of_turn(*seq));
            hold!(lost.is_none(), Acked, "acked before {lost:?} was published: {item:?}");
        }
        if let Input::Reply(reply) = &item.input {
            self.heard(item.saga, reply)?;
        }
        self.writes += 1;
        Ok(self.crashes())
    }
}
