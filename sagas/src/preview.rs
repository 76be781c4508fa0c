//! What an act would do, for an operator who wants to see it first.
//!
//! [`cancel`] says of a saga's state what cancelling it would undo, in which order, and what nobody
//! knows yet. It decides nothing: [`machine::decide`](crate::machine::decide) does, and says the same.

#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{
    Outline, SagaId,
    machine::{Phase, State, backward},
};

/// What cancelling a saga would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CancelPlan {
    /// The saga.
    pub saga: SagaId,
    /// How many facts it had: with one more this may be another plan.
    pub facts: u32,
    /// Why it cannot be cancelled.
    pub refused: Option<String>,
    /// What is undone, round after round; the undoings of one round run side by side. For a saga
    /// that is on its way back already, what is left.
    pub rounds: Vec<Vec<PlannedUndo>>,
}

/// What is to be undone of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedUndo {
    /// The step.
    pub step: String,
    /// Its service, which undoes it.
    pub service: String,
    /// The operation that is undone.
    pub operation: String,
    /// What is known of the action.
    pub action: ActionOutcome,
}

/// What is known of an action that is to be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionOutcome {
    /// It was done.
    Done,
    /// Nobody knows whether it took effect, so it is undone.
    Unknown,
    /// Nobody answered yet. Its answer is waited for before anything is undone; after a rejection
    /// there is nothing to undo.
    InFlight,
}

impl ActionOutcome {
    const fn describe(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unknown => "unknown: may have taken effect",
            Self::InFlight => {
                "in flight: its answer comes first, and a rejection leaves nothing to undo"
            }
        }
    }
}

/// What cancelling the saga would do. Its facts are what the state was folded from.
#[must_use]
pub fn cancel(outline: &Outline, state: &State) -> CancelPlan {
    let refused = refusal(outline, state);
    let on_its_way = state.turned && !state.status.ended();
    let rounds = if refused.is_none() || on_its_way { rounds(outline, state) } else { Vec::new() };
    CancelPlan { saga: state.id, facts: state.seq, refused, rounds }
}

fn refusal(outline: &Outline, state: &State) -> Option<String> {
    if state.status.ended() {
        return Some(format!("the saga has ended: {}", state.status));
    }
    if state.turned {
        return Some("the saga has turned back already".into());
    }
    backward::barred(outline, state)
}

/// The last stage first, as the machine goes back.
fn rounds(outline: &Outline, state: &State) -> Vec<Vec<PlannedUndo>> {
    let stages = outline.steps.last().map_or(0, |s| s.stage + 1);
    let of_stage = |stage| {
        let steps = backward::stage(outline, state, stage).into_iter();
        steps.filter_map(|at| undo(outline, state, at)).collect::<Vec<_>>()
    };
    (0..stages).rev().map(of_stage).filter(|round| !round.is_empty()).collect()
}

/// What there is to undo of a step.
fn undo(outline: &Outline, state: &State, at: usize) -> Option<PlannedUndo> {
    let action = match state.steps[at].action.phase {
        _ if !backward::undoable(outline, state, at) => return None,
        Phase::Done => ActionOutcome::Done,
        // Turning back leaves nothing waiting to be repeated, or for a late answer.
        Phase::Unknown | Phase::Backoff | Phase::Pending => ActionOutcome::Unknown,
        Phase::InFlight => ActionOutcome::InFlight,
        _ => return None,
    };
    let plan = outline.steps.get(state.steps[at].plan)?;
    let (service, operation) = (plan.service.clone(), plan.operation.clone());
    Some(PlannedUndo { step: state.name(outline, at), service, operation, action })
}

impl CancelPlan {
    /// A short name for exactly this plan: of this saga, at this number of facts.
    #[must_use]
    pub fn hash(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let mut name = String::new();
        for byte in Sha256::digest(&text).iter().take(6) {
            // Writing to a string cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }
}

/// For people; names come from definitions, and need no escapes.
impl fmt::Display for CancelPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.refused {
            writeln!(f, "cannot be cancelled: {why}")?;
            if self.rounds.is_empty() {
                return Ok(());
            }
            writeln!(f, "still to be undone, in this order:")?;
        } else if self.rounds.is_empty() {
            return writeln!(f, "cancelling it undoes nothing: nothing was done yet");
        } else {
            writeln!(f, "cancelling it undoes, in this order:")?;
        }
        let names = self.rounds.iter().flatten().map(|undo| undo.step.len());
        let width = names.max().unwrap_or(0);
        for (n, round) in self.rounds.iter().enumerate() {
            for (m, undo) in round.iter().enumerate() {
                let number = if m == 0 { format!("{}.", n + 1) } else { String::new() };
                writeln!(f, "{number:>4} {:width$}  {}", undo.step, undo.action.describe())?;
            }
        }
        Ok(())
    }
}
