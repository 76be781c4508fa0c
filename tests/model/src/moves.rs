//! What can happen next, and what follows from it.

use std::{fmt, time::Duration};

use amends::{
    Op, StepKind,
    machine::{Phase, State, Status, Time},
};

use crate::{
    act::Act,
    bug::Bug,
    happened::{Breach, Happened},
    message::{Answer, Attempt, Message},
    orchestrator::{Fate, Orchestrator, Step},
    participants::Verdict,
    setting::{ActKind, Setting},
    world::World,
};

/// One step of the exploration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// A replica gets a message.
    Deliver(usize, Message, Fate),
    /// A replica gets two messages at once.
    DeliverBoth(usize, Message, Message),
    /// Somebody publishes an event.
    Publish(u8),
    /// An event is kept; or the replica dies before anybody is woken.
    Keep(Message, Fate),
    /// A service takes a command.
    Serve(Attempt, Answer),
    /// A service does what it has accepted.
    Finish(Attempt),
    /// A message is lost.
    Drop(Message),
    /// A message is stored once more.
    Double(Message),
    /// A timer fires at a replica, and its turn is taken.
    Fire(usize, usize, Fate),
    /// A timer fires at a replica, and others go on.
    Take(usize, usize),
    /// The turn of the timer that a replica took.
    Settle(usize, Fate),
    /// A timer is set to now.
    Wake(usize),
    /// Nothing happens until the next timer is due.
    Pass,
    /// A replica dies.
    Restart(usize),
    /// An operator acts on a saga.
    Act(usize, Act),
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliver(replica, message, fate) => {
                write!(f, "replica {replica} gets {message:?}: {fate:?}")
            }
            Self::DeliverBoth(replica, first, second) => {
                write!(f, "replica {replica} gets {first:?} and {second:?} at once")
            }
            Self::Publish(event) => write!(f, "event {event} is published"),
            Self::Keep(event, fate) => write!(f, "{event:?} is kept: {fate:?}"),
            Self::Serve(attempt, answer) => {
                write!(f, "a service takes {attempt:?}, and would answer {answer:?}")
            }
            Self::Finish(attempt) => write!(f, "a service does what it has accepted: {attempt:?}"),
            Self::Drop(message) => write!(f, "{message:?} is lost"),
            Self::Double(message) => write!(f, "{message:?} is stored once more"),
            Self::Fire(replica, saga, fate) => {
                write!(f, "the timer of saga {saga} fires at replica {replica}: {fate:?}")
            }
            Self::Take(replica, saga) => {
                write!(f, "replica {replica} takes the timer of saga {saga}, and is slow")
            }
            Self::Settle(replica, fate) => {
                write!(f, "replica {replica} goes on with the timer it took: {fate:?}")
            }
            Self::Wake(saga) => write!(f, "the timer of saga {saga} is set to now"),
            Self::Pass => write!(f, "time passes until the next timer is due"),
            Self::Restart(replica) => write!(f, "replica {replica} dies, and is started"),
            Self::Act(saga, act) => write!(f, "an operator acts on saga {saga}: {act:?}"),
        }
    }
}

const CRASHES: [Fate; 3] = [Fate::AfterCommit, Fate::WhilePublishing, Fate::BeforeAck];
const UNKNOWNS: [Fate; 2] = [Fate::UnknownKept, Fate::UnknownLost];

impl Setting {
    /// All that can happen next.
    pub(crate) fn moves(&self, world: &World, moves: &mut Vec<Move>) {
        if world.broken.is_some() {
            return;
        }
        let fates = fates(world);
        for message in world.pipe.each() {
            self.moves_of(world, message, &fates, moves);
        }
        self.timers(world, &fates, moves);
        moves.extend(world.to_come.first().map(|event| Move::Publish(*event)));
        if next_timer(world).is_some() && (!overtakes(world) || world.budget.late > 0) {
            moves.push(Move::Pass);
        }
        if world.budget.crashes > 0 {
            let lost = self.replicas(world).filter(|at| !world.replicas[*at].knows_nothing());
            moves.extend(lost.map(Move::Restart));
        }
        self.accepted(world, moves);
        if world.budget.acts > 0 {
            self.operators(world, moves);
        }
    }

    /// The replicas that differ.
    fn replicas(&self, world: &World) -> impl Iterator<Item = usize> + use<> {
        let alike = world.replicas[0] == world.replicas[1];
        0..if alike { 1 } else { 2 }
    }

