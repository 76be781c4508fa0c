//! What follows from what was recorded: the way forward or back, and the saga's status.

use super::{Kind, OutputState, Phase, Status, StepState, builder::TurnBuilder, forward::Forward};
use crate::Op;

impl TurnBuilder<'_> {
    /// Goes on as far as the state allows, and sets the status that results.
    pub(super) fn advance(&mut self) {
        if self.state.paused {
            if self.turns_while_held() {
                self.set_status(Status::Paused);
            }
            return self.settle_status();
        }
        if self.state.queued {
            return self.settle_status();
        }
        if !self.state.turned && self.forward() == Forward::Blocked {
            self.set_status(Status::Compensating);
        }
        if self.state.turned {
            self.backward();
        }
        self.settle_status();
    }

    /// Turns the saga back by somebody's word.
    pub(super) fn turn_back(&mut self, code: &str, why: &str) {
        self.set_cause_of_saga(code, why);
        self.set_status(Status::Compensating);
    }

    fn settle_status(&mut self) {
        let status = self.status();
        // Where an operator skips what it was stuck at, it may be stuck at what comes after that.
        let anew = || self.facts.iter().any(|fact| fact.kind == Kind::Unmappable);
        if status != self.state.status || (status == Status::Stuck && anew()) {
            self.set_status(status);
        }
    }

    /// A pause withholds what is sent, not what is decided: the saga turns back at once, and undoes
    /// when it is resumed.
    pub(super) fn turns_while_held(&self) -> bool {
        let blocks = |phase| matches!(phase, Phase::Rejected | Phase::Unknown);
        let blocked = self.state.steps.iter().any(|s| blocks(s.action.phase));
        self.state.paused && !self.state.turned && blocked && self.cause().is_some()
    }

    /// Which of these may begin: of a list, so many that no more than its plan allows run at once.
    pub(super) fn startable(&self, members: &[usize], op: Op) -> Vec<usize> {
        let phase = |at: usize| self.state.steps[at].op(op).phase;
        let mut running = vec![0; self.outline().steps.len()];
        for at in members.iter().filter(|at| phase(**at).is_under_way()) {
            running[self.state.steps[*at].plan] += 1;
        }
        let may = |at: &usize| {
            let running = &mut running[self.state.steps[*at].plan];
            let room = self.step(*at).each.is_none_or(|at_once| *running < at_once);
            *running += u32::from(room);
            room
        };
        members.iter().copied().filter(|at| phase(*at) == Phase::Idle).filter(may).collect()
    }

    /// Whether the saga cannot complete for want of its output.
    pub(super) fn lacks_output(&self) -> bool {
        self.state.output == OutputState::Missing && !self.state.turned
    }

    fn status(&self) -> Status {
        let steps = &self.state.steps;
        let given_up = |s: &StepState| {
            s.action.phase == Phase::GivenUp || s.compensation.phase == Phase::GivenUp
        };
        if steps.iter().any(given_up) || self.lacks_output() {
            return Status::Stuck;
        }
        if self.state.paused {
            return Status::Paused;
        }
        if self.state.queued {
            return Status::Queued;
        }
        let in_flight = |s: &StepState| s.action.phase == Phase::InFlight;
        let ended = if self.state.turned {
            !steps.iter().any(in_flight) && self.to_undo().next().is_none()
        } else {
            steps.iter().all(|s| s.action.phase.is_settled())
        };
        match (self.state.turned, ended) {
            (false, false) => Status::Running,
            (false, true) => Status::Completed,
            (true, false) => Status::Compensating,
            (true, true) => Status::Compensated,
        }
    }
}
