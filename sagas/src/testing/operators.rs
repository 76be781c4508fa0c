//! Operators in the simulated world: acts at random while accidents happen, and what only a person
//! can end.

use std::sync::Arc;

use super::{
    breach::{Kept, hold},
    message::Message,
    saga::REPLICAS,
    services::{RandomAct, SagaView},
    sim::Sim,
};
use crate::{
    AttemptId, Definition, Json, Op, Record, SagaId, StepKind,
    machine::{
        Decision, Event, Fact, Kind, Next, OperatorAct, OperatorCommand, OutputState, Phase, State,
        Status,
    },
    preview,
    turn::{OpenAct, Rows},
    wire::Reply,
};

/// A saga that they must get going more often than this does not end.
const CLOSED_MAX: u32 = 100;

/// A cancellation does what its preview said: it is refused or not, and undoes first what stands in
/// the first round.
pub(super) fn as_previewed(
    definition: &Definition,
    state: &State,
    event: &Event,
    decision: &Decision,
) -> Kept {
    let Event::Act(OperatorAct { command: OperatorCommand::Cancel, seen, .. }) = event else {
        return Ok(());
    };
    if state.acted > *seen {
        return Ok(());
    }
    let plan = preview::cancel(definition.outline(), state);
    match decision {
        Decision::Turn(turn) => {
            hold!(plan.refused.is_none(), Operators, "the preview refused: {plan:?}");
            let sends = turn.facts.iter().flat_map(|fact| &fact.next.sends);
            for send in sends.filter(|send| send.op == Op::Compensation) {
                let name = turn.next.name(definition.outline(), send.step);
                let round = plan.rounds.first();
                let previewed =
                    round.is_some_and(|round| round.iter().any(|undo| undo.step == name));
                hold!(previewed, Operators, "{name} is undone first, and not in {plan:?}");
            }
        }
        Decision::Refused(why) => {
            hold!(plan.refused.is_some(), Operators, "refused ({why}), and not in {plan:?}");
        }
        _ => {}
    }
    Ok(())
}

