//! A batch being decided: instances at hand, changes so far.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use crate::{Definition, Record, SagaId, machine::Time};

use super::{
    Change, Disposition, Due, Inbox, InboxQuery, Input, Instance, Item, KeyHolder, Observe, Rearm,
    Rows, Timer, timer,
};

/// A batch of items that are decided together. See the [module](super) for the order of calls.
#[derive(Debug)]
pub struct Batch<O = ()> {
    pub(super) observer: O,
    pub(super) now: Time,
    pub(super) instances: HashMap<SagaId, Instance>,
    /// Instances that were read for this batch, or begin in it: not outdated.
    pub(super) fresh: HashSet<SagaId>,
    /// Sagas of versions that this program does not know.
    pub(super) foreign: HashSet<SagaId>,
    pub(super) keys: HashMap<(String, String), KeyHolder>,
    pub(super) inboxes: HashMap<SagaId, Inbox>,
    /// Of these sagas the events of all changes up to these facts need not be published again.
    pub(super) announced: HashMap<SagaId, u32>,
    pub(super) changes: HashMap<SagaId, Change>,
    pub(super) rows: Rows,
    /// What was due in sagas that moved, before this batch.
    pub(super) due_before: HashMap<SagaId, Option<Time>>,
    /// Sagas that moved and must read their inboxes right after the commit.
    pub(super) read_inbox: HashSet<SagaId>,
    /// Other sagas that wait for what happens in this batch.
    pub(super) wakes: BTreeSet<SagaId>,
    /// Sagas that something else moved beside the message of an item: acts, or limits.
    pub(super) by_itself: HashSet<SagaId>,
    /// Timers that fired.
    pub(super) fired: HashMap<SagaId, Due>,
    pub(super) rearm: Vec<Rearm>,
    pub(super) recorded: Vec<(SagaId, Arc<Definition>, Record)>,
    pub(super) unusable: Vec<(SagaId, String)>,
}

/// What has to be read before a batch is decided.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Sagas to read, each once, in the order of their ids: [`Batch::put`], or
    /// [`Batch::put_foreign`] where their version is not known here.
    pub sagas: Vec<SagaId>,
    /// Business keys whose holders to look for: (definition, key).
    pub keys: Vec<(String, String)>,
    /// Sagas whose timers fired, and whose inboxes are to be read.
    pub woken: Vec<SagaId>,
}

/// A decided batch.
#[derive(Debug)]
pub struct Outcome<O = ()> {
    /// What to write in one transaction, before anything is published.
    pub rows: Rows,
    /// Timers to set again after it.
    pub rearm: Vec<Rearm>,
    /// When timers that are set by it are due.
    pub alarms: Vec<Time>,
    /// The sagas as they are after it, to be kept at hand once it is committed.
    pub instances: HashMap<SagaId, Instance>,
    /// What is recorded, for logs and counters.
    pub recorded: Vec<(SagaId, Arc<Definition>, Record)>,
    /// What came for sagas that wait for such a thing, and cannot be used, with the reason.
    pub unusable: Vec<(SagaId, String)>,
    /// The observer of the decisions.
    pub observer: O,
}

impl Batch {
    /// A batch that is decided at this time.
    #[must_use]
    pub fn new(now: Time) -> Self {
        Self::observed(now, ())
    }
}

impl<O: Observe> Batch<O> {
    /// As [`Batch::new`], with an observer of its decisions.
    pub fn observed(now: Time, observer: O) -> Self {
        Self {
            observer,
            now,
            instances: HashMap::new(),
            fresh: HashSet::new(),
            foreign: HashSet::new(),
            keys: HashMap::new(),
            inboxes: HashMap::new(),
            announced: HashMap::new(),
            changes: HashMap::new(),
            rows: Rows { now, ..Rows::default() },
            due_before: HashMap::new(),
            read_inbox: HashSet::new(),
            wakes: BTreeSet::new(),
            by_itself: HashSet::new(),
            fired: HashMap::new(),
            rearm: Vec::new(),
            recorded: Vec::new(),
            unusable: Vec::new(),
        }
    }

