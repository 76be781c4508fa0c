//! Sagas between two orchestrators that crash, a pipe that loses, doubles, delays and reorders,
//! services, and a clock. Nothing here knows the time or draws a number but from its seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{
    barrier::Barrier,
    breach::{Breach, Guarantee, Kept, hold},
    checker::Seen,
    pipe::{Message, Told},
    plot::{Fate, Plot},
    saga::Saga,
    services::{Ledger, Services},
    tape::Tape,
};
use crate::{
    AttemptId, Definition, Json, SagaId,
    machine::{Event, Status, Time, Turn},
};

/// A saga that needs more steps than this does not end.
const STEPS_MAX: usize = 20_000;

/// When every run begins.
const EPOCH_MS: i64 = 1_700_000_000_000;

/// An event that somebody publishes for sagas that wait.
#[derive(Debug, Clone)]
pub(crate) struct External {
    pub(crate) subject: String,
    pub(crate) body: Json,
}

/// What is simulated.
pub(crate) struct Setting<'a> {
    pub(crate) definition: Arc<Definition>,
    pub(crate) input: Json,
    pub(crate) events: Vec<External>,
    pub(crate) services: &'a mut dyn Services,
    pub(crate) plot: Plot,
    pub(crate) tape: Tape,
    /// Operators act at random.
    pub(crate) meddle: bool,
    /// In the end operators have all services repaired, and get stuck sagas going.
    pub(crate) heal: bool,
    /// Keep a log of what happened.
    pub(crate) log: bool,
}

pub(crate) struct Sim<'a> {
    pub(super) now: Time,
    pub(super) tape: Tape,
    pub(super) plot: Plot,
    pub(super) services: &'a mut dyn Services,
    pub(super) barrier: Barrier,
    pub(super) ledger: Ledger,
    pub(super) sagas: BTreeMap<SagaId, Saga>,
    pub(super) root: Option<SagaId>,
    pub(super) trigger: (Arc<Definition>, Json),
    pub(super) externals: Vec<External>,
    /// Events as they are kept: which of the externals.
    pub(super) kept: Vec<usize>,
    /// Nested sagas that began in the transaction under way: their first commands come after it.
    pub(super) fresh: Vec<(SagaId, Turn)>,
    /// Which kept events were told to which steps.
    pub(super) told: BTreeSet<(SagaId, String, i64)>,
    pub(super) pipe: Vec<(Time, SagaId, Message)>,
    pub(super) held: Vec<(Fate, SagaId, AttemptId, Message)>,
    /// Commits, publications and acks so far.
    pub(super) writes: u32,
    pub(super) meddle: bool,
    pub(super) heal: bool,
    log: Option<Vec<String>>,
}

/// How a run ended, and how much it took.
pub(crate) struct End {
    pub(crate) status: Status,
    pub(crate) seen: Seen,
    pub(crate) writes: u32,
    /// Which of the planned faults happened.
    pub(crate) happened: Vec<bool>,
    /// The steps that were asked for.
    pub(crate) asked: BTreeSet<String>,
}

impl<'a> Sim<'a> {
    pub(crate) fn new(setting: Setting<'a>) -> Self {
        let Setting { definition, input, events, services, plot, tape, meddle, heal, log } =
            setting;
        Self {
            now: Time::from_timestamp_millis(EPOCH_MS).unwrap_or_default(),
            tape,
            plot,
            services,
            barrier: Barrier::default(),
            ledger: Ledger::default(),
            sagas: BTreeMap::new(),
            root: None,
            trigger: (definition, input),
            externals: events,
            kept: Vec::new(),
            fresh: Vec::new(),
            told: BTreeSet::new(),
            pipe: Vec::new(),
            held: Vec::new(),
            writes: 0,
            meddle,
            heal,
            log: log.then(Vec::new),
        }
    }

    /// Until nothing will ever happen again. What panics is the machine, or a user's model.
    pub(crate) fn run(&mut self) -> Kept<End> {
        let run = AssertUnwindSafe(|| self.run_on());
        catch_unwind(run)
            .unwrap_or_else(|panic| Err(Breach::new(Guarantee::Panic, super::crew::words(&*panic))))
    }

    fn run_on(&mut self) -> Kept<End> {
        let id = self.message_id();
        self.pipe.push((self.now, id, Message::Trigger));
        self.publish_events(id);
        for _ in 0..STEPS_MAX {
            if !self.step()? && !self.release(Fate::AtLast) && !self.close()? {
                return self.end();
            }
        }
        let states = self.sagas.values().map(|saga| saga.store.state());
        hold!(false, Ends, "it goes on and on: {:#?}", states.collect::<Vec<_>>());
        self.end()
    }

