//! What binds a saga to more than services: events, locks, other sagas, starts by SQL.

use amends::{SagaId, machine::Wait};
use sqlx::types::Uuid;

/// Rows about these bonds, as columns. Few batches have any.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(super) waits: Waits,
    pub(super) found: Found,
    pub(super) locks: Locks,
    pub(super) undone: Undone,
    pub(super) requests: Requests,
}

#[derive(Debug, Default)]
pub(super) struct Waits {
    pub(super) saga: Vec<Uuid>,
    pub(super) step: Vec<String>,
    pub(super) matcher: Vec<String>,
    pub(super) key: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) saga: Vec<Uuid>,
    pub(super) step: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Locks {
    pub(super) saga: Vec<Uuid>,
    pub(super) name: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Undone {
    pub(super) saga: Vec<Uuid>,
    pub(super) reason: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    pub(super) saga: Vec<Uuid>,
    pub(super) accepted: Vec<bool>,
    pub(super) answer: Vec<Option<String>>,
}

// The parts of one statement do not see each other: of one step only the last word is written.

impl Waits {
    fn forget(&mut self, saga: SagaId, step: &str) {
        let at = self.saga.iter().zip(&self.step).position(|(s, t)| *s == saga.0 && t == step);
        let Some(at) = at else { return };
        self.saga.remove(at);
        self.step.remove(at);
        self.matcher.remove(at);
        self.key.remove(at);
    }
}

impl Found {
    fn forget(&mut self, saga: SagaId, step: &str) {
        let at = self.saga.iter().zip(&self.step).position(|(s, t)| *s == saga.0 && t == step);
        let Some(at) = at else { return };
        self.saga.remove(at);
        self.step.remove(at);
    }
}

/// What names the step that an event may be for.
pub(crate) fn matcher(definition: &str, step: &str) -> String {
    format!("{definition}/{step}")
}

impl Links {
    pub(super) const fn is_empty(&self) -> bool {
        self.waits.saga.is_empty()
            && self.found.saga.is_empty()
            && self.locks.saga.is_empty()
            && self.undone.saga.is_empty()
            && self.requests.saga.is_empty()
    }

    /// A step waits for an event from now on.
    pub(crate) fn wait(&mut self, saga: SagaId, definition: &str, wait: Wait) {
        self.found.forget(saga, &wait.step);
        self.waits.saga.push(saga.0);
        self.waits.matcher.push(matcher(definition, &wait.step));
        self.waits.step.push(wait.step);
        self.waits.key.push(wait.key);
    }

    /// A step waits for its event no more.
    pub(crate) fn found(&mut self, saga: SagaId, step: String) {
        self.waits.forget(saga, &step);
        self.found.saga.push(saga.0);
        self.found.step.push(step);
    }

    /// A saga wants a lock.
    pub(crate) fn lock(&mut self, saga: SagaId, name: String) {
        self.locks.saga.push(saga.0);
        self.locks.name.push(name);
    }

    /// A nested saga is to be undone.
    pub(crate) fn undo(&mut self, saga: SagaId, reason: String) {
        self.undone.saga.push(saga.0);
        self.undone.reason.push(reason);
    }

    /// What became of a start that was asked for in SQL.
    pub(crate) fn requested(&mut self, saga: SagaId, answer: Result<Option<String>, String>) {
        self.requests.saga.push(saga.0);
        self.requests.accepted.push(answer.is_ok());
        self.requests.answer.push(answer.unwrap_or_else(Some));
    }
}