    /// Takes the instances that are at hand, and returns what has to be read. `trust`: instances at hand
    /// may be used, and a trigger is taken for new until its insert conflicts; otherwise everything is
    /// read.
    pub fn gather<'a>(
        &mut self,
        items: impl IntoIterator<Item = &'a Item>,
        trust: bool,
        mut at_hand: impl FnMut(SagaId) -> Option<Instance>,
    ) -> Missing {
        let mut missing = Missing::default();
        for item in items {
            let known = at_hand(item.saga).filter(|_| trust);
            // A timer may be moved without a new fact: only a fresh state may do that.
            let timer = matches!(item.input, Input::Timer(_));
            if timer {
                missing.woken.push(item.saga);
            }
            match (known, &item.input) {
                (Some(known), _) if !timer => drop(self.instances.insert(item.saga, known)),
                _ if self.instances.contains_key(&item.saga) && !timer => {}
                (_, Input::Start(_)) if trust => {}
                _ => missing.sagas.push(item.saga),
            }
            if let (Input::Start(start), false) = (&item.input, trust) {
                let name = &start.definition.outline().name;
                missing.keys.extend(start.key.as_ref().map(|key| (name.clone(), key.clone())));
            }
        }
        missing.sagas.sort_unstable();
        missing.sagas.dedup();
        missing
    }

    /// Puts a saga in that was read.
    pub fn put(&mut self, id: SagaId, instance: Instance) {
        self.instances.insert(id, instance);
        self.fresh.insert(id);
    }

    /// Marks a saga as one that cannot be read: it is of a version, or its start of a definition, that this
    /// program does not know.
    pub fn put_foreign(&mut self, id: SagaId) {
        self.foreign.insert(id);
    }

    /// Puts in the holder of a business key.
    pub fn put_key(&mut self, definition: String, key: String, holder: KeyHolder) {
        self.keys.insert((definition, key), holder);
    }

    /// Notes that the event of the change by this fact of a saga, and those before it, need not be published
    /// again: they are stored, or what the change followed from is a message that is delivered until they
    /// are. To be asked for sagas whose timers fired.
    pub fn put_announced(&mut self, id: SagaId, seq: u32) {
        self.announced.insert(id, seq);
    }

    /// Which inboxes to read, of these sagas, whose timers fired, and of what else was put in. To be asked
    /// once what is [`Missing`](super::Missing) was put in.
    pub fn inbox_query(&self, woken: &[SagaId]) -> InboxQuery {
        let asked = |id: &&SagaId| self.instances.get(id).is_some_and(|saga| saga.state.asked);
        let mut query = InboxQuery::default();
        query.mail.extend(self.fresh.iter().filter(asked));
        for id in woken {
            match self.instances.get(id) {
                Some(instance) => query.add(*id, instance),
                None if self.foreign.contains(id) => {}
                None => query.missing.push(*id),
            }
        }
        query
    }

    /// Where what was found for a saga is put.
    pub fn inbox(&mut self, id: SagaId) -> &mut Inbox {
        self.inboxes.entry(id).or_default()
    }

    /// The observer of the decisions.
    pub const fn observer(&self) -> &O {
        &self.observer
    }

    /// Decides an item. What people asked for before it comes first, and then the limits that had passed
    /// when it came.
    pub fn decide(&mut self, item: &Item) -> Disposition {
        match &item.input {
            Input::Start(start) => self.start(item.saga, start),
            Input::Reply(..) if self.foreign.contains(&item.saga) => Disposition::Park,
            Input::Reply(reply, came) => self.reply(item.saga, reply, *came),
            Input::Timer(due) => Disposition::Publish(self.timer(due)),
        }
    }

    /// Ends the batch: what to write, and the sagas' states after it.
    #[must_use]
    pub fn finish(mut self) -> Outcome<O> {
        let mut alarms = Vec::new();
        let mut changes: Vec<_> = std::mem::take(&mut self.changes).into_iter().collect();
        changes.sort_unstable_by_key(|(id, _)| *id);
        for (id, change) in &mut changes {
            change.timer = self.timer_after(*id);
            if let Timer::Set(due) | Timer::Rearm(due, _) = change.timer {
                alarms.extend(due);
            }
        }
        self.rows.sagas = changes;
        self.rows.wakes = std::mem::take(&mut self.wakes).into_iter().collect();
        alarms.extend(self.rows.wakes.iter().map(|_| self.now));
        // Of what is left nothing moved.
        let mut idle: Vec<_> = std::mem::take(&mut self.fired).into_iter().collect();
        idle.sort_unstable_by_key(|(id, _)| *id);
        for (id, due) in idle {
            let announced = self.announced_at(id, self.now.max(due.now));
            let Some(instance) = self.instances.get_mut(&id) else { continue };
            // Another turn may move it at the same time: the next one writes it.
            instance.timer_at = None;
            self.rearm.push(timer::idle(instance, due, announced));
        }
        Outcome {
            rows: self.rows,
            rearm: self.rearm,
            alarms,
            instances: self.instances,
            recorded: self.recorded,
            unusable: self.unusable,
            observer: self.observer,
        }
    }

    /// The timer of a saga that moved; its instance knows it from now on.
    fn timer_after(&mut self, id: SagaId) -> Timer {
        let Some(instance) = self.instances.get_mut(&id) else { return Timer::Keep };
        let woken = self.wakes.remove(&id);
        let timer = timer::after(
            instance,
            &timer::Situation {
                now: self.now,
                fired: self.fired.remove(&id),
                inbox: woken || self.read_inbox.contains(&id),
                by_itself: self.by_itself.contains(&id),
                due_before: self.due_before.get(&id).copied().flatten(),
            },
        );
        if let Timer::Set(due) | Timer::Rearm(due, _) = timer {
            instance.timer_at = due;
        }
        timer
    }
}
