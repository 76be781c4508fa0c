//! Sagas between two orchestrators that crash, a pipe that loses, doubles, delays and reorders,
//! services, and a clock. Nothing here knows the time or draws a number but from its seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    barrier::{Barrier, Verdict},
    breach::{Kept, hold},
    checker::{Checker, Seen},
    fault::Fault,
    plot::{Fate, Plot},
    services::{Ledger, Outcome, Services, Work},
    store::Store,
    tape::Tape,
};
use crate::{
    AttemptId, Definition, Json, Op, SagaId, StepOutline,
    machine::{
        ActEvent, Arrival, Command, Event, Failure, OpState, Phase, ReplyEvent, State, Status,
        Time, Turn,
    },
    planted::{Bug, planted},
    wire::Reply,
};

/// A saga that needs more steps than this does not end.
const STEPS_MAX: usize = 20_000;

/// When every run begins.
const EPOCH_MS: i64 = 1_700_000_000_000;

#[derive(Debug, Clone)]
pub(super) enum Message {
    Trigger,
    Command(Command),
    Reply(AttemptId, ReplyEvent),
    Act(ActEvent),
    /// A service does what it has accepted.
    Finish(AttemptId, String),
    /// Somebody publishes an event that steps wait for.
    Published(usize),
    /// A kept event is a saga's.
    Arrived(Arrival),
    /// A saga has its locks.
    Granted,
    /// The outer saga undoes a nested one.
    Undo(String),
    /// A nested saga has ended: the outer one looks at it.
    Look(String),
}

/// One saga, as the database and the orchestrators know it.
pub(super) struct Saga {
    pub(super) definition: Arc<Definition>,
    pub(super) store: Store,
    /// What each orchestrator remembers of the saga; it may be outdated.
    pub(super) replicas: [Option<State>; 2],
    pub(super) checker: Checker,
    /// Attempts that were committed and not yet published, with the fact that sent them.
    pub(super) unpublished: Vec<(u32, AttemptId)>,
    /// Events that were new, and the first fact of each.
    pub(super) taken: Vec<(Event, u32)>,
    /// `effect()` of each operation that was sent.
    pub(super) effects: BTreeMap<(Arc<str>, Op), String>,
    /// How often operators had to get it going.
    pub(super) closed: u32,
    /// The saga and the step that it is.
    pub(super) outer: Option<(SagaId, String)>,
    /// What it answered, and why it turned back.
    pub(super) output: Option<Json>,
    pub(super) error: Option<Failure>,
}

/// An event that somebody publishes for sagas that wait.
#[derive(Debug, Clone)]
pub(crate) struct External {
    pub(crate) subject: String,
    pub(crate) body: Json,
}

impl Saga {
    pub(super) fn plan(&self, id: &AttemptId) -> Option<&StepOutline> {
        let (outline, state) = (self.definition.outline(), self.store.state());
        let at = state.position(outline, &id.step)?;
        outline.steps.get(state.steps[at].plan)
    }

    pub(super) fn op(&self, id: &AttemptId) -> Option<&OpState> {
        let state = self.store.state();
        let at = state.position(self.definition.outline(), &id.step)?;
        Some(state.steps[at].op(id.op))
    }
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
    pipe: Vec<(Time, SagaId, Message)>,
    held: Vec<(Fate, SagaId, AttemptId, Message)>,
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

