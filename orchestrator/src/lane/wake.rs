//! What a saga that was woken finds: acts, ends, events, locks, a start; and then the time.

use std::sync::Arc;

use amends::{
    Admitted, Definition, Json,
    machine::{self, Arrival, ChildEnd, Decision, Event, Time},
};

use super::{
    Start, Verdict,
    draft::{Draft, announce},
};
use crate::{
    bus::Outgoing,
    store::{DecidedAct, Due, OpenAct, Request},
};

/// What a saga that was woken may have waited for.
#[derive(Default)]
pub(super) struct Inbox {
    /// What operators, its outer saga and other replicas ask for.
    pub(super) acts: Vec<OpenAct>,
    /// Events that its steps wait for.
    pub(super) arrivals: Vec<Arrival>,
    /// Nested sagas of it that have ended.
    pub(super) ends: Vec<ChildEnd>,
    /// It has its locks.
    pub(super) granted: bool,
    /// It is to begin; or why it cannot.
    pub(super) request: Option<Result<Start, String>>,
}

impl Draft {
    /// A timer fired: whatever the saga waited for is looked at, and then the time.
    pub(super) fn wake(&mut self, due: &Due) -> Vec<Outgoing> {
        let id = due.saga;
        let inbox = self.inboxes.remove(&id).unwrap_or_default();
        if self.foreign.contains(&id) {
            return Vec::new();
        }
        if !self.entries.contains_key(&id) {
            if let Some(start) = inbox.request {
                return self.begin_requested(due, start);
            }
            self.rearm.delete(due);
            return Vec::new();
        }
        // The database found the timer due; a replica whose clock is behind must not disagree.
        let now = self.now.max(due.now);
        let mut publish = Vec::new();
        for act in inbox.acts {
            publish.extend(self.act(due, act, now));
        }
        let granted = inbox.granted.then_some(Event::Granted);
        let ends = inbox.ends.into_iter().map(Event::Child);
        let arrivals = inbox.arrivals.into_iter().map(Event::Arrived);
        for event in granted.into_iter().chain(ends).chain(arrivals) {
            publish.extend(self.happens(due, &event, now).unwrap_or_else(|why| {
                tracing::warn!(saga = %id, why, "something that a saga waits for cannot be used");
                Vec::new()
            }));
        }
        match self.happens(due, &Event::Wake, now) {
            Ok(more) if !more.is_empty() || self.woken.contains_key(&id) => publish.extend(more),
            _ => publish.extend(self.idle(due)),
        }
        publish
    }

    /// Something happens to a saga that was woken; why not, if it cannot.
    fn happens(&mut self, due: &Due, event: &Event, now: Time) -> Result<Vec<Outgoing>, String> {
        let Some(entry) = self.entries.get(&due.saga) else { return Ok(Vec::new()) };
        match machine::decide(&entry.definition, &entry.state, event, now) {
            Decision::Turn(turn) => {
                self.woken.insert(due.saga, *due);
                Ok(self.take(due.saga, *turn))
            }
            Decision::Known(_) => Ok(Vec::new()),
            Decision::Refused(why) => Err(why),
            Decision::Unexpected(why) => Err(why.to_string()),
        }
    }

    /// Decides what an operator, the outer saga or another replica asks for.
    fn act(&mut self, due: &Due, act: OpenAct, now: Time) -> Vec<Outgoing> {
        let id = due.saga;
        let answer = act.event.and_then(|event| {
            // A state that is older than what the operator saw is found out by the commit.
            let now_at = self.entries.get(&id).map_or(0, |entry| entry.state.seq);
            if matches!(&event, Event::Act(event) if act.exact && now_at > event.seen) {
                return Err("the saga has moved on since you looked: look at it again".into());
            }
            // The outer saga asked for an end that may be there already: it must look again.
            if matches!(event, Event::Undo(_)) {
                self.wake.extend(self.entries.get(&id).and_then(|entry| entry.parent));
            }
            self.happens(due, &event, now)
        });
        let (publish, refusal) = match answer {
            Ok(publish) => (publish, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let accepted = refusal.is_none();
        tracing::info!(saga = %id, act = act.id, accepted, why = refusal, "an act was decided");
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

    /// A start that was asked for in SQL.
    fn begin_requested(&mut self, due: &Due, start: Result<Start, String>) -> Vec<Outgoing> {
        let (answer, publish) = match start {
            Ok(start) => match self.start(due.saga, &start) {
                Verdict::Publish(publish) if self.entries.contains_key(&due.saga) => {
                    self.woken.insert(due.saga, *due);
                    (Ok(None), publish)
                }
                Verdict::Bury(reason) => (Err(reason), Vec::new()),
                _ => (Ok(Some("a saga of this key and input is there already".into())), Vec::new()),
            },
            Err(reason) => (Err(reason), Vec::new()),
        };
        if !self.entries.contains_key(&due.saga) {
            self.rearm.delete(due);
        }
        tracing::info!(saga = %due.saga, accepted = answer.is_ok(), why = ?answer.as_ref().err(), "a start was asked for");
        self.links.requested(due.saga, answer);
        publish
    }
}

/// What was asked for in SQL, checked like a trigger.
pub(super) fn requested(definition: Arc<Definition>, request: Request) -> Result<Start, String> {
    let input = Json::parse(request.input.as_bytes()).map_err(|e| e.to_string())?;
    let Admitted { key, locks } = definition.admit(&input).map_err(|e| e.to_string())?;
    let key = match (key, request.key) {
        (Some(own), Some(asked)) if own != asked => {
            return Err(format!("the input's key is `{own}`, not `{asked}`"));
        }
        (None, Some(asked)) => Some(amends::usable_key(asked).map_err(|e| e.to_string())?),
        (own, _) => own,
    };
    Ok(Start { definition, key, locks, input, trace: None })
}
