//! Sagas between three orchestrators that crash, a pipe that loses, doubles, delays and reorders,
//! services, and a clock. Nothing here knows the time or draws a number but from its seed.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{
    barrier::Barrier,
    breach::{Breach, Guarantee, Kept, hold},
    checker::Seen,
    database::{Database, Sagas},
    message::{LogLine, Message},
    random::AccidentSource,
    saga::Saga,
    schedule::{Fate, FaultSchedule},
    services::{Ledger, Services},
};
use crate::{
    AttemptId, Definition, EventId, Json, SagaId,
    machine::{Status, Time},
    panic::panic_message,
    turn::{Input, Item, Start},
};

/// A saga that needs more steps than this does not end.
const STEPS_MAX: usize = 20_000;

/// Messages in one batch.
const BATCH_MAX: usize = 4;

/// How late a timer fires.
const TIMER_LATE_MS: [u64; 6] = [0, 0, 0, 20, 5_000, 100_000];

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
    pub(crate) schedule: FaultSchedule,
    pub(crate) random: AccidentSource,
    /// Operators act at random.
    pub(crate) random_acts: bool,
    /// In the end operators have all services repaired, and get stuck sagas going.
    pub(crate) heal: bool,
    /// They repair nothing, and end it by acts alone.
    pub(crate) by_acts: bool,
    /// Keep a log of what happened.
    pub(crate) log: bool,
}

pub(crate) struct Sim<'a> {
    pub(super) now: Time,
    pub(super) random: AccidentSource,
    pub(super) schedule: FaultSchedule,
    pub(super) services: &'a mut dyn Services,
    pub(super) barrier: Barrier,
    pub(super) ledger: Ledger,
    pub(super) sagas: Sagas,
    pub(super) database: Database,
    pub(super) root: Option<SagaId>,
    pub(super) trigger: (Arc<Definition>, Json),
    pub(super) externals: Vec<External>,
    /// Events as they are kept: which of the externals, and in which message it came.
    pub(super) kept: Vec<(usize, EventId)>,
    /// The orchestrator that is in the midst of a batch, while others go on.
    pub(super) busy: Option<usize>,
    pub(super) pipe: Vec<(Time, SagaId, Message)>,
    pub(super) held: Vec<(Fate, SagaId, AttemptId, Message)>,
    /// Commits, publications and acks so far.
    pub(super) writes: u32,
    pub(super) random_acts: bool,
    pub(super) heal: bool,
    pub(super) by_acts: bool,
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
    /// Which of the externals a saga took.
    pub(crate) taken: BTreeSet<usize>,
}

impl<'a> Sim<'a> {
    pub(crate) fn new(setting: Setting<'a>) -> Self {
        let Setting {
            definition,
            input,
            events,
            services,
            schedule,
            random,
            random_acts,
            heal,
            by_acts,
            log,
        } = setting;
        Self {
            now: Time::from_timestamp_millis(EPOCH_MS).unwrap_or_default(),
            random,
            schedule,
            services,
            barrier: Barrier::default(),
            ledger: Ledger::default(),
            sagas: Sagas::new(),
            database: Database::default(),
            root: None,
            trigger: (definition, input),
            externals: events,
            kept: Vec::new(),
            busy: None,
            pipe: Vec::new(),
            held: Vec::new(),
            writes: 0,
            random_acts,
            heal,
            by_acts,
            log: log.then(Vec::new),
        }
    }

