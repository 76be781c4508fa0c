//! A batch being decided: states at hand, changes so far, one verdict per item.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry as Slot},
    sync::Arc,
    time::Duration,
};

use amends::{
    Definition, Record, SagaId, StatusChange, TraceParent,
    machine::{self, Decision, Event, Fact, Send, Time, Turn},
};

use super::{Incoming, Item, Start, Verdict, cache::Entry, news};
use crate::bus::Outgoing;
use crate::store::{Batch, Change, DecidedAct, Due, Found, NewSaga, OpenAct, Rearm, Timer};

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
    /// What operators ask for, of the sagas that were woken.
    pub(super) acts: HashMap<SagaId, Vec<OpenAct>>,
    decided: Vec<DecidedAct>,
    changes: HashMap<SagaId, Change>,
    woken: HashSet<SagaId>,
    /// What is to be logged and counted once it is committed, and of which saga.
    told: Vec<(SagaId, Arc<Definition>, Fact)>,
    /// Timers that fired and led to nothing.
    looked: HashMap<SagaId, Due>,
    pub(super) rearm: Rearm,
    now: Time,
}

impl Draft {
    pub(super) fn new(now: Time) -> Self {
        Self {
            entries: HashMap::new(),
            fresh: HashSet::new(),
            foreign: HashSet::new(),
            keys: HashMap::new(),
            acts: HashMap::new(),
            decided: Vec::new(),
            changes: HashMap::new(),
            woken: HashSet::new(),
            told: Vec::new(),
            looked: HashMap::new(),
            rearm: Rearm::default(),
            now,
        }
    }

    pub(super) fn decide(&mut self, item: &Item) -> Verdict {
        match &item.incoming {
            Incoming::Dead(reason) => Verdict::Bury(reason.clone()),
            Incoming::Start(start) => self.start(item.saga, start),
            Incoming::Event(event) => self.event(item.saga, event),
            Incoming::Wake(due, event) => self.wake(due, event),
        }
    }

