//! A batch being decided: states at hand, changes so far, one verdict per item.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry as Slot},
    sync::Arc,
    time::Duration,
};

use amends::{
    Definition, Record, SagaId, StatusChange, TraceParent,
    machine::{self, ChildOrder, Decision, Event, Send, State, Time, Turn},
};

use super::{Incoming, Item, Start, Verdict, cache::Entry, news, wake::Inbox};
use crate::bus::Outgoing;
use crate::store::{Batch, Change, DecidedAct, Due, Found, Links, NewSaga, Rearm, Timer};

/// A cached timer this close to its time may have been taken by another replica's clock.
const TIMER_SLACK: Duration = Duration::from_secs(2);

/// When the news of a change of status that a timer caused is repeated, in case its first
/// publication was lost in a crash.
const NEWS_AGAIN: Duration = Duration::from_secs(10);

pub(super) struct Draft {
    pub(super) entries: HashMap<SagaId, Entry>,
    /// Entries that were read for this batch, or begin in it.
    pub(super) fresh: HashSet<SagaId>,
    /// Sagas whose definition this program does not know.
    pub(super) foreign: HashSet<SagaId>,
    /// Sagas that hold a business key.
    pub(super) keys: HashMap<(String, String), Found>,
    /// What the sagas that were woken may have waited for.
    pub(super) inboxes: HashMap<SagaId, Inbox>,
    pub(super) decided: Vec<DecidedAct>,
    changes: HashMap<SagaId, Change>,
    pub(super) links: Links,
    /// Timers that fired, of sagas that went on.
    pub(super) woken: HashMap<SagaId, Due>,
    /// What was due in sagas that went on, before this batch.
    due_before: HashMap<SagaId, Option<Time>>,
    /// Sagas that must look for something right after the commit.
    look: HashSet<SagaId>,
    /// Other sagas that wait for what happens in this batch.
    pub(super) wake: HashSet<SagaId>,
    /// What is to be logged and counted once it is committed, and of which saga.
    told: Vec<(SagaId, Arc<Definition>, Record)>,
    /// Timers that fired and led to nothing.
    pub(super) looked: HashMap<SagaId, Due>,
    pub(super) rearm: Rearm,
    pub(super) now: Time,
}

impl Draft {
    pub(super) fn new(now: Time) -> Self {
        Self {
            entries: HashMap::new(),
            fresh: HashSet::new(),
            foreign: HashSet::new(),
            keys: HashMap::new(),
            inboxes: HashMap::new(),
            decided: Vec::new(),
            changes: HashMap::new(),
            links: Links::default(),
            woken: HashMap::new(),
            due_before: HashMap::new(),
            look: HashSet::new(),
            wake: HashSet::new(),
            told: Vec::new(),
            looked: HashMap::new(),
            rearm: Rearm::default(),
            now,
        }
    }

    pub(super) fn decide(&mut self, item: &Item) -> Verdict {
        match &item.incoming {
            Incoming::Dead(reason) => Verdict::Bury(reason.clone()),
            Incoming::Leave => Verdict::Leave,
            Incoming::Start(start) => self.start(item.saga, start),
            Incoming::Reply(_) if self.foreign.contains(&item.saga) => Verdict::Park,
            Incoming::Reply(reply) => self.event(item.saga, &Event::Reply(reply.clone())),
            Incoming::Wake(due) => Verdict::Publish(self.wake(due)),
        }
    }

    pub(super) fn start(&mut self, id: SagaId, start: &Start) -> Verdict {
        if self.foreign.contains(&id) {
            return Verdict::Leave;
        }
        if self.entries.contains_key(&id) {
            return self.event(id, &Event::StartedAgain);
        }
        let outline = start.definition.outline();
        if let Some(key) = &start.key {
            match self.keys.entry((outline.name.clone(), key.clone())) {
                Slot::Occupied(held) => return same_key(held.get(), start, key),
                Slot::Vacant(free) => {
                    free.insert(Found { id, digest: start.input.digest() });
                }
            }
        }
        Verdict::Publish(self.begin(id, start, None))
    }

