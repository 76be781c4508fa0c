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
struct Twist {
    planned: Planned,
    happened: u32,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Plot {
    twists: Vec<Twist>,
    /// The services were repaired: they break and refuse no more.
    repaired: bool,
}

impl Plot {
    pub(crate) fn new(planned: &[Planned]) -> Self {
        let twist = |planned: &Planned| Twist { planned: planned.clone(), happened: 0 };
        Self { twists: planned.iter().map(twist).collect(), repaired: false }
    }

    /// Which of the planned faults have happened, in their order.
    pub(crate) fn happened(&self) -> impl Iterator<Item = bool> + '_ {
        self.twists.iter().map(|twist| twist.happened > 0)
    }

    fn at(&mut self, id: &AttemptId) -> impl Iterator<Item = &mut Twist> {
        let op = id.op;
        let step = id.step.clone();
        self.twists.iter_mut().filter(move |twist| twist.planned.hits(&step, op))
    }

    /// The first message of its kind is the victim.
    fn first(twist: &mut Twist, fate: Fate) -> Option<Fate> {
        twist.happened += 1;
        (twist.happened == 1).then_some(fate)
    }

    /// A command is published.
    pub(crate) fn command(&mut self, id: &AttemptId) -> Fate {
        let fate = self.at(id).find_map(|twist| match twist.planned.fault {
            Fault::LostCommand => Self::first(twist, Fate::Lost),
            Fault::LateCommand => Self::first(twist, Fate::AtLast),
            Fault::Duplicate if twist.happened == 0 => Self::first(twist, Fate::Twice),
            Fault::Unreachable => {
                twist.happened += 1;
                Some(Fate::AtLast)
            }
            _ => None,
        });
        fate.unwrap_or(Fate::Arrives)
    }

    /// A reply is published.
    pub(crate) fn reply(&mut self, id: &AttemptId) -> Fate {
        let fate = self.at(id).find_map(|twist| match twist.planned.fault {
            Fault::LostReply => Self::first(twist, Fate::Lost),
            Fault::LateReply => Self::first(twist, Fate::AfterTimeout),
            Fault::Duplicate => (twist.happened == 1).then(|| {
                twist.happened += 1;
                Fate::Twice
            }),
            Fault::LateSuccess => {
                twist.happened += 1;
                Some(Fate::AfterGivenUp)
            }
            _ => None,
        });
        fate.unwrap_or(Fate::Arrives)
    }

    pub(crate) fn repair(&mut self) {
        self.repaired = true;
    }

    /// The business of a command is about to be done: whether it breaks, or says no.
    pub(crate) fn business(&mut self, id: &AttemptId) -> Option<Fault> {
        if self.repaired {
            return None;
        }
        self.at(id).find_map(|twist| match twist.planned.fault {
            Fault::Rejected => {
                twist.happened += 1;
                Some(Fault::Rejected)
            }
            Fault::Fails(times) if twist.happened < times => {
                twist.happened += 1;
                Some(twist.planned.fault)
            }
            _ => None,
        })
    }

    /// Whether an operator cancels now.
    pub(crate) fn cancels(&mut self, id: &AttemptId) -> bool {
        id.op == Op::Action
            && self.at(id).any(|twist| {
                let now = twist.planned.fault == Fault::Cancel && twist.happened == 0;
                twist.happened += u32::from(now);
                now
            })
    }

    /// Whether time stands still until the saga's deadline.
    pub(crate) fn overdue(&mut self, id: &AttemptId) -> bool {
        id.op == Op::Action
            && self.at(id).any(|twist| {
                let now = twist.planned.fault == Fault::Deadline && twist.happened == 0;
                twist.happened += u32::from(now);
                now
            })
    }

    /// When an event is published that a step waits for.
    pub(crate) fn event(&mut self, id: &AttemptId) -> Option<Fault> {
        let twist = self.at(id).next()?;
        twist.happened += 1;
        Some(twist.planned.fault)
    }

    /// Whether the orchestrator dies now.
    pub(crate) fn crashes(&mut self, writes: u32) -> bool {
        self.twists.iter_mut().any(|twist| {
            let now = twist.planned.fault == Fault::Crash(writes) && twist.happened == 0;
            twist.happened += u32::from(now);
            now
        })
    }
}
