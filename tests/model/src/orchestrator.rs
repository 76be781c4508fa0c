//! The replicas: they read, have a batch decided by the production function, commit, publish and ack; and
//! die between any two of these.

use std::sync::Arc;

use amends::{
    EventId, Json, Op,
    machine::{Arrival, ChildEnd, Event, OperatorAct, OperatorCommand, ReplyEvent, Time},
    turn::{self},
    turn::{Batch, Disposition, Due, Input, Instance, Item, KeyHolder, OpenAct, Outcome},
    wire::Reply,
};

use crate::{
    act::{Act, Mail, Told},
    bug::Bug,
    happened::{Breach, Happened},
    message::{Answer, Attempt, Message},
    setting::Setting,
    stored::Kept,
    watch::Watch,
    world::{Read, Woken, World},
};

/// How far a batch comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Commit, publish, ack.
    Whole,
    /// The replica dies after the commit.
    AfterCommit,
    /// It dies after the first of several publications.
    WhilePublishing,
    /// It dies before the ack.
    BeforeAck,
    /// The commit has no answer, and was written: it is decided again.
    UnknownKept,
    /// The commit has no answer, and was not written: it is decided again.
    UnknownLost,
}

/// What a batch is of.
enum Source {
    Message(Message),
    Timer,
}

/// A decided batch.
struct Decided {
    outcome: Outcome<Watch>,
    dispositions: Vec<Disposition>,
}

/// What becomes of a step of the exploration: it happens, perhaps breaking a guarantee, or cannot.
pub(crate) type Step = Result<bool, Breach>;

/// One replica at work.
pub(crate) struct Orchestrator<'a> {
    pub(crate) setting: &'a Setting,
    pub(crate) world: &'a mut World,
    pub(crate) replica: usize,
}