impl Sim<'_> {
    /// Someone looks at a saga and acts; it arrives later, if at all in time.
    pub(super) fn act_at_random(&mut self) {
        let n = self.random.pick(self.sagas.len());
        let Some((id, saga)) = self.sagas.iter().nth(n) else { return };
        let (id, state) = (*id, saga.store.state());
        let view = SagaView { definition: &saga.definition, state };
        let Some(act) = self.services.random_act(&mut self.random, &view) else { return };
        let seq = state.seq;
        let act = match act {
            RandomAct::Act(act) => act,
            RandomAct::Resolve { step, op, yes } => {
                let attempt = AttemptId { saga: id, step: step.as_str().into(), op, attempt: 1 };
                OperatorCommand::Resolve { step, outcome: self.by_hand(&attempt, yes) }
            }
        };
        let ago = if self.random.pick(6) == 5 { self.random.pick(9) } else { 0 };
        let seen = seq.saturating_sub(u32::try_from(ago).unwrap_or(0));
        let event = self.signed(act, seen);
        self.send(id, Message::Act(event));
    }

    /// An act is noted as the operators' functions do it: beside the saga's next fact, and not for one that
    /// has ended.
    pub(super) fn asks(&mut self, id: SagaId, act: OperatorAct) -> Kept {
        let now = self.now;
        let saga = self.saga(id)?;
        let (outline, state) = (saga.definition.outline(), saga.store.state());
        if state.status.ended() {
            return Ok(());
        }
        let fact = Fact {
            seq: state.seq,
            at: now,
            kind: Kind::Asked,
            step: None,
            op: None,
            attempt: 0,
            detail: None,
            next: Next::default(),
        };
        let record = Record::of(outline, state, &fact);
        saga.store.commit(&[record])?;
        saga.checker.turn(&[fact], saga.store.state())?;
        self.database.act(id, act, now);
        Ok(())
    }

    /// No turn that was decided without an act is committed after it.
    pub(super) fn goes_past_no_act(&self, rows: &Rows) -> Kept {
        for (id, _) in rows.sagas.iter().filter(|(_, change)| !change.facts.is_empty()) {
            let open = self.database.open_acts(*id);
            let decided = |act: &OpenAct| rows.acts.iter().any(|decided| decided.id == act.id);
            let passed =
                open.iter().find(|act| matches!(act.event, Ok(Event::Act(_))) && !decided(act));
            hold!(passed.is_none(), Operators, "{id} goes past {passed:?}");
        }
        Ok(())
    }

    fn signed(&mut self, act: OperatorCommand, seen: u32) -> OperatorAct {
        let by = ["alice", "bob"][self.random.pick(2)].to_owned();
        OperatorAct { command: act, by, reason: format!("looked at {seen} facts"), seen }
    }

    /// An operator cancels, now.
    pub(super) fn cancels(&mut self, id: SagaId) {
        let Some(saga) = self.sagas.get(&id) else { return };
        let seen = saga.store.seq();
        let event = self.signed(OperatorCommand::Cancel, seen);
        self.note(|| "       FAULT an operator cancels".to_owned());
        self.post_now(id, Message::Act(event));
    }

    /// An operator does it, or sees to it that it is never done, and says so.
    fn by_hand(&mut self, id: &AttemptId, yes: bool) -> Reply {
        let naive = self.services.naive(id);
        let effects = self.ledger.of(id.saga, &id.step);
        let action = AttemptId { op: Op::Action, ..id.clone() };
        let remembered = self.barrier.remembered(&action).filter(|r| r.settles()).cloned();
        let refused = matches!(remembered, Some(Reply::Rejected { .. }));
        let never = || Reply::Rejected { code: "compensated".into(), message: "by hand".into() };
        let reply = match (id.op, remembered) {
            (Op::Compensation, _) if effects.applied > effects.undone => {
                self.ledger.record(id);
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
                self.ledger.record(id);
                Reply::Ok(self.services.by_hand(id))
            }
            (Op::Action, _) => never(),
        };
        self.barrier.by_hand(id, Some(reply.clone()));
        let effects = self.ledger.entry(id);
        (effects.by_hand, effects.naive) = (true, naive);
        reply
    }

    /// Nothing will ever happen again by itself. False when nobody has anything to do.
    pub(super) fn close(&mut self) -> Kept<bool> {
        let waits = self.sagas.iter().filter(|(_, saga)| {
            let state = saga.store.state();
            state.paused || (state.status == Status::Stuck && self.heal)
        });
        // What others wait for comes first.
        let next = waits.min_by_key(|(_, saga)| (saga.closed, saga.outer.is_none()));
        let Some(id) = next.map(|(id, _)| *id) else { return Ok(false) };
        let saga = self.saga(id)?;
        saga.closed += 1;
        hold!(saga.closed <= CLOSED_MAX, Ends, "nobody can end {id}");
        let (paused, seq) = (saga.store.state().paused, saga.store.seq());
        let act = match (paused, self.by_acts) {
            (true, _) => OperatorCommand::Resume,
            (false, true) => self.ending(id)?,
            (false, false) => self.repair(id),
        };
        let act = self.signed(act, seq);
        self.note(|| format!("act     {act:?}"));
        self.asks(id, act)?;
        self.fire(id)?;
        Ok(true)
    }

    /// Nothing is repaired: an act that ends what a stuck saga waits for.
    fn ending(&mut self, id: SagaId) -> Kept<OperatorCommand> {
        let saga = self.saga(id)?;
        let (outline, state) = (saga.definition.outline(), saga.store.state());
        let given_up = state.steps.iter().enumerate().find_map(|(at, step)| {
            let given_up = |op: &Op| step.op(*op).phase == Phase::GivenUp;
            Some((at, [Op::Compensation, Op::Action].into_iter().find(given_up)?))
        });
        let act = match given_up {
            Some((at, op)) => {
                let (step, plan) = (state.name(outline, at), &outline.steps[state.steps[at].plan]);
                match (op, plan.kind) {
                    // Whether the pivot was done a person finds out. Of a nested saga only that knows.
                    (Op::Action, StepKind::Pivot) if plan.task.is_call() => {
                        let attempt =
                            AttemptId { saga: id, step: step.as_str().into(), op, attempt: 1 };
                        let yes = self.random.chance(2);
                        OperatorCommand::Resolve { step, outcome: self.by_hand(&attempt, yes) }
                    }
                    (Op::Action, StepKind::Pivot) => OperatorCommand::Retry,
                    _ => OperatorCommand::Skip { step },
                }
            }
            None if state.output == OutputState::Missing => OperatorCommand::GiveOutput(None),
            // Another of its acts may not be decided yet.
            None => OperatorCommand::Retry,
        };
        self.saga(id)?.checker.saw("ended by an act");
        Ok(act)
    }

    /// All services work again, and have forgotten what they accepted or refused although it must
    /// be done. What to do with the saga.
    fn repair(&mut self, id: SagaId) -> OperatorCommand {
        let Some(saga) = self.sagas.get_mut(&id) else { return OperatorCommand::Retry };
        let (outline, state) = (saga.definition.outline(), saga.store.state());
        let mut last_resort = None;
        self.schedule.repair();
        for (at, step) in state.steps.iter().enumerate() {
            let (plan, name) = (&outline.steps[step.plan], state.name(outline, at));
            for op in [Op::Action, Op::Compensation] {
                let effect = AttemptId { saga: id, step: name.as_str().into(), op, attempt: 1 };
                let must = op == Op::Compensation || plan.kind == StepKind::Retriable;
                let forget = match self.barrier.remembered(&effect) {
                    Some(Reply::Pending) => true,
                    Some(Reply::Rejected { .. }) => must,
                    _ => false,
                };
                if forget {
                    self.barrier.by_hand(&effect, None);
                }
            }
            // A pivot that was done after its no: nothing can undo it.
            let late = step.compensation.phase == Phase::GivenUp;
            if late && plan.kind != StepKind::Compensatable {
                last_resort = Some(OperatorCommand::Skip { step: name });
            }
        }
        let repaired = self.services.repair(&SagaView { definition: &saga.definition, state });
        if let Some(definition) = repaired.map(Arc::new) {
            saga.store.deploy(Arc::clone(&definition));
            saga.definition = definition;
            // A deploy is a restart.
            saga.replicas = [const { None }; REPLICAS];
        }
        last_resort.unwrap_or(OperatorCommand::Retry)
    }
}
