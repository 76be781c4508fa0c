//! The simulated services: barrier, business and reply of a command in one transaction.

use std::{sync::Arc, time::Duration};

use super::{
    barrier::Verdict,
    breach::{Kept, hold},
    fault::Fault,
    message::Message,
    services::{Outcome, Work},
    sim::Sim,
};
use crate::{
    AttemptId, Json, Op,
    machine::{Command, ReplyEvent},
    wire::Reply,
};

/// How long after a service answered its reply is stored, or by how much the stream's clock is ahead.
const STORED_LATE_MS: [u64; 6] = [0, 0, 0, 20, 5_000, 100_000];

impl Sim<'_> {
    /// A service takes a command: barrier, business and reply in one transaction.
    pub(super) fn serve(&mut self, command: &Command) -> Kept {
        let id = &command.id;
        self.same_effect(id)?;
        let naive = self.services.naive(id);
        let verdict = if naive { Verdict::Run(None) } else { self.barrier.enter(id) };
        let action = match verdict {
            Verdict::Run(action) => action,
            Verdict::Replay(reply) | Verdict::Void(reply) => {
                self.note(|| format!("       the barrier answers {reply:?}"));
                self.answer(id, reply);
                return Ok(());
            }
        };
        match self.business(id, &command.body, action.as_ref()) {
            Outcome::Settled(reply) => self.settle(id, reply, naive),
            Outcome::Nothing => {
                self.barrier.leave(id, &Reply::Ok(Json::null()));
                self.answer(id, Reply::Ok(Json::null()));
            }
            Outcome::Broke => {
                if !naive {
                    self.barrier.roll_back();
                }
                self.answer(id, Reply::Retry { message: "try again".into(), after: None });
            }
            Outcome::Accepted(later) => {
                if naive {
                    self.ledger.entry(id).naive = true;
                } else {
                    self.barrier.leave(id, &Reply::Pending);
                }
                self.answer(id, Reply::Pending);
                if let Some(delay) = later {
                    let finish = Message::Finish(id.clone(), command.body.clone());
                    self.pipe.push((self.now + delay, id.saga, finish));
                }
            }
        }
        Ok(())
    }

    fn business(&mut self, id: &AttemptId, body: &str, action: Option<&Reply>) -> Outcome {
        let fault = self.schedule.business(id);
        if let Some(fault) = fault {
            self.note(|| format!("       FAULT {fault:?} {}:{}", id.step, id.op));
        }
        match fault {
            Some(Fault::Rejected) => {
                let message = "a fault of the test".to_owned();
                return Outcome::Settled(Reply::Rejected { code: "refused".into(), message });
            }
            Some(_) => return Outcome::Broke,
            None => {}
        }
        let Some(saga) = self.sagas.get(&id.saga) else { return Outcome::Broke };
        let Some(plan) = saga.plan(id) else { return Outcome::Broke };
        self.services.run(&Work { id, plan, body, action })
    }

    /// Commits the business, the barrier's row and the reply.
    fn settle(&mut self, id: &AttemptId, reply: Reply, naive: bool) {
        let refused_undo = id.op == Op::Compensation && matches!(reply, Reply::Rejected { .. });
        if naive {
            self.ledger.entry(id).naive = true;
        } else if refused_undo {
            self.barrier.roll_back();
        } else if !self.barrier.leave(id, &reply) {
            self.barrier.roll_back();
            return self.answer(id, Reply::Retry { message: "left twice".into(), after: None });
        }
        if matches!(reply, Reply::Ok(_)) {
            self.ledger.record(id);
        }
        self.answer(id, reply);
    }

    /// What was accepted is done now, unless it was settled or undone meanwhile.
    pub(super) fn finish(&mut self, id: &AttemptId, body: &str) {
        let naive = self.services.naive(id);
        if let (false, Some(reply)) = (naive, self.barrier.settled(id)) {
            return self.answer(id, reply);
        }
        let Some(saga) = self.sagas.get(&id.saga) else { return };
        let Some(plan) = saga.plan(id) else { return };
        let work = Work { id, plan, body, action: None };
        let reply = self.services.finish(&work);
        if reply.settles() {
            self.settle(id, reply, naive);
        } else {
            self.answer(id, reply);
        }
    }

    /// An effect has one id, whatever attempt does it: others dedup by it.
    fn same_effect(&mut self, id: &AttemptId) -> Kept {
        let Some(saga) = self.sagas.get_mut(&id.saga) else { return Ok(()) };
        let effect = id.effect();
        let key = (Arc::clone(&id.step), id.op);
        let known = saga.effects.entry(key).or_insert_with(|| effect.clone());
        hold!(*known == effect, Wire, "one effect has two ids: {known} and {effect}");
        Ok(())
    }

    fn answer(&mut self, id: &AttemptId, reply: Reply) {
        if !self.services.answers(id) {
            return self.note(|| "       and its reply is lost for ever".to_owned());
        }
        let Some(saga) = self.sagas.get(&id.saga) else { return };
        let Some(plan) = saga.plan(id) else { return };
        let (step, service) = (Arc::clone(&id.step), plan.service.clone());
        let event = ReplyEvent { step, op: id.op, attempt: id.attempt, service, reply };
        let fate = self.schedule.reply(id);
        let late = STORED_LATE_MS[self.random.pick(STORED_LATE_MS.len())];
        let came = self.now + Duration::from_millis(late);
        self.fated(fate, id, Message::Reply(id.clone(), event, came));
    }
}
