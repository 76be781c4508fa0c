//! The faults planned for one run, and which of them have happened.

use super::fault::{Fault, Planned};
use crate::{AttemptId, Op};

/// What becomes of a message on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives,
    Lost,
    Twice,
    /// Once its attempt has timed out.
    AfterTimeout,
    /// Once its action is given up.
    AfterGivenUp,
    /// Once nothing else happens.
    AtLast,
}

#[derive(Debug, Clone)]
struct ScheduledFault {
    planned: Planned,
    happened: u32,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct FaultSchedule {
    faults: Vec<ScheduledFault>,
    /// The services were repaired: they break and refuse no more.
    repaired: bool,
}

impl FaultSchedule {
    pub(crate) fn new(planned: &[Planned]) -> Self {
        let fault = |planned: &Planned| ScheduledFault { planned: planned.clone(), happened: 0 };
        Self { faults: planned.iter().map(fault).collect(), repaired: false }
    }

    /// Which of the planned faults have happened, in their order.
    pub(crate) fn happened(&self) -> impl Iterator<Item = bool> + '_ {
        self.faults.iter().map(|fault| fault.happened > 0)
    }

    fn at(&mut self, id: &AttemptId) -> impl Iterator<Item = &mut ScheduledFault> {
        let op = id.op;
        let step = id.step.clone();
        self.faults.iter_mut().filter(move |fault| fault.planned.hits(&step, op))
    }

    /// The first message of its kind is the victim.
    fn first(fault: &mut ScheduledFault, fate: Fate) -> Option<Fate> {
        fault.happened += 1;
        (fault.happened == 1).then_some(fate)
    }

    /// A command is published.
    pub(crate) fn command(&mut self, id: &AttemptId) -> Fate {
        let fate = self.at(id).find_map(|fault| match fault.planned.fault {
            Fault::LostCommand => Self::first(fault, Fate::Lost),
            Fault::LateCommand => Self::first(fault, Fate::AtLast),
            Fault::Duplicate if fault.happened == 0 => Self::first(fault, Fate::Twice),
            Fault::Unreachable => {
                fault.happened += 1;
                Some(Fate::AtLast)
            }
            _ => None,
        });
        fate.unwrap_or(Fate::Arrives)
    }

    /// A reply is published.
    pub(crate) fn reply(&mut self, id: &AttemptId) -> Fate {
        let fate = self.at(id).find_map(|fault| match fault.planned.fault {
            Fault::LostReply => Self::first(fault, Fate::Lost),
            Fault::LateReply => Self::first(fault, Fate::AfterTimeout),
            Fault::Duplicate => (fault.happened == 1).then(|| {
                fault.happened += 1;
                Fate::Twice
            }),
            Fault::LateSuccess => {
                fault.happened += 1;
                Some(Fate::AfterGivenUp)
            }
            _ => None,
        });
        fate.unwrap_or(Fate::Arrives)
    }

    pub(crate) fn repair(&mut self) {
        self.repaired = true;
    }

    /// The business of a command is about to be done: whether it breaks, or rejects.
    pub(crate) fn business(&mut self, id: &AttemptId) -> Option<Fault> {
        if self.repaired {
            return None;
        }
        self.at(id).find_map(|fault| match fault.planned.fault {
            Fault::Rejected => {
                fault.happened += 1;
                Some(Fault::Rejected)
            }
            Fault::Fails(times) if fault.happened < times => {
                fault.happened += 1;
                Some(fault.planned.fault)
            }
            _ => None,
        })
    }

    /// Whether an operator cancels now.
    pub(crate) fn cancels(&mut self, id: &AttemptId) -> bool {
        id.op == Op::Action
            && self.at(id).any(|fault| {
                let now = fault.planned.fault == Fault::Cancel && fault.happened == 0;
                fault.happened += u32::from(now);
                now
            })
    }

    /// Whether time stands still until the saga's deadline.
    pub(crate) fn overdue(&mut self, id: &AttemptId) -> bool {
        id.op == Op::Action
            && self.at(id).any(|fault| {
                let now = fault.planned.fault == Fault::Deadline && fault.happened == 0;
                fault.happened += u32::from(now);
                now
            })
    }

    /// When an event is published that a step waits for.
    pub(crate) fn event(&mut self, id: &AttemptId) -> Option<Fault> {
        let fault = self.at(id).next()?;
        fault.happened += 1;
        Some(fault.planned.fault)
    }

    /// Whether the orchestrator dies now.
    pub(crate) fn crashes(&mut self, writes: u32) -> bool {
        self.faults.iter_mut().any(|fault| {
            let now = fault.planned.fault == Fault::Crash(writes) && fault.happened == 0;
            fault.happened += u32::from(now);
            now
        })
    }
}