    /// Until nothing will ever happen again.
    pub(crate) fn run(&mut self) -> Kept<End> {
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
        let at = if planted(Bug::IdOfDelivery) { self.now } else { stored_at };
        SagaId::from_message(&self.trigger.0.outline().name, "AMENDS_EVENTS", 1, at)
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

    /// A service takes a command: barrier, business and reply in one transaction.
    fn serve(&mut self, command: &Command) -> Kept {
        let id = &command.id;
        self.same_effect(id)?;
        let naive = self.services.naive(id);
        let verdict = if naive { Verdict::Run(None) } else { self.barrier.enter(id) };
        let action = match verdict {
            Verdict::Run(action) => action,
            Verdict::Replay(reply) | Verdict::Void(reply) => {
                self.note(|| format!("       the barrier answers {reply:?}"));
                self.answer(id, reply);
                return Ok(());
            }
        };
        match self.business(id, &command.body, action.as_ref()) {
            Outcome::Settled(reply) => self.settle(id, reply, naive),
            Outcome::Nothing => {
                self.barrier.leave(id, &Reply::Ok(Json::null()));
                self.answer(id, Reply::Ok(Json::null()));
            }
            Outcome::Broke => {
                if !naive {
                    self.barrier.roll_back();
                }
                self.answer(id, Reply::Retry { message: "try again".into(), after: None });
            }
            Outcome::Accepted(later) => {
                if naive {
                    self.ledger.entry(id).naive = true;
                } else {
                    self.barrier.leave(id, &Reply::Pending);
                }
                self.answer(id, Reply::Pending);
                if let Some(delay) = later {
                    let finish = Message::Finish(id.clone(), command.body.clone());
                    self.pipe.push((self.now + delay, id.saga, finish));
                }
            }
        }
        Ok(())
    }

    fn business(&mut self, id: &AttemptId, body: &str, action: Option<&Reply>) -> Outcome {
        let fault = self.plot.business(id);
        if let Some(fault) = fault {
            self.note(|| format!("       FAULT {fault:?} {}:{}", id.step, id.op));
        }
        match fault {
            Some(Fault::Rejected) => {
                let message = "a fault of the test".to_owned();
                return Outcome::Settled(Reply::Rejected { code: "refused".into(), message });
            }
            Some(_) => return Outcome::Broke,
            None => {}
        }
        let Some(saga) = self.sagas.get(&id.saga) else { return Outcome::Broke };
        let Some(plan) = saga.plan(id) else { return Outcome::Broke };
        self.services.run(&Work { id, plan, body, action })
    }

    /// Commits the business, the barrier's row and the reply.
    fn settle(&mut self, id: &AttemptId, reply: Reply, naive: bool) {
        let refused_undo = id.op == Op::Compensation && matches!(reply, Reply::Rejected { .. });
        let forgets = planted(Bug::RejectionIsForgotten) && matches!(reply, Reply::Rejected { .. });
        if naive {
            self.ledger.entry(id).naive = true;
        } else if refused_undo || forgets {
            self.barrier.roll_back();
        } else if !self.barrier.leave(id, &reply) {
            self.barrier.roll_back();
            return self.answer(id, Reply::Retry { message: "left twice".into(), after: None });
        }
        if matches!(reply, Reply::Ok(_)) {
            if planted(Bug::ReplyBeforeCommit) && self.tape.chance(10) {
                self.barrier.by_hand(id, None); // it died between the two
            } else {
                self.ledger.did(id);
            }
        }
        self.answer(id, reply);
    }

    /// What was accepted is done now, unless it was settled or undone meanwhile.
    fn finish(&mut self, id: &AttemptId, body: &str) {
        let naive = self.services.naive(id);
        if let (false, Some(reply)) = (naive, self.barrier.settled(id)) {
            return self.answer(id, reply);
        }
        let Some(saga) = self.sagas.get(&id.saga) else { return };
        let Some(plan) = saga.plan(id) else { return };
        let work = Work { id, plan, body, action: None };
        let reply = self.services.finish(&work);
        if reply.settles() {
            self.settle(id, reply, naive);
        } else {
            self.answer(id, reply);
        }
    }

    /// An effect has one id, whatever attempt does it: others dedup by it.
    fn same_effect(&mut self, id: &AttemptId) -> Kept {
        let Some(saga) = self.sagas.get_mut(&id.saga) else { return Ok(()) };
        let effect = id.effect();
        let key = (Arc::clone(&id.step), id.op);
        let known = saga.effects.entry(key).or_insert_with(|| effect.clone());
        hold!(*known == effect, Wire, "one effect has two ids: {known} and {effect}");
        Ok(())
    }

    fn answer(&mut self, id: &AttemptId, reply: Reply) {
        if !self.services.answers(id) {
            return self.note(|| "       and its reply is lost for ever".to_owned());
        }
        let Some(saga) = self.sagas.get(&id.saga) else { return };
        let Some(plan) = saga.plan(id) else { return };
        let (step, service) = (Arc::clone(&id.step), plan.service.clone());
        let event = ReplyEvent { step, op: id.op, attempt: id.attempt, service, reply };
        let fate = self.plot.reply(id);
        self.fated(fate, id, Message::Reply(id.clone(), event));
    }

    /// Into the pipe, as the plot will have it.
    pub(super) fn fated(&mut self, fate: Fate, id: &AttemptId, message: Message) {
        if fate != Fate::Arrives {
            self.note(|| format!("       FAULT {fate:?}: {}", Told(&message)));
        }
        match fate {
            Fate::Arrives => self.send(id.saga, message),
            Fate::Lost => {}
            Fate::Twice => {
                self.post(id.saga, message.clone());
                self.post(id.saga, message);
            }
            Fate::AfterTimeout => {
                let at = self.deadline(id).unwrap_or(self.now) + Duration::from_millis(1);
                self.pipe.push((at, id.saga, message));
            }
            Fate::AfterGivenUp | Fate::AtLast => {
                self.held.push((fate, id.saga, id.clone(), message));
            }
        }
    }

    fn deadline(&self, id: &AttemptId) -> Option<Time> {
        self.sagas.get(&id.saga)?.op(id)?.due
    }

    /// Lets go what was held back: for ever, or until its action is given up.
    pub(super) fn release(&mut self, now: Fate) -> bool {
        let held = std::mem::take(&mut self.held);
        let before = self.pipe.len();
        for (fate, saga, id, message) in held {
            if now == Fate::AtLast || (fate == Fate::AfterGivenUp && self.gave_up(&id)) {
                self.post(saga, message);
            } else {
                self.held.push((fate, saga, id, message));
            }
        }
        self.pipe.len() > before
    }

    fn gave_up(&self, id: &AttemptId) -> bool {
        let Some(saga) = self.sagas.get(&id.saga) else { return true };
        let phase = saga.op(id).map(|op| op.phase);
        !matches!(phase, Some(Phase::InFlight | Phase::Backoff | Phase::Pending))
    }

    /// Into the pipe: lost, doubled or delayed at the tape's will.
    pub(super) fn send(&mut self, saga: SagaId, message: Message) {
        match self.tape.pick(20) {
            17 => return self.note(|| format!("       lost: {}", Told(&message))),
            18 => self.post(saga, message.clone()),
            19 => (0..3).for_each(|_| self.post(saga, message.clone())),
            _ => {}
        }
        self.post(saga, message);
    }

    pub(super) fn post(&mut self, saga: SagaId, message: Message) {
        let delay =
            [1, 1, 1, 1, 1, 2, 3, 10, 10, 20, 300, 1_000, 5_000, 30_000, 120_000, 100_000_000]
                [self.tape.pick(16)];
        self.pipe.push((self.now + Duration::from_millis(delay), saga, message));
    }

    /// In some time.
    pub(super) fn post_in(&mut self, delay: Duration, saga: SagaId, message: Message) {
        self.pipe.push((self.now + delay, saga, message));
    }

    /// Once nothing else happens.
    pub(super) fn hold_back(&mut self, saga: SagaId, message: Message) {
        let id = AttemptId { saga, step: "".into(), op: Op::Action, attempt: 1 };
        self.held.push((Fate::AtLast, saga, id, message));
    }

    /// At once, before whatever is under way.
    pub(super) fn post_now(&mut self, saga: SagaId, message: Message) {
        self.pipe.push((self.now, saga, message));
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

/// A message as the log tells it.
struct Told<'a>(&'a Message);

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = |id: &AttemptId| format!("{}:{}:{}", id.step, id.op, id.attempt);
        match self.0 {
            Message::Trigger => write!(f, "trigger"),
            Message::Command(command) => write!(f, "command {}", short(&command.id)),
            Message::Reply(id, event) => write!(f, "reply   {}  {:?}", short(id), event.reply),
            Message::Act(event) => write!(f, "act     {:?} by {}", event.act, event.by),
            Message::Finish(id, _) => write!(f, "finish  {}", short(id)),
            Message::Published(n) => write!(f, "event   {n} is published"),
            Message::Arrived(arrival) => {
                write!(f, "event   {} for {}", arrival.event, arrival.step)
            }
            Message::Granted => write!(f, "locks granted"),
            Message::Undo(_) => write!(f, "undo    by the outer saga"),
            Message::Look(step) => write!(f, "ended   the nested saga {step}"),
        }
    }
}