impl Orchestrator<'_> {
    /// Messages are decided as one batch.
    pub(crate) fn deliver(&mut self, messages: &[Message], fate: Fate) -> Step {
        let mut open: Vec<_> = messages.to_vec();
        let (mut trust, mut fate) = (true, fate);
        for _ in 0..4 {
            let items: Vec<_> = open.iter().map(|message| self.item(*message)).collect();
            let decided = self.decide(&items, trust);
            let sources: Vec<_> = open.iter().copied().map(Source::Message).collect();
            match self.write(&sources, decided, fate, trust, None)? {
                Written::Impossible => return Ok(false),
                Written::Died => return Ok(true),
                Written::Again => {}
                Written::Done(again) => open = again,
            }
            if matches!(fate, Fate::UnknownKept | Fate::UnknownLost) {
                fate = Fate::Whole;
            }
            if open.is_empty() {
                return Ok(true);
            }
            trust = false;
        }
        Err(Breach::Livelock)
    }

    /// A timer is taken, and its saga read.
    pub(crate) fn take(&mut self, saga: usize) -> Woken {
        let World { now, claims, database, .. } = &mut *self.world;
        *claims += 1;
        let due = database.claim(self.setting, saga, *now, *claims);
        let read = self.read(saga, &due);
        Woken { saga, due, read }
    }

    /// The turn of a timer that was taken.
    pub(crate) fn settle(&mut self, woken: &Woken, fate: Fate) -> Step {
        let (mut read, mut fate, mut fresh) = (woken.read.clone(), fate, false);
        if self.world.is_moved(woken) {
            self.world.seen.add(Happened::MovedInLease);
        }
        for _ in 0..3 {
            let decided = self.decide_timer(woken, &read);
            match self.write(&[Source::Timer], decided, fate, !fresh, Some(woken))? {
                Written::Impossible => return Ok(false),
                Written::Died | Written::Done(_) => return Ok(true),
                Written::Again => {}
            }
            if matches!(fate, Fate::UnknownKept | Fate::UnknownLost) {
                fate = Fate::Whole;
            }
            if !self.setting.has(Bug::ConflictKeepsState) {
                read = self.read(woken.saga, &woken.due);
            }
            fresh = true;
        }
        Err(Breach::Livelock)
    }

    fn item(&self, message: Message) -> Item {
        match message {
            Message::Reply(attempt, answer, came) => self.reply(attempt, answer, came),
            Message::Trigger(saga) | Message::Event(saga, _) => {
                let saga = usize::from(saga);
                let start = Box::new(self.setting.start(saga));
                Item { saga: self.setting.sagas[saga].id, input: Input::Start(start) }
            }
            Message::Command(attempt) => self.reply(attempt, Answer::Pending, self.world.now),
        }
    }

    fn reply(&self, attempt: Attempt, answer: Answer, came: Time) -> Item {
        let saga = usize::from(attempt.saga);
        let spec = &self.setting.sagas[saga];
        let state = self.world.database.sagas[saga].state();
        let step = state.map(|state| self.setting.step(saga, state, attempt.step));
        let at = state.and_then(|state| state.steps.get(usize::from(attempt.step)));
        let plan = at.map(|step| &spec.definition.outline().steps[step.plan]);
        let event = ReplyEvent {
            step: step.unwrap_or_default().into(),
            op: attempt.op,
            attempt: u32::from(attempt.attempt),
            service: plan.map(|plan| plan.service.clone()).unwrap_or_default(),
            reply: outcome(attempt.op, answer),
        };
        Item { saga: spec.id, input: Input::Reply(event, came) }
    }

    /// Decides messages on what is at hand, or, without trust, on what is stored.
    fn decide(&mut self, items: &[Item], trust: bool) -> Decided {
        let setting = self.setting;
        let mut batch = Batch::observed(self.world.now, Watch::default());
        let cache = &mut self.world.replicas[self.replica].cache;
        let keeps = setting.has(Bug::ConflictKeepsState);
        let missing = batch.gather(items, trust || keeps, |id| {
            let known = &mut cache[setting.position(id)];
            let instance = known.as_ref().map(|kept| kept.instance.clone());
            if !keeps {
                *known = None;
            }
            instance
        });
        for id in missing.sagas {
            if let Some(instance) = self.instance(setting.position(id)) {
                batch.put(id, instance);
            }
        }
        for (definition, key) in missing.keys {
            if let Some(holder) = self.world.database.key {
                let spec = &setting.sagas[usize::from(holder)];
                let holder = KeyHolder { id: spec.id, digest: spec.input.digest() };
                batch.put_key(definition, key, holder);
            }
        }
        // No turn goes past an act: those of what was read are read with it.
        for id in batch.inbox_query(&[]).mail {
            let saga = setting.position(id);
            let mailbox = &self.world.database.sagas[saga].mailbox;
            if mailbox.iter().any(|mail| matches!(mail.what, Told::Act(..))) {
                self.world.seen.add(Happened::ActFound);
            }
            batch.inbox(id).acts = mailbox.iter().map(|mail| self.open_act(saga, mail)).collect();
        }
        let dispositions = items.iter().map(|item| batch.decide(item)).collect();
        Decided { outcome: batch.finish(), dispositions }
    }

    fn decide_timer(&self, woken: &Woken, read: &Read) -> Decided {
        let (mut batch, item) = self.batch_of_timer(&woken.due, read.kept.as_deref());
        let id = woken.due.saga;
        let inbox = batch.inbox(id);
        inbox.acts = read.acts.iter().map(|mail| self.open_act(woken.saga, mail)).collect();
        inbox.arrivals = read.arrivals.iter().map(|arrival| self.arrival(arrival)).collect();
        inbox.ends = read.ends.iter().map(|(step, child)| end(step, child)).collect();
        inbox.granted = read.granted;
        let disposition = batch.decide(&item);
        Decided { outcome: batch.finish(), dispositions: vec![disposition] }
    }

    fn batch_of_timer(&self, due: &Due, kept: Option<&Kept>) -> (Batch<Watch>, Item) {
        let mut batch = Batch::observed(self.world.now, Watch::default());
        let item = Item { saga: due.saga, input: Input::Timer(*due) };
        let missing = batch.gather([&item], true, |_| None);
        for id in missing.sagas {
            if let Some(kept) = kept {
                batch.put(id, kept.instance.clone());
            }
        }
        // No event of a change of status is lost here.
        batch.put_announced(due.saga, u32::MAX);
        (batch, item)
    }

    /// A saga as it is read.
    fn instance(&self, saga: usize) -> Option<Instance> {
        let database = &self.world.database;
        let stored = database.sagas[saga].stored.as_ref()?;
        let timer_at = database.timer_at(saga, self.world.now);
        Some(Instance { timer_at, ..stored.kept.instance.clone() })
    }

    /// Reads a saga and its inbox. Locks are taken, and let go, when they are read.
    fn read(&mut self, saga: usize, due: &Due) -> Read {
        let kept = self.instance(saga).map(|instance| Arc::new(Kept::new(instance)));
        let (batch, _) = self.batch_of_timer(due, kept.as_deref());
        let query = batch.inbox_query(&[due.saga]);
        let World { database, now, seen, .. } = &mut *self.world;
        let acts = database.sagas[saga].mailbox.clone();
        let mut arrivals = Vec::new();
        if !query.waiting.is_empty() {
            for (step, key) in &database.sagas[saga].waits {
                let kept = database.kept.iter().enumerate();
                let fits = kept.filter(|(_, (event, _))| {
                    *key == self.setting.events[usize::from(*event)].to_string()
                });
                arrivals.extend(fits.map(|(at, _)| (step.clone(), at)));
            }
        }
        let queued = !query.queued.is_empty();
        if queued && self.setting.has(Bug::LockForAll) {
            database.sagas[saga].lock = Some(true);
        }
        let granted = queued && database.acquire(saga);
        if !query.passing.is_empty() {
            seen.add(Happened::HeldInQueue);
            database.pass(self.setting, saga, *now);
        }
        if !query.ended.is_empty() {
            database.release(self.setting, saga, *now);
        }
        let mut ends = Vec::new();
        for (child, (_, step)) in query.children {
            let child = database.sagas[self.setting.position(child)].stored.clone();
            if let Some(child) = child.filter(|child| child.kept.state().status.ended()) {
                ends.push((step, child));
            }
        }
        ends.sort_by(|(a, _), (b, _)| a.cmp(b));
        Read { kept, acts, arrivals, ends, granted }
    }

    fn open_act(&self, saga: usize, mail: &Mail) -> OpenAct {
        let (event, exact) = match mail.what {
            Told::Undo => (Event::Undo("the outer saga turned back".into()), false),
            Told::Act(act, seen) => {
                let state = self.world.database.sagas[saga].state();
                let name = |step| {
                    state.map(|state| self.setting.step(saga, state, step)).unwrap_or_default()
                };
                let command = match act {
                    Act::Cancel | Act::CancelExactly => OperatorCommand::Cancel,
                    Act::Pause => OperatorCommand::Pause,
                    Act::Resume => OperatorCommand::Resume,
                    Act::Retry => OperatorCommand::Retry,
                    Act::Skip(step) => OperatorCommand::Skip { step: name(step) },
                    Act::Resolve(step, answer) => OperatorCommand::Resolve {
                        step: name(step),
                        outcome: outcome(Op::Action, answer),
                    },
                };
                let (by, reason) = ("an operator".into(), "because".into());
                let act = OperatorAct { command, by, reason, seen };
                (Event::Act(act), matches!(mail.what, Told::Act(Act::CancelExactly, _)))
            }
        };
        OpenAct { id: mail.id, came: mail.came, event: Ok(event), exact }
    }

    fn arrival(&self, (step, at): &(String, usize)) -> Arrival {
        let (event, came) = self.world.database.kept[*at];
        let body = Json::trusted(&self.setting.events[usize::from(event)].to_string());
        let event = EventId::of_message("AMENDS_EVENTS", u64::from(event), came);
        Arrival { step: step.as_str().into(), event, body }
    }

    /// Commit, publish, ack, as far as the batch comes.
    fn write(
        &mut self,
        sources: &[Source],
        decided: Decided,
        fate: Fate,
        outdated: bool,
        woken: Option<&Woken>,
    ) -> Result<Written, Breach> {
        let Decided { outcome, dispositions } = decided;
        let Outcome { mut rows, rearm, instances, observer, .. } = outcome;
        let writes = !rows.is_empty();
        if !writes && fate != Fate::Whole {
            return Ok(Written::Impossible);
        }
        if self.setting.has(Bug::AckBeforeCommit) {
            for source in sources {
                self.ack(source, &instances)?;
            }
        }
        if self.setting.has(Bug::PublishBeforeCommit) {
            self.publish(&dispositions)?;
        }
        if writes {
            let World { database, seen, .. } = &mut *self.world;
            let conflicts = database.conflicts(self.setting, &rows, seen);
            if conflicts && !self.setting.has(Bug::NoVersionCheck) {
                if !outdated {
                    return Err(Breach::Livelock);
                }
                let timer = woken.is_some();
                seen.add(if timer { Happened::ConflictInLease } else { Happened::Conflict });
                return Ok(Written::Again);
            }
            if fate == Fate::UnknownLost {
                self.world.seen.add(Happened::UnknownLost);
                return Ok(Written::Again);
            }
            if self.setting.has(Bug::EndWithoutWake) {
                rows.wakes.clear();
            }
            if self.setting.has(Bug::DroppedFact)
                && let Some((_, change)) = rows.sagas.iter_mut().find(|(_, c)| c.facts.len() > 1)
            {
                change.facts.pop();
            }
            self.world.database.commit(self.setting, &rows)?;
            for (id, _) in &rows.sagas {
                let folded = self.world.database.sagas[self.setting.position(*id)].state();
                if folded != instances.get(id).map(|instance| &instance.state) {
                    return Err(Breach::Fold);
                }
            }
            if fate == Fate::UnknownKept {
                self.world.seen.add(Happened::UnknownKept);
                self.world.seen.all(observer.seen);
                return Ok(Written::Again);
            }
        }
        self.world.seen.all(observer.seen);
        if let Some(woken) = woken {
            self.hand_over(woken, &rows);
        }
        if fate == Fate::AfterCommit {
            return Ok(self.dies(Happened::CrashBeforePublish));
        }
        self.rearm(&rearm, woken);
        self.keep(instances.iter());
        self.finish(sources, &dispositions, &instances, fate)
    }

    fn hand_over(&mut self, woken: &Woken, rows: &turn::Rows) {
        let granted = rows.sagas.iter().flat_map(|(_, change)| &change.facts);
        if granted.into_iter().any(|fact| fact.kind == amends::machine::Kind::Granted)
            && self.world.database.sagas[..woken.saga].iter().any(|saga| {
                saga.state().is_some_and(|state| state.status.ended()) && saga.lock.is_none()
            })
        {
            self.world.seen.add(Happened::LockHandedOver);
        }
    }

    fn rearm(&mut self, rearm: &[turn::Rearm], woken: Option<&Woken>) {
        let database = &mut self.world.database;
        if self.setting.has(Bug::RearmOverWake)
            && let (Some(woken), false) = (woken, rearm.is_empty())
        {
            database.sagas[woken.saga].timer = Some(Some(woken.due.leased_until));
        }
        database.rearm(self.setting, rearm);
    }

    /// Keeps sagas at hand. Those of a timer's turn go to another lane, which may know more.
    fn keep<'i>(&mut self, instances: impl Iterator<Item = (&'i amends::SagaId, &'i Instance)>) {
        let cache = &mut self.world.replicas[self.replica].cache;
        for (id, instance) in instances {
            let known = &mut cache[self.setting.position(*id)];
            let newer = known.as_ref().is_none_or(|k| k.state().seq < instance.state.seq);
            if newer {
                let open = !instance.state.status.ended();
                *known = open.then(|| Arc::new(Kept::new(instance.clone())));
            }
        }
    }

    fn finish(
        &mut self,
        sources: &[Source],
        dispositions: &[Disposition],
        instances: &std::collections::HashMap<amends::SagaId, Instance>,
        fate: Fate,
    ) -> Result<Written, Breach> {
        let mut again = Vec::new();
        let first_acks = self.setting.has(Bug::AckBeforePublish);
        for (source, disposition) in sources.iter().zip(dispositions) {
            match (disposition, source) {
                (Disposition::Publish(_), _) => {}
                (Disposition::Recheck, Source::Message(message)) => {
                    self.world.seen.add(Happened::Recheck);
                    again.push(*message);
                    continue;
                }
                (Disposition::Bury(_), Source::Message(Message::Trigger(_))) => {
                    self.world.seen.add(Happened::OtherBody);
                }
                _ => return Err(Breach::Dead),
            }
            if first_acks {
                self.ack(source, instances)?;
                if commands(disposition).next().is_some() {
                    return Err(Breach::Acked);
                }
            }
            let published = self.publish_some(disposition, fate)?;
            if fate == Fate::WhilePublishing {
                if !published {
                    continue;
                }
                return Ok(self.dies(Happened::CrashWhilePublishing));
            }
            if fate == Fate::BeforeAck {
                continue;
            }
            self.ack(source, instances)?;
        }
        match fate {
            Fate::WhilePublishing => Ok(Written::Impossible),
            Fate::BeforeAck => Ok(self.dies(Happened::CrashBeforeAck)),
            _ => Ok(Written::Done(again)),
        }
    }

    /// Publishes an item's commands; of several the first only, where the replica dies then.
    fn publish_some(&mut self, disposition: &Disposition, fate: Fate) -> Result<bool, Breach> {
        let all: Vec<_> = commands(disposition).collect();
        if fate == Fate::WhilePublishing && all.len() < 2 {
            return Ok(false);
        }
        let count = if fate == Fate::WhilePublishing { 1 } else { all.len() };
        for command in &all[..count] {
            self.publish_command(command)?;
        }
        Ok(true)
    }

    fn publish(&mut self, dispositions: &[Disposition]) -> Result<(), Breach> {
        dispositions.iter().flat_map(commands).try_for_each(|c| self.publish_command(c))
    }

    /// Stores a command, which must be of a committed turn.
    fn publish_command(&mut self, command: &amends::machine::Command) -> Result<(), Breach> {
        let saga = self.setting.position(command.id.saga);
        let outline = self.setting.sagas[saga].definition.outline();
        let state = self.world.database.sagas[saga].state().ok_or(Breach::Uncommitted)?;
        let step = state.position(outline, &command.id.step).ok_or(Breach::Uncommitted)?;
        if state.steps[step].op(command.id.op).attempt < command.id.attempt {
            return Err(Breach::Uncommitted);
        }
        let small = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
        self.world.pipe.publish(Message::Command(Attempt {
            saga: small(saga),
            step: small(step),
            op: command.id.op,
            attempt: small(command.id.attempt as usize),
        }));
        Ok(())
    }

    /// A message is gone from its stream: what it led to must be safe.
    fn ack(
        &mut self,
        source: &Source,
        instances: &std::collections::HashMap<amends::SagaId, Instance>,
    ) -> Result<(), Breach> {
        let Source::Message(message) = source else { return Ok(()) };
        for (id, instance) in instances {
            let stored = self.world.database.sagas[self.setting.position(*id)].state();
            if stored.is_none_or(|stored| stored.seq < instance.state.seq) {
                return Err(Breach::Acked);
            }
        }
        if let Message::Trigger(saga) = message {
            let database = &self.world.database;
            match (database.sagas[usize::from(*saga)].stored.is_some(), database.key) {
                (true, _) => {}
                (false, Some(_)) => self.world.seen.add(Happened::KeyHeld),
                (false, None) => return Err(Breach::Acked),
            }
        }
        self.world.pipe.remove(*message);
        Ok(())
    }

    fn dies(&mut self, when: Happened) -> Written {
        self.world.seen.add(when);
        self.world.replicas[self.replica].dies();
        Written::Died
    }
}