    fn moves_of(&self, world: &World, message: Message, fates: &[Fate], moves: &mut Vec<Move>) {
        match message {
            Message::Event(..) => {
                moves.push(Move::Keep(message, Fate::Whole));
                if world.budget.crashes > 0 {
                    moves.push(Move::Keep(message, Fate::AfterCommit));
                }
            }
            Message::Command(attempt) => self.answers(world, attempt, moves),
            Message::Trigger(_) | Message::Reply(..) => {
                for replica in self.replicas(world) {
                    moves.extend(fates.iter().map(|fate| Move::Deliver(replica, message, *fate)));
                    if world.budget.pairs > 0 {
                        let later = world.pipe.each().filter(|other| *other > message);
                        let replies =
                            later.filter(|m| matches!(m, Message::Trigger(_) | Message::Reply(..)));
                        moves.extend(replies.map(|m| Move::DeliverBoth(replica, message, m)));
                    }
                }
            }
        }
        if world.budget.drops > 0 && !matches!(message, Message::Trigger(_) | Message::Event(..)) {
            moves.push(Move::Drop(message));
        }
        if world.budget.doubles > 0 && world.pipe.copies(message) == 1 {
            moves.push(Move::Double(message));
        }
    }

    /// What a service may answer.
    fn answers(&self, world: &World, attempt: Attempt, moves: &mut Vec<Move>) {
        let saga = usize::from(attempt.saga);
        let effect = &world.effects[saga][usize::from(attempt.step)];
        moves.push(Move::Serve(attempt, Answer::Ok));
        if effect.verdict(attempt.op) != Verdict::Run {
            return;
        }
        let state = world.database.sagas[saga].state();
        let step = state.and_then(|state| state.steps.get(usize::from(attempt.step)));
        let outline = self.sagas[saga].definition.outline();
        let kind = step.map(|step| outline.steps[step.plan].kind);
        if world.budget.rejections > 0 && kind != Some(StepKind::Retriable) {
            moves.push(Move::Serve(attempt, Answer::Rejected));
        }
        if world.budget.breaks > 0 {
            moves.push(Move::Serve(attempt, Answer::Retry));
        }
        if world.budget.deferrals > 0 && !effect.is_accepted(attempt.op) {
            moves.push(Move::Serve(attempt, Answer::Pending));
        }
    }

    fn timers(&self, world: &World, fates: &[Fate], moves: &mut Vec<Move>) {
        for (saga, rows) in world.database.sagas.iter().enumerate() {
            if rows.fires_at().is_some_and(|at| at <= world.now) {
                for replica in self.replicas(world) {
                    moves.extend(fates.iter().map(|fate| Move::Fire(replica, saga, *fate)));
                    if world.budget.slow > 0 && world.replicas[replica].woken.is_none() {
                        moves.push(Move::Take(replica, saga));
                    }
                }
            } else if rows.timer.is_some() && world.budget.early > 0 {
                moves.push(Move::Wake(saga));
            }
        }
        for replica in [0, 1] {
            if world.replicas[replica].woken.is_some() {
                moves.extend(fates.iter().map(|fate| Move::Settle(replica, *fate)));
            }
        }
    }

    fn accepted(&self, world: &World, moves: &mut Vec<Move>) {
        for (saga, effects) in (0..).zip(&world.effects) {
            for (step, effect) in (0..).zip(effects) {
                for op in [Op::Action, Op::Compensation] {
                    if effect.is_accepted(op) {
                        moves.push(Move::Finish(Attempt { saga, step, op, attempt: 1 }));
                    }
                }
            }
        }
    }

    /// What operators may do who look at the sagas as they are.
    fn operators(&self, world: &World, moves: &mut Vec<Move>) {
        for (saga, kind) in &self.acts {
            let Some(state) = world.database.sagas[*saga].state() else { continue };
            if state.status.ended() {
                continue;
            }
            match kind {
                ActKind::Plain(Act::Resume) if !state.paused => {}
                ActKind::Plain(Act::Retry) if state.status != Status::Stuck => {}
                ActKind::Plain(act) => moves.push(Move::Act(*saga, *act)),
                ActKind::Skip => {
                    moves.extend(open(state).map(|(step, _)| Move::Act(*saga, Act::Skip(step))));
                }
                ActKind::Resolve => moves.extend(open(state).flat_map(|(step, _)| {
                    [Answer::Ok, Answer::Rejected]
                        .map(|answer| Move::Act(*saga, Act::Resolve(step, answer)))
                })),
            }
        }
    }

    /// What follows; nothing where it cannot happen.
    pub(crate) fn after(&self, before: &World, step: Move) -> Option<World> {
        let mut world = before.clone();
        world.seen = crate::happened::Seen::default();
        match self.apply(&mut world, step) {
            Ok(false) => return None,
            Ok(true) => {}
            Err(breach) => world.broken = Some(breach),
        }
        self.tally.add(world.seen);
        if world.broken.is_none() {
            world.broken = self.judge(&world);
        }
        Some(world)
    }