    /// The saga that the stored trigger starts, at each of its deliveries.
    fn message_id(&self) -> SagaId {
        let stored_at = Time::from_timestamp_millis(EPOCH_MS).unwrap_or_default();
        SagaId::from_message(&self.trigger.0.outline().name, "AMENDS_EVENTS", 1, stored_at)
    }

    fn end(&mut self) -> Kept<End> {
        let roots = self.sagas.values().filter(|saga| saga.outer.is_none()).count();
        hold!(roots > 0, Acked, "the trigger was acked, and no saga began");
        hold!(roots == 1, Once, "one trigger began {roots} sagas");
        let stuck = self.sagas.values().any(|saga| saga.store.state().status == Status::Stuck);
        let (mut seen, mut asked) = (Seen::new(), BTreeSet::new());
        for (id, saga) in &self.sagas {
            let read = saga.store.read()?;
            hold!(read == *saga.store.state(), Fold, "the fold of the facts is the state");
            saga.checker.end(*id, &self.ledger, stuck)?;
            self.nested_end(*id, saga)?;
            asked.extend(saga.checker.asked());
            for (what, times) in &saga.checker.seen {
                *seen.entry(*what).or_default() += times;
            }
        }
        let root = self.root.and_then(|id| self.sagas.get(&id));
        let status = root.map_or(Status::Running, |saga| saga.store.state().status);
        *seen.entry(status.as_str()).or_default() += 1;
        let happened = self.plot.happened().collect();
        Ok(End { status, seen, writes: self.writes, happened, asked })
    }

    fn step(&mut self) -> Kept<bool> {
        if !self.sagas.is_empty() && self.tape.chance(30) {
            self.foreign()?;
            let id = self.some_saga();
            self.handle(id, &Event::Wake)?;
        }
        if !self.sagas.is_empty() && self.meddle && self.tape.chance(8) {
            self.meddles();
        }
        let next = (0..self.pipe.len()).min_by_key(|n| self.pipe[*n].0);
        let due = |(id, saga): (&SagaId, &Saga)| Some((saga.store.state().due()?, *id));
        let wake = self.sagas.iter().filter_map(due).min();
        match (next, wake) {
            (None, None) => return Ok(false),
            (Some(n), wake) if wake.is_none_or(|(wake, _)| self.pipe[n].0 <= wake) => {
                let (at, id, message) = self.pipe.swap_remove(n);
                self.now = self.now.max(at);
                self.deliver(id, message)?;
            }
            (_, Some((wake, id))) => {
                let late = [0, 0, 0, 20, 5_000, 100_000][self.tape.pick(6)];
                self.now = self.now.max(wake + Duration::from_millis(late));
                self.handle(id, &Event::Wake)?;
            }
            (Some(_), None) => {}
        }
        Ok(true)
    }

    fn some_saga(&mut self) -> SagaId {
        let n = self.tape.pick(self.sagas.len());
        self.sagas.keys().nth(n).copied().unwrap_or(SagaId(uuid::Uuid::nil()))
    }

    fn deliver(&mut self, saga: SagaId, message: Message) -> Kept {
        self.note(|| format!("{}", Told(&message)));
        match message {
            Message::Trigger => {
                let saga = self.message_id();
                if !self.triggered(saga)? {
                    self.post(saga, Message::Trigger);
                }
            }
            Message::Reply(id, reply) => {
                if !self.handle(saga, &Event::Reply(reply.clone()))? {
                    self.post(saga, Message::Reply(id, reply));
                }
            }
            Message::Act(act) => {
                if !self.handle(saga, &Event::Act(act.clone()))? {
                    self.post(saga, Message::Act(act));
                }
            }
            Message::Command(command) => self.serve(&command)?,
            Message::Finish(id, body) => self.finish(&id, &body),
            other => self.deliver_own(saga, other)?,
        }
        Ok(())
    }

    /// Takes the trigger; false when it will be delivered again.
    fn triggered(&mut self, id: SagaId) -> Kept<bool> {
        if self.sagas.contains_key(&id) && self.sagas[&id].store.seq() > 0 {
            return self.handle(id, &Event::StartedAgain);
        }
        let (definition, input) = self.trigger.clone();
        self.root.get_or_insert(id);
        self.begin(id, &definition, &input)
    }

    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            let ms = self.now.timestamp_millis() - EPOCH_MS;
            log.push(format!("{:>6}.{:03}  {}", ms / 1000, ms % 1000, line()));
        }
    }

    pub(crate) fn log(&mut self) -> Vec<String> {
        self.log.take().unwrap_or_default()
    }
}