    /// A saga begins, perhaps as a step of another.
    fn begin(
        &mut self,
        id: SagaId,
        start: &Start,
        parent: Option<(SagaId, String)>,
    ) -> Vec<Outgoing> {
        let outline = start.definition.outline();
        let new = NewSaga {
            definition: outline.name.clone(),
            version: outline.version,
            key: start.key.clone(),
            trace: start.trace.map(|t| t.to_string()),
            input: start.input.clone(),
            parent: parent.clone(),
        };
        self.changes.insert(id, Change { start: Some(new), ..Change::default() });
        let entry = Entry {
            definition: Arc::clone(&start.definition),
            state: State::new(outline, id, start.input.clone()),
            key: start.key.clone(),
            trace: start.trace,
            changes: Vec::new(),
            parent: parent.map(|(id, _)| id),
            timer_at: None,
        };
        self.fresh.insert(id);
        self.entries.insert(id, entry);
        for name in &start.locks {
            self.links.lock(id, name.clone());
            self.look.insert(id);
        }
        let turn = machine::start(&start.definition, id, start.input.clone(), self.now);
        self.take(id, turn)
    }

    fn event(&mut self, id: SagaId, event: &Event) -> Verdict {
        let Some(entry) = self.entries.get(&id) else {
            return Verdict::Bury(format!("there is no saga {id}"));
        };
        match machine::decide(&entry.definition, &entry.state, event, self.now) {
            Decision::Turn(turn) => Verdict::Publish(self.take(id, *turn)),
            Decision::Known(sends) => {
                // Which of the changes this event caused may be forgotten by now: the saga has gone
                // on. All are told again; JetStream and consumers drop what they have.
                let told = entry.changes.iter();
                let mut publish: Vec<_> = told.map(|change| announce(id, entry, change)).collect();
                publish.extend(commands(entry, &sends));
                Verdict::Publish(publish)
            }
            Decision::Unexpected(_) if !self.fresh.contains(&id) => Verdict::Recheck,
            Decision::Unexpected(why) => Verdict::Bury(why.to_string()),
            Decision::Refused(why) => Verdict::Bury(why),
        }
    }

    /// Takes a turn into the batch.
    pub(super) fn take(&mut self, id: SagaId, turn: Turn) -> Vec<Outgoing> {
        let Some(entry) = self.entries.get_mut(&id) else { return Vec::new() };
        let definition = Arc::clone(&entry.definition);
        let outline = definition.outline();
        let change = self.changes.entry(id).or_default();
        let mut sends = Vec::new();
        let told = entry.changes.len();
        for fact in turn.facts {
            entry.changes.extend(StatusChange::of(&fact));
            if let Some(status) = fact.next.status {
                let earlier = change.status.take().and_then(|(_, error)| error);
                change.status = Some((status, fact.next.error.clone().or(earlier)));
            }
            let record = Record::of(outline, &turn.next, &fact);
            self.told.push((id, Arc::clone(&definition), record.clone()));
            change.facts.push(record);
            sends.extend(fact.next.sends);
        }
        let before = std::mem::replace(&mut entry.state, turn.next);
        self.due_before.entry(id).or_insert_with(|| before.due());
        let changes = entry.changes[told..].iter();
        let mut publish: Vec<_> = changes.map(|change| announce(id, entry, change)).collect();
        publish.extend(commands(entry, &sends));
        let orders = |send| machine::child(&definition, &entry.state, send);
        let orders: Vec<_> = sends.iter().filter_map(|s| Some((s.step, orders(s)?))).collect();
        self.bind(id, &definition, &before);
        for (step, order) in orders {
            publish.extend(self.nest(id, step, order));
        }
        publish
    }

    /// What a turn changes in what its saga waits for, and who waits for it.
    fn bind(&mut self, id: SagaId, definition: &Definition, before: &State) {
        let Some(entry) = self.entries.get(&id) else { return };
        let (old, new) =
            (machine::waits(definition, before), machine::waits(definition, &entry.state));
        for gone in old.iter().filter(|wait| !new.contains(wait)) {
            self.links.found(id, gone.step.clone());
        }
        for wait in new.into_iter().filter(|wait| !old.contains(wait)) {
            // The event may be there already.
            self.look.insert(id);
            self.links.wait(id, &definition.outline().name, wait);
        }
        if entry.state.status.ended() && entry.is_awaited() {
            self.look.insert(id);
            self.wake.extend(entry.parent);
        }
    }

    /// What a nested saga is asked for.
    fn nest(&mut self, outer: SagaId, step: usize, order: ChildOrder) -> Vec<Outgoing> {
        match order {
            ChildOrder::Start { definition, id, input } => {
                let Some(entry) = self.entries.get(&outer) else { return Vec::new() };
                let step = entry.state.name(entry.definition.outline(), step);
                let trace = entry.trace;
                let start = Start { definition, key: None, locks: Vec::new(), input, trace };
                self.begin(id, &start, Some((outer, step)))
            }
            ChildOrder::Undo { id, reason } => {
                self.links.undo(id, reason);
                self.wake.insert(id);
                Vec::new()
            }
        }
    }

