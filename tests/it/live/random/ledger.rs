//! What services have done: their own books, with the barrier that each participant owes.

use std::collections::HashMap;

use amends::{AttemptId, SagaId};
use serde_json::{Value, json};

/// A saga, and a step of it.
pub(super) type EffectOf = (SagaId, String);

pub(super) fn effect_of(id: &AttemptId) -> EffectOf {
    (id.saga, id.step.to_string())
}

/// Where an action stands at its service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Action {
    #[default]
    Unheard,
    /// To be done later.
    Accepted,
    Applied,
    Rejected,
    /// Its compensation came first: it will never be done.
    Void,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Effect {
    action: Action,
    pub(super) applied: u32,
    pub(super) undone: u32,
    /// The order in which it was done and undone, over all effects.
    pub(super) applied_as: u64,
    pub(super) undone_as: u64,
    /// A person had a hand in it.
    pub(super) by_hand: bool,
    /// Names it over all sagas.
    path: String,
}

impl Effect {
    /// What the service answers to an action.
    fn answer(&self) -> Value {
        match self.action {
            Action::Applied if self.undone == 0 => {
                json!({"outcome": "ok", "output": {"by": self.path}})
            }
            Action::Rejected => json!({"outcome": "rejected", "code": "no", "message": "no"}),
            Action::Applied | Action::Void | Action::Unheard | Action::Accepted => {
                json!({"outcome": "rejected", "code": "compensated"})
            }
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    effects: HashMap<EffectOf, Effect>,
    clock: u64,
    /// How often an action came after its compensation, or the compensation of one that never came.
    pub(super) voided: u64,
}

impl Ledger {
    fn entry(&mut self, of: &EffectOf, path: &str) -> &mut Effect {
        self.clock += 1;
        let effect = self.effects.entry(of.clone()).or_default();
        path.clone_into(&mut effect.path);
        effect
    }

    /// Does the action, unless it is settled; the reply.
    pub(super) fn act(&mut self, of: &EffectOf, path: &str) -> Value {
        let effect = self.entry(of, path);
        if matches!(effect.action, Action::Unheard | Action::Accepted) {
            effect.action = Action::Applied;
            effect.applied += 1;
            let now = self.clock;
            self.entry(of, path).applied_as = now;
        }
        self.answer(of, path)
    }

    /// Refuses the action, unless it is settled; the reply.
    pub(super) fn reject(&mut self, of: &EffectOf, path: &str) -> Value {
        let effect = self.entry(of, path);
        if matches!(effect.action, Action::Unheard | Action::Accepted) {
            effect.action = Action::Rejected;
        }
        self.answer(of, path)
    }

    /// Accepts the action for later, unless it is settled; the reply.
    pub(super) fn accept(&mut self, of: &EffectOf, path: &str) -> Value {
        let effect = self.entry(of, path);
        match effect.action {
            Action::Unheard | Action::Accepted => {
                effect.action = Action::Accepted;
                json!({"outcome": "pending"})
            }
            Action::Applied | Action::Rejected | Action::Void => self.answer(of, path),
        }
    }

    fn answer(&mut self, of: &EffectOf, path: &str) -> Value {
        let effect = self.entry(of, path);
        if effect.action == Action::Void {
            self.voided += 1;
        }
        self.effects[of].answer()
    }

    /// Undoes the action, or sees to it that it is never done; the reply.
    pub(super) fn undo(&mut self, of: &EffectOf, path: &str) -> Value {
        let effect = self.entry(of, path);
        match effect.action {
            Action::Unheard | Action::Accepted => {
                effect.action = Action::Void;
                self.voided += 1;
            }
            Action::Applied if effect.undone == 0 => {
                effect.undone += 1;
                let now = self.clock;
                self.entry(of, path).undone_as = now;
            }
            Action::Applied | Action::Rejected | Action::Void => {}
        }
        json!({"outcome": "ok"})
    }

    /// A person does it, or undoes it; the reply.
    pub(super) fn by_hand(&mut self, of: &EffectOf, path: &str, undo: bool) -> Value {
        self.entry(of, path).by_hand = true;
        if undo { self.undo(of, path) } else { self.act(of, path) }
    }

    /// All effects, by saga.
    pub(super) fn by_saga(&self) -> HashMap<SagaId, Vec<(&str, &Effect)>> {
        let mut by_saga: HashMap<_, Vec<_>> = HashMap::new();
        for ((saga, step), effect) in &self.effects {
            by_saga.entry(*saga).or_default().push((step.as_str(), effect));
        }
        by_saga
    }
}
