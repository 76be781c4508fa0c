//! What the machine decides, told in words.

use amends::{
    SagaId,
    machine::{Decision, Event, Kind, OperatorCommand, Status, Time, Turn},
    preview,
    turn::{Instance, Observe},
};

use crate::happened::{Happened, Seen};

/// Sees what happens in one batch.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) seen: Seen,
    /// Sagas that moved, each as often as it did.
    moved: Vec<SagaId>,
}

impl Watch {
    fn moved(&mut self, saga: SagaId) {
        if self.moved.contains(&saga) {
            self.seen.add(Happened::BothAtOnce);
        }
        self.moved.push(saga);
    }

    fn turn(&mut self, before: &Instance, event: &Event, turn: &Turn) {
        let state = &before.state;
        self.moved(state.id);
        for fact in &turn.facts {
            match fact.kind {
                Kind::Late => self.seen.add(Happened::LateSuccess),
                Kind::TimedOut => self.seen.add(Happened::TimedOut),
                Kind::Cancelled => self.seen.add(Happened::Cancelled),
                Kind::Deadline if fact.detail.is_some() => self.seen.add(Happened::DeadlineNoted),
                Kind::Deadline => self.seen.add(Happened::DeadlineTurns),
                Kind::UndoAsked if state.status == Status::Completed => {
                    self.seen.add(Happened::NestedUndone);
                }
                Kind::UndoAsked => self.seen.add(Happened::NestedCalledOff),
                Kind::Skipped => self.seen.add(Happened::Skipped),
                Kind::Resolved => self.seen.add(Happened::Resolved),
                Kind::Retried => self.seen.add(Happened::Retried),
                _ => {}
            }
        }
        match turn.next.status {
            Status::Completed => self.seen.add(Happened::Completed),
            Status::Compensated => self.seen.add(Happened::Compensated),
            Status::Stuck => self.seen.add(Happened::Stuck),
            Status::Queued => self.seen.add(Happened::Queued),
            _ => {}
        }
        if state.status == Status::Stuck && turn.next.status != Status::Stuck {
            self.seen.add(Happened::Healed);
        }
        match event {
            Event::Reply(reply) => {
                let at = state.position(before.definition.outline(), &reply.step);
                let sent = at.map_or(0, |at| state.steps[at].op(reply.op).attempt);
                if reply.attempt < sent {
                    self.seen.add(Happened::OldAttempt);
                }
                if state.paused {
                    self.seen.add(Happened::ReplyWhilePaused);
                }
            }
            Event::Child(end) if end.status == Status::Compensated && !state.turned => {
                self.seen.add(Happened::NestedRejected);
            }
            Event::Arrived(_) => self.seen.add(Happened::EventAfterWait),
            _ => {}
        }
    }

    fn refused(&mut self, before: &Instance, event: &Event) {
        let Event::Act(act) = event else { return };
        let state = &before.state;
        if state.acted > act.seen {
            self.seen.add(Happened::ActOvertaken);
        } else if act.command == OperatorCommand::Cancel {
            let plan = preview::cancel(before.definition.outline(), state);
            if !state.turned && plan.refused.is_some() {
                self.seen.add(Happened::CancelAgainstPivot);
            }
        }
    }
}

impl Observe for Watch {
    fn started(&mut self, saga: SagaId, turn: &Turn) {
        self.moved(saga);
        if turn.next.status == Status::Queued {
            self.seen.add(Happened::Queued);
        }
    }

    fn decided(&mut self, before: &Instance, event: &Event, now: Time, decision: &Decision) {
        let overdue = before.state.deadline.is_some_and(|deadline| deadline <= now);
        match (event, decision) {
            (Event::Reply(_), Decision::Turn(_)) if overdue => {
                self.seen.add(Happened::ReplyAfterDeadline);
            }
            (Event::StartedAgain, Decision::Known(_)) => self.seen.add(Happened::DuplicateTrigger),
            (Event::TimerFired, Decision::Known(_)) if before.state.paused && overdue => {
                self.seen.add(Happened::PausedAcrossDeadline);
            }
            (Event::TimerFired, Decision::Known(_)) => self.seen.add(Happened::NothingDue),
            _ => {}
        }
        match decision {
            Decision::Turn(turn) => self.turn(before, event, turn),
            Decision::Refused(_) => self.refused(before, event),
            Decision::Known(sends) if !sends.is_empty() => self.seen.add(Happened::SentAgain),
            Decision::Known(_) | Decision::Unexpected(_) => {}
        }
    }
}