    fn apply(&self, world: &mut World, step: Move) -> Step {
        match step {
            Move::Deliver(replica, message, fate) => {
                spend(world, fate);
                self.at(replica, world).deliver(&[message], fate)
            }
            Move::DeliverBoth(replica, first, second) => {
                world.budget.pairs -= 1;
                self.at(replica, world).deliver(&[first, second], Fate::Whole)
            }
            Move::Publish(event) => {
                world.to_come.retain(|other| *other != event);
                world.pipe.publish(Message::Event(event, world.now));
                Ok(true)
            }
            Move::Keep(message, fate) => Ok(self.keep(world, message, fate)),
            Move::Serve(attempt, answer) => self.serve(world, attempt, answer),
            Move::Finish(attempt) => self.finish(world, attempt),
            Move::Drop(message) => {
                world.budget.drops -= 1;
                world.pipe.remove(message);
                Ok(true)
            }
            Move::Double(message) => {
                world.budget.doubles -= 1;
                world.pipe.double(message);
                Ok(true)
            }
            Move::Fire(replica, saga, fate) => {
                spend(world, fate);
                self.ran_out(world, saga);
                let mut replica = self.at(replica, world);
                let woken = replica.take(saga);
                replica.settle(&woken, fate)
            }
            Move::Take(replica, saga) => {
                world.budget.slow -= 1;
                self.ran_out(world, saga);
                let woken = self.at(replica, world).take(saga);
                world.replicas[replica].woken = Some(woken.into());
                Ok(true)
            }
            Move::Settle(replica, fate) => {
                spend(world, fate);
                let Some(woken) = world.replicas[replica].woken.take() else { return Ok(false) };
                self.at(replica, world).settle(&woken, fate)
            }
            Move::Wake(saga) => {
                world.budget.early -= 1;
                world.database.wake(self, saga, world.now);
                Ok(true)
            }
            Move::Pass => Ok(pass(world)),
            Move::Restart(replica) => {
                world.budget.crashes -= 1;
                world.replicas[replica].dies();
                Ok(true)
            }
            Move::Act(saga, act) => {
                world.budget.acts -= 1;
                self.act_on(world, saga, act).map(|()| true)
            }
        }
    }

    const fn at<'a>(&'a self, replica: usize, world: &'a mut World) -> Orchestrator<'a> {
        Orchestrator { setting: self, world, replica }
    }

    /// Two statements: the event is kept, and sagas that wait for it are woken.
    fn keep(&self, world: &mut World, message: Message, fate: Fate) -> bool {
        let Message::Event(event, came) = message else { return false };
        let twice = world.database.kept.contains(&(event, came));
        if twice {
            world.seen.add(Happened::EventTwice);
        } else {
            world.database.kept.push((event, came));
        }
        if fate != Fate::Whole {
            world.budget.crashes -= 1;
            world.seen.add(Happened::CrashBeforeWake);
            return !twice;
        }
        let key = self.events[usize::from(event)].to_string();
        let waits = |saga: usize| world.database.sagas[saga].waits.iter().any(|(_, k)| *k == key);
        let woken: Vec<_> = (0..self.sagas.len()).filter(|saga| waits(*saga)).collect();
        let ended = world
            .database
            .sagas
            .iter()
            .any(|saga| saga.state().is_some_and(|state| state.turned || state.status.ended()));
        match (woken.is_empty(), ended) {
            (true, true) => world.seen.add(Happened::EventTooLate),
            (true, false) => world.seen.add(Happened::EventBeforeWait),
            _ => {}
        }
        if !self.has(Bug::KeepWithoutWake) {
            woken.into_iter().for_each(|saga| world.database.wake(self, saga, world.now));
        }
        world.pipe.remove(message);
        true
    }

    /// One transaction of a service, then its reply, then the ack.
    fn serve(&self, world: &mut World, attempt: Attempt, answer: Answer) -> Step {
        match answer {
            Answer::Rejected => world.budget.rejections -= 1,
            Answer::Retry => world.budget.breaks -= 1,
            Answer::Pending => world.budget.deferrals -= 1,
            Answer::Ok | Answer::Compensated => {}
        }
        let (saga, step) = (usize::from(attempt.saga), usize::from(attempt.step));
        let effect = &mut world.effects[saga][step];
        if self.has(Bug::NoBarrier) {
            effect.forget();
        }
        let undone = effect.undone;
        if answer == Answer::Rejected && attempt.op == Op::Compensation {
            world.seen.add(Happened::CompensationRefused);
        }
        let answer = effect.serve(attempt.op, answer, &mut world.seen);
        let undoes = effect.undone > undone;
        world.pipe.remove(Message::Command(attempt));
        world.pipe.publish(Message::Reply(attempt, answer, world.now));
        if undoes { self.in_order(world, saga, step).map(|()| true) } else { Ok(true) }
    }

