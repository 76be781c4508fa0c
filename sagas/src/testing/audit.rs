//! What must hold of each decision.

use std::sync::Arc;

use super::{
    breach::{Kept, hold},
    operators::as_previewed,
    sim::Sim,
};
use crate::{
    AttemptId, Definition, Json, Op, SagaId, Task,
    machine::{
        Decision, Event, OpState, OperatorAct, OperatorCommand, Phase, ReplyEvent, State, Time,
        Turn, decide, waits,
    },
    turn::{Input, Instance, Item, Observe},
    wire::Reply,
};

/// A decision that was made.
pub(super) enum Decided {
    /// A saga begins.
    Started { saga: SagaId, turn: Turn },
    /// The machine was asked.
    Asked {
        definition: Arc<Definition>,
        before: State,
        event: Event,
        now: Time,
        decision: Decision,
    },
}

impl Decided {
    /// The turn that was taken, if one was.
    pub(super) fn turn(&self) -> Option<(SagaId, &Turn)> {
        match self {
            Self::Started { saga, turn } => Some((*saga, turn)),
            Self::Asked { before, decision: Decision::Turn(turn), .. } => Some((before.id, turn)),
            Self::Asked { .. } => None,
        }
    }
}

/// Keeps what it sees.
#[derive(Default)]
pub(super) struct Watch(pub(super) Vec<Decided>);

impl Observe for Watch {
    fn started(&mut self, saga: SagaId, turn: &Turn) {
        self.0.push(Decided::Started { saga, turn: turn.clone() });
    }

    fn decided(&mut self, before: &Instance, event: &Event, now: Time, decision: &Decision) {
        self.0.push(Decided::Asked {
            definition: Arc::clone(&before.definition),
            before: before.state.clone(),
            event: event.clone(),
            now,
            decision: decision.clone(),
        });
    }
}

/// A reply is decided on a state in which no limit stands that had passed when it came.
pub(super) fn met_its_limits(item: &Item, decided: &[Decided]) -> Kept {
    let Input::Reply(_, came) = &item.input else { return Ok(()) };
    for decided in decided {
        let Decided::Asked { definition, before, event: Event::Reply(reply), now, .. } = decided
        else {
            continue;
        };
        let over = |due: Option<Time>| due.is_some_and(|due| due <= (*came).min(*now));
        let passed = before.steps.iter().any(|step| {
            let task = definition.outline().steps.get(step.plan).map(|plan| &plan.task);
            let time = matches!(task, Some(Task::Delay { .. } | Task::Until));
            let open = |op: &OpState| matches!(op.phase, Phase::InFlight | Phase::Pending);
            let over = |op: &OpState| open(op) && over(op.due);
            !time && (over(&step.action) || over(&step.compensation))
        });
        let passed = passed || over(before.deadline);
        hold!(before.status.ended() || !passed, Patience, "a limit had passed before {reply:?}");
    }
    Ok(())
}

/// Of two operators who saw the same facts, the second is refused, whatever they want.
fn no_second_act(first: &OperatorAct, decide: impl Fn(&Event) -> Decision) -> Kept {
    for command in [
        first.command.clone(),
        OperatorCommand::Retry,
        OperatorCommand::Cancel,
        OperatorCommand::Pause,
        OperatorCommand::Resume,
    ] {
        let second = Event::Act(OperatorAct { command, by: "second".into(), ..first.clone() });
        let again = decide(&second);
        let refused = matches!(again, Decision::Refused(_));
        hold!(refused, Operators, "two acts on {first:?}: {again:?}");
    }
    Ok(())
}

