//! The simulated orchestrators: load, decide, commit, publish, ack, with crashes between any two
//! writes; and the audit of that order.

use std::sync::Arc;

use super::{
    breach::{Kept, hold},
    people::as_previewed,
    pipe::Message,
    plot::Fate,
    saga::Saga,
    sim::Sim,
    store::Store,
};
use crate::{
    AttemptId, Definition, Json, Op, SagaId,
    machine::{
        Decision, Event, OperatorCommand, Phase, ReplyEvent, Send, State, Turn, child, command,
        decide, start,
    },
    wire::Reply,
};

/// What a writer leaves behind when it dies.
struct Crashed;

impl Sim<'_> {
    pub(super) fn saga(&mut self, id: SagaId) -> Kept<&mut Saga> {
        let saga = self.sagas.get_mut(&id);
        match saga {
            Some(saga) => Ok(saga),
            None => Err(super::breach::Breach::new(
                super::breach::Guarantee::Wire,
                format!("there is no saga {id}"),
            )),
        }
    }

    fn crashes(&mut self) -> Result<(), Crashed> {
        if self.plot.crashes(self.writes) || self.tape.chance(15) {
            let writes = self.writes;
            self.note(|| format!("       FAULT the orchestrator dies after write {writes}"));
            return Err(Crashed);
        }
        Ok(())
    }

    /// A saga begins; false when its trigger will be delivered again.
    pub(super) fn begin(
        &mut self,
        id: SagaId,
        definition: &Arc<Definition>,
        input: &Json,
    ) -> Kept<bool> {
        let turn = start(definition, id, input.clone(), self.now);
        self.sagas.insert(id, Saga::new(definition, id, input, None));
        let acked = self.write(id, 0, &Event::StartedAgain, &turn)?;
        if self.saga(id)?.store.seq() == 0 {
            self.sagas.remove(&id);
        }
        Ok(acked)
    }

    /// Takes an event to one of the orchestrators; false when it will be delivered again.
    pub(super) fn handle(&mut self, id: SagaId, event: &Event) -> Kept<bool> {
        let replica = self.tape.pick(2);
        loop {
            let now = self.now;
            let saga = self.saga(id)?;
            let definition = Arc::clone(&saga.definition);
            let cached = saga.replicas[replica].take();
            let fresh = cached.is_none();
            let state = cached.unwrap_or_else(|| saga.store.state().clone());
            let decision = decide(&definition, &state, event, now);
            as_previewed(&definition, &state, event, &decision)?;
            match decision {
                Decision::Turn(turn) if outdated(&turn, &saga.store) => {
                    hold!(!fresh, Fold, "the version check hits only outdated states");
                    saga.checker.saw("version conflict");
                }
                Decision::Turn(turn) => {
                    self.says_nothing_new(id, event, &turn)?;
                    if let Event::Act(act) = event {
                        self.saga(id)?.checker.judges(act, Ok(&turn.facts))?;
                    }
                    let acked = self.write(id, replica, event, &turn)?;
                    return self.heard(id, event, acked);
                }
                Decision::Known(_) if !fresh && needs_fresh(event) => {}
                Decision::Known(sends) => {
                    saga.checker.saw("known");
                    let published = self.publish(id, &state, &sends)?.is_ok();
                    let paused = state.paused;
                    self.saga(id)?.replicas[replica] = Some(state);
                    if published {
                        self.audit_known(id, event, paused)?;
                    }
                    return self.heard(id, event, published);
                }
                Decision::Refused(_) if !fresh => saga.checker.saw("outdated"),
                Decision::Refused(why) => {
                    let Event::Act(act) = event else {
                        hold!(false, Operators, "{event:?} is refused: {why}");
                        return Ok(true);
                    };
                    saga.checker.judges(act, Err(&why))?;
                    return Ok(true);
                }
                Decision::Unexpected(why) => {
                    hold!(!fresh, Wire, "{why}");
                    saga.checker.saw("outdated");
                }
            }
        }
    }

    fn heard(&mut self, id: SagaId, event: &Event, acked: bool) -> Kept<bool> {
        if let Event::Reply(ReplyEvent { step, op, attempt, reply: Reply::Ok(_), .. }) = event
            && acked
        {
            self.saga(id)?.checker.heard_ok(step, *op, *attempt)?;
        }
        Ok(acked)
    }

    /// The same event once more is known; an act from what was seen before it is refused.
    fn says_nothing_new(&self, id: SagaId, event: &Event, turn: &Turn) -> Kept {
        let Some(saga) = self.sagas.get(&id) else { return Ok(()) };
        match event {
            Event::Act(act) => {
                for next in [
                    act.command.clone(),
                    OperatorCommand::Retry,
                    OperatorCommand::Cancel,
                    OperatorCommand::Pause,
                    OperatorCommand::Resume,
                ] {
                    let mut second = act.clone();
                    (second.command, second.by) = (next, "second".into());
                    let again = decide(&saga.definition, &turn.next, &Event::Act(second), self.now);
                    let refused = matches!(again, Decision::Refused(_));
                    hold!(refused, Operators, "two acts on {event:?}: {again:?}");
                }
            }
            Event::Reply(reply) => {
                let first = turn.facts.first().map_or(0, |fact| fact.attempt);
                let same = first == reply.attempt;
                hold!(same, Patience, "attempt {first} is settled by {reply:?}");
                let again = decide(&saga.definition, &turn.next, event, self.now);
                let known = matches!(again, Decision::Known(_));
                hold!(known, Again, "{event:?} was new twice: {again:?}");
            }
            Event::Arrived(_) | Event::Child(_) | Event::Granted => {
                let again = decide(&saga.definition, &turn.next, event, self.now);
                let known = matches!(again, Decision::Known(_));
                hold!(known, Again, "{event:?} was new twice: {again:?}");
            }
            _ => {}
        }
        Ok(())
    }

    /// Commits, publishes and acks, unless it crashes on the way; true when it was acked.
    fn write(&mut self, id: SagaId, replica: usize, event: &Event, turn: &Turn) -> Kept<bool> {
        self.fresh.clear();
        let sends: Vec<_> = turn.facts.iter().flat_map(|f| f.next.sends.clone()).collect();
        if self.commit(id, event, turn)?.is_err() {
            return Ok(false);
        }
        let fresh = std::mem::take(&mut self.fresh);
        if self.publish(id, &turn.next, &sends)?.is_err() {
            return Ok(false);
        }
        for (child, turn) in fresh {
            let sends: Vec<_> = turn.facts.iter().flat_map(|f| f.next.sends.clone()).collect();
            if self.publish(child, &turn.next, &sends)?.is_err() {
                return Ok(false);
            }
        }
        self.saga(id)?.replicas[replica] = Some(turn.next.clone());
        if self.ack(id, event, turn)?.is_err() {
            self.saga(id)?.replicas[replica] = None;
        }
        Ok(true)
    }

    fn commit(&mut self, id: SagaId, event: &Event, turn: &Turn) -> Kept<Result<(), Crashed>> {
        if self.crashes().is_err() {
            return Ok(Err(Crashed));
        }
        self.writes += 1;
        self.keep(id, event, turn)?;
        self.release(Fate::AfterGivenUp);
        Ok(self.crashes())
    }

    /// One transaction: the facts of a turn, the nested sagas that it begins, and what others have
    /// to know of it.
    pub(super) fn keep(&mut self, id: SagaId, event: &Event, turn: &Turn) -> Kept {
        let saga = self.saga(id)?;
        saga.checker.turn(&turn.facts, &turn.next)?;
        saga.store.commit(&turn.facts, &turn.next)?;
        let folded = *saga.store.state() == turn.next;
        hold!(folded, Fold, "{:#?} is not {:#?}", saga.store.state(), turn.next);
        let definition = Arc::clone(&saga.definition);
        let mut orders = Vec::new();
        for fact in &turn.facts {
            saga.output = fact.next.output.clone().or(saga.output.take());
            saga.error = fact.next.error.clone().or(saga.error.take());
            for send in &fact.next.sends {
                let step = turn.next.name(definition.outline(), send.step);
                if let Some(order) = child(&definition, &turn.next, send) {
                    orders.push((step, order));
                } else if command(&definition, &turn.next, send).is_some() {
                    let step = step.as_str().into();
                    let sent = AttemptId { saga: id, step, op: send.op, attempt: send.attempt };
                    saga.unpublished.push((fact.seq, sent));
                }
            }
        }
        if let Some(first) = turn.facts.first() {
            saga.taken.push((event.clone(), first.seq));
        }
        for (step, order) in orders {
            self.order(id, step, order)?;
        }
        self.follow(id, turn.next.status);
        Ok(())
    }

    fn publish(&mut self, id: SagaId, state: &State, sends: &[Send]) -> Kept<Result<(), Crashed>> {
        let quiet = sends.is_empty() || !state.paused;
        hold!(quiet, Operators, "published while it is paused: {sends:?}");
        for send in sends {
            let saga = self.saga(id)?;
            let plan = state.steps.get(send.step).map_or(0, |step| step.plan);
            if !saga.definition.outline().steps[plan].task.is_call() {
                continue;
            }
            let Some(command) = command(&saga.definition, state, send) else {
                hold!(false, Wire, "what is sent is not in flight: {send:?}");
                continue;
            };
            let asked = saga.checker.books[send.step].effort(send.op).asked;
            hold!(asked >= send.attempt, Committed, "{} is not committed", command.id);
            if state.seq == saga.store.seq() {
                saga.checker.command(send.step, send.op, &command.body)?;
            }
            saga.unpublished.retain(|(_, sent)| *sent != command.id);
            if self.plot.cancels(&command.id) {
                self.cancels(id);
            }
            if self.plot.overdue(&command.id) {
                self.passes_deadline(id);
            }
            let (sent, fate) = (command.id.clone(), self.plot.command(&command.id));
            self.fated(fate, &sent, Message::Command(command));
            self.writes += 1;
            if self.crashes().is_err() {
                return Ok(Err(Crashed));
            }
        }
        Ok(Ok(()))
    }

    /// The event is gone from the queue: what it led to must be safe.
    fn ack(&mut self, id: SagaId, event: &Event, turn: &Turn) -> Kept<Result<(), Crashed>> {
        let saga = self.saga(id)?;
        let committed = turn.next.seq <= saga.store.seq();
        hold!(committed, Acked, "acked before its turn was committed: {event:?}");
        let first = turn.facts.first().map_or(0, |fact| fact.seq);
        let lost = saga.unpublished.iter().find(|(seq, _)| *seq >= first && *seq < turn.next.seq);
        hold!(lost.is_none(), Acked, "acked before {lost:?} was published: {event:?}");
        self.writes += 1;
        Ok(self.crashes())
    }

    /// A message that comes again is acked: what it sent at first, and is still in flight, is
    /// published by now. What the database wakes is left to its timers, and so is what followed from
    /// a reply after which the same operation was answered again, and what a pause withholds.
    fn audit_known(&mut self, id: SagaId, event: &Event, paused: bool) -> Kept {
        let saga = self.saga(id)?;
        if saga.unpublished.is_empty() || needs_fresh(event) {
            return Ok(());
        }
        let Some((_, seq)) = saga.taken.iter().find(|(taken, _)| taken == event) else {
            return Ok(());
        };
        if let Event::Reply(ReplyEvent { step, op, .. }) = event {
            let about = AttemptId { saga: id, step: Arc::clone(step), op: *op, attempt: 1 };
            if saga.op(&about).is_none_or(|op| op.settled_by != *seq) {
                return Ok(());
            }
        }
        let open = |sent: &AttemptId| {
            saga.op(sent).is_some_and(|op| {
                op.phase == Phase::InFlight && op.sent_by == *seq && op.attempt == sent.attempt
            })
        };
        let lost = saga.unpublished.iter().find(|(by, sent)| by == seq && open(sent));
        hold!(paused || lost.is_none(), Acked, "acked before {lost:?} was published: {event:?}");
        Ok(())
    }

    /// Replies that cannot belong to a saga change nothing.
    pub(super) fn foreign(&mut self) -> Kept {
        for saga in self.sagas.values() {
            let state = saga.store.state();
            let outline = saga.definition.outline();
            for (at, step) in state.steps.iter().enumerate() {
                let (plan, name) = (&outline.steps[step.plan], state.name(outline, at));
                for op in [Op::Action, Op::Compensation] {
                    let next = step.op(op).attempt + 1;
                    let other = if plan.service == "nobody" { "somebody" } else { "nobody" };
                    let replies = [
                        (name.as_str(), plan.service.as_str(), next),
                        (name.as_str(), other, 1),
                        ("no-such-step", plan.service.as_str(), 1),
                    ];
                    for (step, service, attempt) in replies {
                        let (step, service) = (step.into(), service.to_owned());
                        let reply = Reply::Ok(Json::null());
                        let event = Event::Reply(ReplyEvent { step, op, attempt, service, reply });
                        let decision = decide(&saga.definition, state, &event, self.now);
                        let refused = matches!(decision, Decision::Unexpected(_));
                        hold!(refused, Wire, "{event:?} was taken: {decision:?}");
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether an event is known only to a state that is not outdated: an older one may not have asked
/// for it yet.
const fn needs_fresh(event: &Event) -> bool {
    !matches!(event, Event::Reply(_) | Event::StartedAgain)
}

/// The version check: (saga, seq) is taken.
fn outdated(turn: &Turn, store: &Store) -> bool {
    let first = turn.facts.first().map_or(0, |fact| fact.seq);
    first < store.seq()
}