    /// Logs and counts what was decided; for after the commit, so that nothing is told twice.
    pub(super) fn tell(&self) {
        for (saga, definition, fact) in &self.told {
            news::fact(*saga, definition.outline(), fact);
        }
    }

    /// The rows to write, and the timers that were set.
    pub(super) fn batch(&mut self) -> (Batch, Vec<Time>) {
        let mut batch = Batch::default();
        let mut alarms = Vec::new();
        // In one order everywhere: two lanes, or replicas, with the same sagas in their batches wait for
        // each other's rows, and must not do so crosswise.
        let mut changes: Vec<_> = self.changes.drain().collect();
        changes.sort_unstable_by_key(|(id, _)| *id);
        for (id, mut change) in changes {
            if let Some(entry) = self.entries.get_mut(&id) {
                let fired = self.looked.remove(&id).or_else(|| self.woken.get(&id).copied());
                let woken = self.wake.remove(&id);
                let look = woken || self.look.contains(&id);
                let stood = self.due_before.get(&id).copied().flatten();
                change.timer = timer(entry, self.now, fired, look, stood);
                if let Timer::Set(due) | Timer::Rearm(due, _) = change.timer {
                    entry.timer_at = due;
                    alarms.extend(due);
                }
            }
            batch.add(id, change);
        }
        let mut wake: Vec<_> = self.wake.drain().collect();
        wake.sort_unstable();
        for id in wake {
            batch.wake(id, self.now);
            alarms.push(self.now);
        }
        for act in self.decided.drain(..) {
            batch.decide(act);
        }
        *batch.links() = std::mem::take(&mut self.links);
        for (id, due) in self.looked.drain() {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            // Another turn may move it at the same time: the next one writes it.
            entry.timer_at = None;
            match entry.state.due() {
                None if entry.state.status.ended() => self.rearm.delete(&due),
                next => self.rearm.set(&due, next),
            }
        }
        (batch, alarms)
    }
}

fn same_key(held: &Found, start: &Start, key: &str) -> Verdict {
    if held.digest == start.input.digest() {
        return Verdict::Publish(Vec::new());
    }
    let name = &start.definition.outline().name;
    Verdict::Bury(format!(
        "the key `{key}` of `{name}` was used before with another body, by saga {}",
        held.id
    ))
}

/// A timer is written only when the one that stands would fire too late: an early one fires, finds
/// nothing due, and is set again. `look`: something may be there that the saga does not know of yet.
/// `stood`: what was due before this batch; another replica may have set the timer to just that.
fn timer(entry: &Entry, now: Time, fired: Option<Due>, look: bool, stood: Option<Time>) -> Timer {
    let due = if look { Some(now) } else { entry.state.due() };
    let ended = entry.state.status.ended() && !look;
    if let Some(fired) = fired {
        let news = entry.changes.last().is_some_and(|c| c.seq + 1 == entry.state.seq);
        let again = news.then(|| now + NEWS_AGAIN);
        return match due.into_iter().chain(again).min() {
            None if ended => Timer::Delete,
            due => Timer::Rearm(due, fired),
        };
    }
    match (due, entry.timer_at) {
        _ if ended => Timer::Delete,
        (Some(due), Some(at))
            if at <= due && at > now + TIMER_SLACK && stood.is_some_and(|stood| stood <= due) =>
        {
            Timer::Keep
        }
        (due, _) => Timer::Set(due),
    }
}

pub(super) fn announce(saga: SagaId, entry: &Entry, change: &StatusChange) -> Outgoing {
    let event =
        amends::status_event(saga, entry.definition.outline(), entry.key.as_deref(), change);
    Outgoing::Status(event, entry.trace)
}

fn commands(entry: &Entry, sends: &[Send]) -> Vec<Outgoing> {
    let command = |send| machine::command(&entry.definition, &entry.state, send);
    sends.iter().filter_map(command).map(|c| Outgoing::Command(c, entry.trace)).collect()
}

/// A trace as it was stored.
pub(super) fn stored_trace(trace: Option<&str>) -> Option<TraceParent> {
    trace.and_then(|t| t.parse().ok())
}