    fn start(&mut self, id: SagaId, start: &Start) -> Verdict {
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
                    free.insert(Found { id, input: start.input.clone() });
                }
            }
        }
        let turn = machine::start(&start.definition, id, start.input.clone(), self.now);
        let new = NewSaga {
            definition: outline.name.clone(),
            version: outline.version,
            key: start.key.clone(),
            trace: start.trace.map(|t| t.to_string()),
            input: start.input.clone(),
        };
        self.changes.insert(id, Change { start: Some(new), ..Change::default() });
        let entry = Entry {
            definition: Arc::clone(&start.definition),
            state: turn.next.clone(),
            key: start.key.clone(),
            trace: start.trace,
            changes: Vec::new(),
            timer_at: None,
        };
        self.fresh.insert(id);
        self.entries.insert(id, entry);
        Verdict::Publish(self.take(id, turn))
    }

    fn event(&mut self, id: SagaId, event: &Event) -> Verdict {
        let Some(entry) = self.entries.get(&id) else {
            let unknown = format!("there is no saga {id}");
            return if self.foreign.contains(&id) {
                Verdict::Leave
            } else {
                Verdict::Bury(unknown)
            };
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

    fn wake(&mut self, due: &Due, event: &Event) -> Verdict {
        if !self.entries.contains_key(&due.saga) {
            if !self.foreign.contains(&due.saga) {
                self.rearm.delete(due);
            }
            return Verdict::Publish(Vec::new());
        }
        // The database found the timer due; a replica whose clock is behind must not disagree.
        let now = self.now.max(due.now);
        let mut publish = Vec::new();
        for act in self.acts.remove(&due.saga).unwrap_or_default() {
            publish.extend(self.act(due.saga, act, now));
        }
        let Some(entry) = self.entries.get(&due.saga) else { return Verdict::Publish(publish) };
        match machine::decide(&entry.definition, &entry.state, event, now) {
            Decision::Turn(turn) => {
                self.woken.insert(due.saga);
                publish.extend(self.take(due.saga, *turn));
            }
            // The batch writes the timer.
            _ if self.woken.contains(&due.saga) => {}
            _ => publish.extend(self.idle(due)),
        }
        Verdict::Publish(publish)
    }

    /// Decides an operator's act.
    fn act(&mut self, id: SagaId, act: OpenAct, now: Time) -> Vec<Outgoing> {
        let Some(entry) = self.entries.get(&id) else { return Vec::new() };
        let decision = act
            .event
            .map(|event| machine::decide(&entry.definition, &entry.state, &Event::Act(event), now));
        let (publish, refusal) = match decision {
            Ok(Decision::Turn(turn)) => {
                self.woken.insert(id);
                (self.take(id, *turn), None)
            }
            Ok(Decision::Refused(why)) | Err(why) => (Vec::new(), Some(why)),
            Ok(Decision::Known(_) | Decision::Unexpected(_)) => (Vec::new(), None),
        };
        let accepted = refusal.is_none();
        tracing::info!(saga = %id, act = act.id, accepted, why = refusal, "an operator acted");
        self.decided.push(DecidedAct { id: act.id, accepted, answer: refusal });
        publish
    }

    /// Nothing was due. The timer is set again at the end of the batch, by the state that is then.
    fn idle(&mut self, due: &Due) -> Vec<Outgoing> {
        self.looked.insert(due.saga, *due);
        let Some(entry) = self.entries.get(&due.saga) else { return Vec::new() };
        // A change that a timer caused has no message that would be delivered again: its news is
        // repeated by the timer.
        let last = entry.changes.last().filter(|c| c.seq + 1 == entry.state.seq);
        last.map(|change| announce(due.saga, entry, change)).into_iter().collect()
    }

    /// Takes a turn into the batch.
    fn take(&mut self, id: SagaId, turn: Turn) -> Vec<Outgoing> {
        let Some(entry) = self.entries.get_mut(&id) else { return Vec::new() };
        let outline = entry.definition.outline();
        let change = self.changes.entry(id).or_default();
        let mut sends = Vec::new();
        let told = entry.changes.len();
        for fact in turn.facts {
            entry.changes.extend(StatusChange::of(&fact));
            if let Some(status) = fact.next.status {
                let earlier = change.status.take().and_then(|(_, error)| error);
                change.status = Some((status, fact.next.error.clone().or(earlier)));
            }
            change.facts.push(Record::of(outline, &turn.next, &fact));
            sends.extend(fact.next.sends.iter().cloned());
            self.told.push((id, Arc::clone(&entry.definition), fact));
        }
        entry.state = turn.next;
        let changes = entry.changes[told..].iter();
        let mut publish: Vec<_> = changes.map(|change| announce(id, entry, change)).collect();
        publish.extend(commands(entry, &sends));
        publish
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
        for (id, mut change) in std::mem::take(&mut self.changes) {
            if let Some(entry) = self.entries.get_mut(&id) {
                let fired = self.looked.remove(&id).is_some() || self.woken.contains(&id);
                change.timer = timer(entry, self.now, fired);
                if let Timer::Set(due) = change.timer {
                    entry.timer_at = due;
                    alarms.extend(due);
                }
            }
            batch.add(id, change);
        }
        for act in self.decided.drain(..) {
            batch.decide(act);
        }
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
    if held.input.same(&start.input) {
        return Verdict::Publish(Vec::new());
    }
    let name = &start.definition.outline().name;
    Verdict::Bury(format!(
        "the key `{key}` of `{name}` was used before with another body, by saga {}",
        held.id
    ))
}

/// A timer is written only when the one that stands would fire too late: an early one fires, finds
/// nothing due, and is set again.
fn timer(entry: &Entry, now: Time, fired: bool) -> Timer {
    let due = entry.state.due();
    if fired && entry.changes.last().is_some_and(|c| c.seq + 1 == entry.state.seq) {
        let again = now + NEWS_AGAIN;
        return Timer::Set(Some(due.map_or(again, |due| due.min(again))));
    }
    match (due, entry.timer_at) {
        _ if entry.state.status.ended() => Timer::Delete,
        (Some(due), Some(at)) if !fired && at <= due && at > now + TIMER_SLACK => Timer::Keep,
        (due, _) => Timer::Set(due),
    }
}

fn announce(saga: SagaId, entry: &Entry, change: &StatusChange) -> Outgoing {
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