/// How far a batch came.
enum Written {
    /// It cannot come so far: nothing is to be published, or written.
    Impossible,
    /// It is to be decided again, on what is stored.
    Again,
    /// The replica died.
    Died,
    /// All is done but these messages, which are decided again on what is stored.
    Done(Vec<Message>),
}

fn commands(disposition: &Disposition) -> impl Iterator<Item = &amends::machine::Command> {
    let publish = if let Disposition::Publish(publish) = disposition { &publish[..] } else { &[] };
    publish.iter().filter_map(|message| match message {
        turn::Message::Command(command, _) => Some(command),
        turn::Message::Status(..) => None,
    })
}

/// An answer as the machine reads it.
fn outcome(op: Op, answer: Answer) -> Reply {
    let rejected = |code: &str| Reply::Rejected { code: code.to_owned(), message: String::new() };
    match answer {
        Answer::Ok if op == Op::Action => Reply::Ok(Json::trusted("1")),
        Answer::Ok => Reply::Ok(Json::null()),
        Answer::Rejected => rejected("refused"),
        Answer::Compensated => rejected("compensated"),
        Answer::Retry => Reply::Retry { message: "again".to_owned(), after: None },
        Answer::Pending => Reply::Pending,
    }
}

/// How a nested saga ended, from what is stored of it.
fn end(step: &str, child: &crate::stored::Stored) -> (ChildEnd, Time) {
    let status = child.kept.state().status;
    let error = child.kept.instance.changes.last().and_then(|change| change.error.clone());
    let end = ChildEnd {
        step: step.into(),
        status,
        output: child.records.last().and_then(|last| last.next.output.clone()),
        error: error.filter(|_| status == amends::machine::Status::Compensated),
    };
    (end, child.ended_at().unwrap_or_default())
}