    /// Runs until nothing will ever happen again. What panics is the machine, or a user's model.
    pub(crate) fn run(&mut self) -> Kept<End> {
        let run = AssertUnwindSafe(|| self.run_on());
        catch_unwind(run).unwrap_or_else(|panic| {
            let message = panic_message(&*panic).unwrap_or_default();
            Err(Breach::new(Guarantee::Panic, message.to_owned()))
        })
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

    /// The id of the saga that the stored trigger starts: the same at each of its deliveries.
    fn message_id(&self) -> SagaId {
        let stored_at = Time::from_timestamp_millis(EPOCH_MS).unwrap_or_default();
        SagaId::from_message(&self.trigger.0.outline().name, "AMENDS_EVENTS", 1, stored_at)
    }

    fn end(&self) -> Kept<End> {
        let roots = self.sagas.values().filter(|saga| saga.outer.is_none()).count();
        hold!(roots > 0, Acked, "the trigger was acked, and no saga began");
        hold!(roots == 1, Once, "one trigger began {roots} sagas");
        let stuck = self.sagas.values().any(|saga| saga.store.state().status == Status::Stuck);
        let (mut seen, mut asked) = (Seen::new(), BTreeSet::new());
        for (id, saga) in &self.sagas {
            self.saga_end(*id, saga, stuck)?;
            asked.extend(saga.checker.asked());
            for (what, times) in &saga.checker.seen {
                *seen.entry(*what).or_default() += times;
            }
        }
        let root = self.root.and_then(|id| self.sagas.get(&id));
        let status = root.map_or(Status::Running, |saga| saga.store.state().status);
        *seen.entry(status.as_str()).or_default() += 1;
        let happened = self.schedule.happened().collect();
        Ok(End { status, seen, writes: self.writes, happened, asked, taken: self.taken() })
    }

    fn taken(&self) -> BTreeSet<usize> {
        let takes =
            |event| self.sagas.values().any(|saga| saga.store.state().taken.contains(event));
        self.kept.iter().filter(|(_, event)| takes(event)).map(|(n, _)| *n).collect()
    }

    /// What must hold of a saga when nothing will ever happen again. `stuck`: one of the run's sagas is,
    /// and others may wait for it.
    fn saga_end(&self, id: SagaId, saga: &Saga, stuck: bool) -> Kept {
        let read = saga.store.read()?;
        hold!(read == *saga.store.state(), Fold, "the fold of the facts is the state");
        saga.checker.end(id, &self.ledger, stuck)?;
        let rests = !saga.store.state().status.ended() || !self.database.has_timer(id);
        hold!(rests, Ends, "{id} has ended, and still has a timer");
        let last = saga.store.changes().last().filter(|change| change.status.ended());
        let told = last.is_none_or(|change| saga.announced >= Some(change.seq));
        hold!(told, Told, "nobody heard that {id} is {last:?}");
        self.nested_end(id, saga)
    }

    /// What happens next: the earliest message or timer, and perhaps something unforeseen before it. False
    /// when nothing is left.
    fn step(&mut self) -> Kept<bool> {
        if !self.sagas.is_empty() {
            self.unforeseen()?;
        }
        let next = (0..self.pipe.len()).min_by_key(|n| self.pipe[*n].0);
        let timer = self.database.next_timer();
        match (next, timer) {
            (None, None) => return Ok(self.database.wake_acts(self.now)),
            (Some(n), timer) if timer.is_none_or(|(at, _)| self.pipe[n].0 <= at) => {
                let (at, id, message) = self.pipe.swap_remove(n);
                self.now = self.now.max(at);
                self.deliver(id, message)?;
            }
            (_, Some((at, id))) => {
                let late = TIMER_LATE_MS[self.random.pick(TIMER_LATE_MS.len())];
                self.now = self.now.max(at + Duration::from_millis(late));
                self.fire(id)?;
            }
            (Some(_), None) => {}
        }
        Ok(true)
    }

    /// A reply out of nowhere, a timer that fires too early, an operator.
    fn unforeseen(&mut self) -> Kept {
        if self.random.chance(30) {
            self.foreign()?;
            let id = self.some_saga();
            self.database.wake(id, self.now);
            self.fire(id)?;
        }
        if self.random_acts && self.random.chance(8) {
            self.act_at_random();
        }
        Ok(())
    }

    fn some_saga(&mut self) -> SagaId {
        let n = self.random.pick(self.sagas.len());
        self.sagas.keys().nth(n).copied().unwrap_or(SagaId(uuid::Uuid::nil()))
    }

    pub(super) fn deliver(&mut self, saga: SagaId, message: Message) -> Kept {
        self.note(|| format!("{}", LogLine(&message)));
        match message {
            Message::Trigger | Message::Reply(..) => self.deliver_together(saga, message)?,
            Message::Act(act) => {
                // Nobody may act on what is not there.
                if self.sagas.contains_key(&saga) {
                    self.asks(saga, act)?;
                }
            }
            Message::Command(command) => self.serve(&command)?,
            Message::Finish(id, body) => self.finish(&id, &body),
            Message::Published(n) => self.published(n),
            Message::LockIsFree => {
                self.database.lock_is_free(saga);
                self.database.wake(saga, self.now);
            }
            Message::Fired(due) => self.fired(due)?,
        }
        Ok(())
    }

    /// Takes a message to an orchestrator, in a batch with what else waits; what is not acked will be
    /// delivered again.
    fn deliver_together(&mut self, saga: SagaId, message: Message) -> Kept {
        let mut messages = vec![(saga, message)];
        while messages.len() < BATCH_MAX && self.random.chance(6) {
            let waits =
                |(_, _, m): &(_, _, Message)| matches!(m, Message::Reply(..) | Message::Trigger);
            let Some(n) = self.pipe.iter().position(waits) else { break };
            let (at, id, message) = self.pipe.swap_remove(n);
            self.now = self.now.max(at);
            self.note(|| format!("   with {}", LogLine(&message)));
            messages.push((id, message));
        }
        let items = messages.iter().filter_map(|(id, message)| self.item(*id, message)).collect();
        let acked = self.batch(items)?;
        for ((id, message), acked) in messages.into_iter().zip(acked) {
            if !acked {
                self.post(id, message);
            }
        }
        Ok(())
    }

    fn item(&self, saga: SagaId, message: &Message) -> Option<Item> {
        Some(match message {
            Message::Trigger => {
                let input = Input::Start(Box::new(self.start()));
                Item { saga: self.message_id(), input }
            }
            Message::Reply(_, reply, came) => {
                Item { saga, input: Input::Reply(reply.clone(), *came) }
            }
            _ => return None,
        })
    }

    /// The trigger as it is read.
    fn start(&self) -> Start {
        let (definition, input) = self.trigger.clone();
        let admitted = definition.admit(&input).ok();
        let (key, mut locks) = admitted.map(|a| (a.key, a.locks)).unwrap_or_default();
        if definition.outline().locks > 0 && locks.is_empty() {
            locks.push("a lock".to_owned());
        }
        Start { definition, key, locks, input, trace: None }
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