    fn finish(&self, world: &mut World, about: Attempt) -> Step {
        let (saga, step) = (usize::from(about.saga), usize::from(about.step));
        let answer = world.effects[saga][step].finish(about.op);
        world.seen.add(Happened::Deferred);
        let state = world.database.sagas[saga].state();
        let attempt = state.and_then(|state| state.steps.get(step)).map(|s| s.op(about.op).attempt);
        let attempt = attempt.and_then(|attempt| u8::try_from(attempt).ok()).unwrap_or(1);
        world.pipe.publish(Message::Reply(Attempt { attempt, ..about }, answer, world.now));
        let undoes = about.op == Op::Compensation && answer == Answer::Ok;
        if undoes { self.in_order(world, saga, step).map(|()| true) } else { Ok(true) }
    }

    /// What stands after a step in the plan was undone before it, and no pivot stands.
    fn in_order(&self, world: &World, saga: usize, step: usize) -> Result<(), Breach> {
        let Some(state) = world.database.sagas[saga].state() else { return Err(Breach::Order) };
        let outline = self.sagas[saga].definition.outline();
        let plan = |at: usize| state.steps.get(at).map(|step| &outline.steps[step.plan]);
        let stage = plan(step).map(|plan| plan.stage);
        for (at, effect) in world.effects[saga].iter().enumerate() {
            let Some(other) = plan(at) else { continue };
            if !effect.stands() || effect.by_hand {
                continue;
            }
            let left_alone = state.steps[at].compensation.phase == Phase::Skipped;
            if other.kind != StepKind::Compensatable {
                return Err(Breach::Pivot);
            }
            if Some(other.stage) > stage && !left_alone {
                return Err(Breach::Order);
            }
        }
        Ok(())
    }

    /// An operator notes an act; what is resolved by hand is done before.
    fn act_on(&self, world: &mut World, saga: usize, act: Act) -> Result<(), Breach> {
        let act = match act {
            Act::Resolve(step, answer) => {
                let state = world.database.sagas[saga].state();
                let op = state.and_then(|s| open(s).find(|(at, _)| *at == step)).map(|(_, op)| op);
                let effect = &mut world.effects[saga][usize::from(step)];
                let op = op.unwrap_or(Op::Action);
                Act::Resolve(step, effect.by_hand(op, answer == Answer::Ok))
            }
            other => other,
        };
        world.database.ask(self, saga, act, world.now)
    }

    /// A lease is over, and its timer fires again.
    fn ran_out(&self, world: &mut World, saga: usize) {
        let held = |replica: &crate::world::Replica| {
            replica.woken.as_ref().is_some_and(|woken| woken.saga == saga)
        };
        if world.replicas.iter().any(held) {
            world.seen.add(Happened::LeaseRanOut);
        }
    }
}

/// What may be spent of the budget on how a turn ends.
fn fates(world: &World) -> Vec<Fate> {
    let mut fates = vec![Fate::Whole];
    if world.budget.crashes > 0 {
        fates.extend(CRASHES);
    }
    if world.budget.unknowns > 0 {
        fates.extend(UNKNOWNS);
    }
    fates
}

fn spend(world: &mut World, fate: Fate) {
    if CRASHES.contains(&fate) {
        world.budget.crashes -= 1;
    }
    if UNKNOWNS.contains(&fate) {
        world.budget.unknowns -= 1;
    }
}

/// The open steps of a saga, and which half of each.
fn open(state: &State) -> impl Iterator<Item = (u8, Op)> + '_ {
    (0..).zip(&state.steps).filter_map(|(at, step)| {
        let op = if step.compensation.phase.is_open() { Op::Compensation } else { Op::Action };
        step.op(op).phase.is_open().then_some((at, op))
    })
}

/// Whether time that passes now overtakes something: a message, or a timer that is due.
fn overtakes(world: &World) -> bool {
    let due = |at: Time| at <= world.now;
    world.pipe.each().next().is_some()
        || world.database.sagas.iter().any(|saga| saga.fires_at().is_some_and(due))
}

/// The next timer that is not due.
fn next_timer(world: &World) -> Option<Time> {
    world
        .database
        .sagas
        .iter()
        .filter_map(|saga| saga.fires_at())
        .filter(|at| *at > world.now)
        .min()
}

fn pass(world: &mut World) -> bool {
    let Some(next) = next_timer(world) else { return false };
    if overtakes(world) {
        world.budget.late -= 1;
    }
    // What tells leases apart is below a millisecond.
    world.now = world.now.max(next);
    let below = i64::from(world.now.timestamp_subsec_micros() % 1000);
    if below > 0 {
        world.now += Duration::from_micros((1000 - below).unsigned_abs());
    }
    true
}
