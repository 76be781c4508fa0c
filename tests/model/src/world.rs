//! A state of the exploration: Postgres, streams, replicas, services and the clock.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use amends::{machine::Time, turn::Due};

use crate::{
    act::Mail,
    database::Database,
    happened::{Breach, Seen},
    message::{Message, Pipe},
    participants::Effect,
    setting::{Budget, Setting, epoch},
    stored::{Kept, Stored, rounded},
};

/// All that there is at one time.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) database: Database,
    pub(crate) pipe: Pipe,
    /// Events that nobody has published yet.
    pub(crate) to_come: Vec<u8>,
    pub(crate) replicas: [Replica; 2],
    /// By saga and step.
    pub(crate) effects: Vec<Vec<Effect>>,
    /// What may go wrong yet.
    pub(crate) budget: Budget,
    /// Which guarantee is broken. Nothing follows.
    pub(crate) broken: Option<Breach>,
    /// Tells leases apart that are taken at one time. No part of what a state is.
    pub(crate) claims: u32,
    /// What happened in the last step. No part of what a state is.
    pub(crate) seen: Seen,
}

/// Most elements of a list.
const ELEMENTS: usize = 2;

impl World {
    pub(crate) fn new(setting: &Setting) -> Self {
        let mut pipe = Pipe::default();
        let triggers = setting.sagas.iter().filter(|saga| saga.parent.is_none());
        for (at, _) in (0..).zip(triggers) {
            pipe.publish(Message::Trigger(at));
        }
        let steps = |saga: &crate::setting::SagaSpec| {
            vec![Effect::default(); saga.definition.outline().steps.len() + ELEMENTS]
        };
        let replica = Replica { cache: vec![None; setting.sagas.len()], woken: None };
        Self {
            now: epoch(),
            database: Database::new(setting.sagas.len()),
            pipe,
            to_come: (0..).zip(&setting.events).map(|(event, _)| event).collect(),
            replicas: [replica.clone(), replica],
            effects: setting.sagas.iter().map(steps).collect(),
            budget: setting.budget,
            broken: None,
            claims: 0,
            seen: Seen::default(),
        }
    }

    /// Whether the timer that a replica has under a lease was moved since.
    pub(crate) fn is_moved(&self, woken: &Woken) -> bool {
        self.database.sagas[woken.saga].timer != Some(Some(woken.due.leased_until))
    }

    /// Of each replica what it knows. It makes no difference which of them knows what.
    fn minds(&self) -> [u64; 2] {
        let mut minds = [0, 1].map(|at: usize| {
            let replica = &self.replicas[at];
            let mut hasher = DefaultHasher::new();
            replica.hash(&mut hasher);
            replica.woken.as_ref().map(|woken| self.is_moved(woken)).hash(&mut hasher);
            hasher.finish()
        });
        minds.sort_unstable();
        minds
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self { now, database, pipe, to_come, effects, budget, broken, .. } = self;
        (now, database, pipe, to_come, effects, budget, broken, self.minds()).hash(hasher);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        let digest = |world: &Self| {
            let mut hasher = DefaultHasher::new();
            world.hash(&mut hasher);
            hasher.finish()
        };
        digest(self) == digest(other)
    }
}

impl Eq for World {}

/// What a replica knows: sagas at hand, perhaps outdated, and the timer whose turn is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Replica {
    pub(crate) cache: Vec<Option<Arc<Kept>>>,
    pub(crate) woken: Option<Arc<Woken>>,
}

impl Replica {
    /// Whoever takes its place remembers nothing.
    pub(crate) fn dies(&mut self) {
        self.cache.iter_mut().for_each(|saga| *saga = None);
        self.woken = None;
    }

    pub(crate) fn knows_nothing(&self) -> bool {
        self.woken.is_none() && self.cache.iter().all(Option::is_none)
    }
}

/// A timer that was taken, and what was read then.
#[derive(Debug)]
pub(crate) struct Woken {
    pub(crate) saga: usize,
    pub(crate) due: Due,
    pub(crate) read: Read,
}

/// A saga and its inbox, as they were read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Read {
    pub(crate) kept: Option<Arc<Kept>>,
    pub(crate) acts: Vec<Mail>,
    /// Of each event the step, and where it stands among the kept.
    pub(crate) arrivals: Vec<(String, usize)>,
    /// Of each nested saga that has ended the step.
    pub(crate) ends: Vec<(String, Arc<Stored>)>,
    pub(crate) granted: bool,
}

impl PartialEq for Woken {
    fn eq(&self, other: &Self) -> bool {
        self.saga == other.saga && self.due == other.due && self.read == other.read
    }
}

impl Eq for Woken {}

impl Hash for Woken {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self { saga, due, read } = self;
        (saga, rounded(due.leased_until), rounded(due.now), read).hash(hasher);
    }
}