impl Sim<'_> {
    /// Decisions of a batch that is being committed, in their order.
    pub(super) fn audit(&mut self, decided: &[Decided]) -> Kept {
        for decided in decided {
            match decided {
                Decided::Started { saga, turn } => {
                    self.saga(*saga)?.checker.turn(&turn.facts, &turn.next)?;
                    self.sends(*saga, &Event::StartedAgain, turn)?;
                }
                Decided::Asked { definition, before, event, now, decision } => {
                    as_previewed(definition, before, event, decision)?;
                    self.decision(before, event, *now, decision)?;
                }
            }
        }
        Ok(())
    }

    fn decision(&mut self, before: &State, event: &Event, now: Time, decision: &Decision) -> Kept {
        let id = before.id;
        match decision {
            Decision::Turn(turn) => {
                self.says_nothing_new(id, event, turn, now)?;
                match event {
                    Event::Act(act) => self.saga(id)?.checker.judges(act, Ok(&turn.facts))?,
                    Event::Overdue(_) => self.saga(id)?.checker.saw("overdue"),
                    _ => {}
                }
                self.saga(id)?.checker.turn(&turn.facts, &turn.next)?;
                let quiet = turn.facts.iter().all(|fact| fact.next.sends.is_empty());
                hold!(quiet || !turn.next.paused, Operators, "sends while it is paused: {turn:?}");
                self.sends(id, event, turn)
            }
            Decision::Refused(why) => {
                let Event::Act(act) = event else {
                    hold!(false, Operators, "{event:?} is refused: {why}");
                    return Ok(());
                };
                let saga = self.saga(id)?;
                // Others went on since it was read: it was refused by what was then.
                if before.seq < saga.store.seq() {
                    return Ok(());
                }
                saga.checker.judges(act, Err(why))
            }
            Decision::Known(sends) => {
                let quiet = sends.is_empty() || !before.paused;
                hold!(quiet, Operators, "sends again while it is paused: {sends:?}");
                self.saga(id)?.checker.saw("known");
                Ok(())
            }
            Decision::Unexpected(_) => Ok(()),
        }
    }

    /// The same event once more is known; an act from what was seen before it is refused.
    fn says_nothing_new(&self, id: SagaId, event: &Event, turn: &Turn, now: Time) -> Kept {
        let Some(saga) = self.sagas.get(&id) else { return Ok(()) };
        let again = |event: &Event| decide(&saga.definition, &turn.next, event, now);
        match event {
            Event::Act(act) => no_second_act(act, again),
            Event::Reply(_) | Event::Arrived(_) | Event::Child(_) | Event::Granted => {
                if let Event::Reply(reply) = event {
                    let first = turn.facts.first().map_or(0, |fact| fact.attempt);
                    let same = first == reply.attempt;
                    hold!(same, Patience, "attempt {first} is settled by {reply:?}");
                }
                let again = again(event);
                let known = matches!(again, Decision::Known(_));
                hold!(known, Again, "{event:?} was new twice: {again:?}");
                Ok(())
            }
            Event::Overdue(_) => {
                let again = again(event);
                let over = matches!(again, Decision::Known(_));
                hold!(over, Again, "what had passed at {event:?} had passed twice: {again:?}");
                Ok(())
            }
            // No message brings these again, or they never give a turn.
            Event::TimerFired | Event::Undo(_) | Event::StartedAgain => Ok(()),
        }
    }

    /// What came again is acked: what it sent at first, and is still in flight, is published by now.
    /// What the database wakes is left to its timers, and so is what followed from a reply after which
    /// the same operation was answered again, and what a pause withholds.
    pub(super) fn known(&mut self, decided: &[Decided]) -> Kept {
        for decided in decided {
            let Decided::Asked { before, event, decision: Decision::Known(_), .. } = decided else {
                continue;
            };
            if matches!(event, Event::Reply(_) | Event::StartedAgain) && !before.paused {
                self.published_by_now(before.id, event)?;
            }
        }
        Ok(())
    }

    fn published_by_now(&mut self, id: SagaId, event: &Event) -> Kept {
        let saga = self.saga(id)?;
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
        hold!(lost.is_none(), Acked, "acked before {lost:?} was published: {event:?}");
        Ok(())
    }

    /// A reply was taken, and will not be delivered again.
    pub(super) fn heard(&mut self, id: SagaId, reply: &ReplyEvent) -> Kept {
        match reply {
            ReplyEvent { step, op, attempt, reply: Reply::Ok(_), .. } => {
                self.saga(id)?.checker.heard_ok(step, *op, *attempt)
            }
            _ => Ok(()),
        }
    }

    /// What is stored of a saga's waits is what its state waits for, and it has a timer that does not fire
    /// too late.
    pub(super) fn bound(&self, id: SagaId) -> Kept {
        let Some(saga) = self.sagas.get(&id) else { return Ok(()) };
        let state = saga.store.state();
        let waits = waits(&saga.definition, state);
        let stored: Vec<_> = self.database.waits(id).collect();
        let known = |(step, key): &(&str, &str)| {
            waits.iter().any(|wait| (wait.step.as_str(), wait.key.as_str()) == (*step, *key))
        };
        let same = stored.len() == waits.len() && stored.iter().all(known);
        hold!(same, Ends, "{id} waits for {waits:?}, and {stored:?} is stored");
        let kept = state.status.ended() || self.database.has_timer(id);
        hold!(kept, Ends, "{id} is {} and has no timer", state.status);
        let in_time = state.due().is_none_or(|due| self.database.fires_by(id, due, self.now));
        hold!(in_time, Ends, "{id} is due at {:?}, and its timer fires later", state.due());
        Ok(())
    }

    /// Replies that cannot belong to a saga change nothing.
    pub(super) fn foreign(&self) -> Kept {
        for saga in self.sagas.values() {
            for event in replies_of_nobody(&saga.definition, saga.store.state()) {
                let event = Event::Reply(event);
                let decision = decide(&saga.definition, saga.store.state(), &event, self.now);
                let refused = matches!(decision, Decision::Unexpected(_));
                hold!(refused, Wire, "{event:?} was taken: {decision:?}");
            }
        }
        Ok(())
    }
}

/// Of each operation: an attempt that was never sent, another service, a step that is not there.
fn replies_of_nobody(definition: &Definition, state: &State) -> Vec<ReplyEvent> {
    let (outline, mut replies) = (definition.outline(), Vec::new());
    for (at, step) in state.steps.iter().enumerate() {
        let (owner, name) = (&outline.steps[step.plan].service, state.name(outline, at));
        for op in [Op::Action, Op::Compensation] {
            let never_sent = step.op(op).attempt + 1;
            let other = if owner == "nobody" { "somebody" } else { "nobody" };
            for (step, service, attempt) in [
                (name.as_str(), owner.as_str(), never_sent),
                (name.as_str(), other, 1),
                ("no-such-step", owner.as_str(), 1),
            ] {
                let (step, service) = (step.into(), service.to_owned());
                let reply = Reply::Ok(Json::null());
                replies.push(ReplyEvent { step, op, attempt, service, reply });
            }
        }
    }
    replies
}
