//! One saga between two orchestrators that crash, a pipe that loses, doubles, delays and reorders,
//! participants of all characters, and a clock.

use std::{collections::BTreeMap, time::Duration};

use super::{
    checker::Checker,
    operator::Operators,
    participant::{Answer, Character, Participant},
    plans::{SERVICES, definition},
    record::Store,
    tape::Tape,
};
use crate::{
    Definition, Json, Op, Outline, SagaId,
    machine::{
        ActEvent, Command, Decision, Event, ReplyEvent, Send, State, Status, Time, Turn, command,
        decide, start,
    },
    wire::Reply,
};

/// A saga that needs more steps than this does not end.
const STEPS_MAX: usize = 20_000;

#[derive(Debug, Clone)]
enum Message {
    Trigger,
    Command(Command),
    Reply(ReplyEvent),
    Act(ActEvent),
    /// A participant does what it has accepted.
    Finish(usize, Op, u32),
}

pub(super) struct World {
    pub(super) definition: Definition,
    id: SagaId,
    pub(super) now: Time,
    pub(super) tape: Tape,
    pub(super) store: Store,
    /// What each orchestrator remembers of the saga; it may be outdated.
    replicas: [Option<State>; 2],
    pipe: Vec<(Time, Message)>,
    pub(super) participants: Vec<Participant>,
    pub(super) operators: Operators,
    checker: Checker,
}

/// How a run ended, and how much it took.
pub(super) struct End {
    pub(super) status: Status,
    pub(super) seen: Seen,
}

/// What happened, and how often.
pub(super) type Seen = BTreeMap<&'static str, usize>;

impl World {
    pub(super) fn new(outline: Outline, characters: &[Character], accidents: Vec<u8>) -> Self {
        let id = SagaId(uuid::Uuid::from_u128(7));
        let participants = characters.iter().enumerate().map(|(at, c)| Participant::new(at, *c));
        Self {
            id,
            now: Time::from_timestamp(1_700_000_000, 0).unwrap(),
            tape: Tape::new(accidents),
            store: Store::new(&outline, id, Json::trusted("{}")),
            replicas: [None, None],
            pipe: Vec::new(),
            operators: Operators::default(),
            participants: participants.collect(),
            checker: Checker::new(&outline),
            definition: definition(outline),
        }
    }

    pub(super) const fn with(mut self, operators: Operators) -> Self {
        self.operators = operators;
        self
    }

    /// Until nothing will ever happen again.
    pub(super) fn run(mut self) -> End {
        self.pipe.push((self.now, Message::Trigger));
        for _ in 0..STEPS_MAX {
            if !self.step() && !self.close() {
                self.checker.end(&self.participants);
                let seen = std::mem::take(&mut self.checker.seen);
                return End { status: self.store.read().status, seen };
            }
        }
        panic!("it does not end: {:#?}", self.store.read());
    }

    fn step(&mut self) -> bool {
        if self.store.seq() > 0 && self.tape.chance(30) {
            self.foreign();
            self.handle(&Event::Wake);
        }
        if self.store.seq() > 0 && self.operators.meddle && self.tape.chance(8) {
            let act = self.meddle();
            self.send(Message::Act(act));
        }
        let next = (0..self.pipe.len()).min_by_key(|n| self.pipe[*n].0);
        let wake = if self.store.seq() > 0 { self.store.read().due() } else { None };
        match (next, wake) {
            (None, None) => return false,
            (Some(n), wake) if wake.is_none_or(|wake| self.pipe[n].0 <= wake) => {
                let (at, message) = self.pipe.swap_remove(n);
                self.now = self.now.max(at);
                self.deliver(message);
            }
            (_, Some(wake)) => {
                let late = [0, 0, 0, 20, 5_000, 100_000][self.tape.pick(6)];
                self.now = self.now.max(wake + Duration::from_millis(late));
                self.handle(&Event::Wake);
            }
            (Some(_), None) => unreachable!(),
        }
        true
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Trigger => {
                if !self.trigger() {
                    self.post(Message::Trigger);
                }
            }
            Message::Reply(reply) => {
                if !self.handle(&Event::Reply(reply.clone())) {
                    self.post(Message::Reply(reply));
                }
            }
            Message::Act(act) => {
                if !self.handle(&Event::Act(act.clone())) {
                    self.post(Message::Act(act));
                }
            }
            Message::Command(command) => {
                let at = self.definition.outline().position(&command.id.step).unwrap();
                let (op, attempt) = (command.id.op, command.id.attempt);
                match self.participants[at].command(op) {
                    Answer::Reply(reply) => self.reply(at, op, attempt, reply),
                    Answer::Silence => {}
                    Answer::Later(delay) => {
                        self.reply(at, op, attempt, Reply::Pending);
                        self.pipe.push((self.now + delay, Message::Finish(at, op, attempt)));
                    }
                }
            }
            Message::Finish(at, op, attempt) => {
                if let Some(reply) = self.participants[at].finish(op) {
                    self.reply(at, op, attempt, reply);
                }
            }
        }
    }

    fn reply(&mut self, at: usize, op: Op, attempt: u32, reply: Reply) {
        let plan = &self.definition.outline().steps[at];
        let (step, service) = (plan.name.as_str().into(), plan.service.clone());
        self.send(Message::Reply(ReplyEvent { step, op, attempt, service, reply }));
    }

    /// Into the pipe: lost, doubled or delayed at the tape's will.
    fn send(&mut self, message: Message) {
        match self.tape.pick(20) {
            17 => return,
            18 => self.post(message.clone()),
            19 => (0..3).for_each(|_| self.post(message.clone())),
            _ => {}
        }
        self.post(message);
    }

    fn post(&mut self, message: Message) {
        let delay =
            [1, 1, 1, 1, 1, 2, 3, 10, 10, 20, 300, 1_000, 5_000, 30_000, 120_000, 100_000_000]
                [self.tape.pick(16)];
        self.pipe.push((self.now + Duration::from_millis(delay), message));
    }

    fn crashes(&mut self) -> bool {
        self.tape.chance(15)
    }

    /// Takes the trigger; false when it will be delivered again.
    fn trigger(&mut self) -> bool {
        if self.store.seq() > 0 {
            return self.handle(&Event::StartedAgain);
        }
        let turn = start(&self.definition, self.id, Json::trusted("{}"), self.now);
        self.commit(0, &turn)
    }

    /// Takes an event to one of the orchestrators; false when it will be delivered again.
    pub(super) fn handle(&mut self, event: &Event) -> bool {
        let replica = self.tape.pick(2);
        loop {
            let cached = self.replicas[replica].take();
            let fresh = cached.is_none();
            let state = cached.unwrap_or_else(|| self.store.read());
            match decide(&self.definition, &state, event, self.now) {
                Decision::Turn(turn) if turn.facts[0].seq < self.store.seq() => {
                    assert!(!fresh, "the version check hits only outdated states");
                    self.checker.saw("version conflict");
                }
                Decision::Turn(turn) => {
                    self.says_nothing_new(event, &turn);
                    if let Event::Act(act) = event {
                        self.checker.judges(act, Ok(&turn.facts));
                    }
                    let acked = !self.crashes() && self.commit(replica, &turn);
                    return self.heard(event, acked);
                }
                Decision::Known(_) if *event == Event::Wake && !fresh => {}
                Decision::Known(sends) => {
                    self.checker.saw("known");
                    let published = self.publish(&state, &sends);
                    self.replicas[replica] = Some(state);
                    return self.heard(event, published);
                }
                Decision::Refused(_) if !fresh => self.checker.saw("outdated"),
                Decision::Refused(why) => {
                    let Event::Act(act) = event else { unreachable!("{event:?}: {why}") };
                    self.checker.judges(act, Err(&why));
                    return true;
                }
                Decision::Unexpected(why) => {
                    assert!(!fresh, "{why}");
                    self.checker.saw("outdated");
                }
            }
        }
    }

    fn heard(&mut self, event: &Event, acked: bool) -> bool {
        if let Event::Reply(ReplyEvent { step, op, attempt, reply: Reply::Ok(_), .. }) = event
            && acked
        {
            let at = self.definition.outline().position(step).unwrap();
            self.checker.heard_ok(at, *op, *attempt);
        }
        acked
    }

    /// The same event once more is known; an act from what was seen before it is refused.
    fn says_nothing_new(&self, event: &Event, turn: &Turn) {
        if let Event::Act(act) = event {
            self.refuses_the_next(act, turn);
        }
        if matches!(event, Event::Reply(_)) {
            let again = decide(&self.definition, &turn.next, event, self.now);
            assert!(matches!(again, Decision::Known(_)), "{event:?} was new twice");
        }
    }

    /// Commits, publishes and acks, unless it crashes on the way.
    fn commit(&mut self, replica: usize, turn: &Turn) -> bool {
        self.checker.turn(&turn.facts, &turn.next);
        self.store.commit(&turn.next, &turn.facts);
        assert_eq!(self.store.read(), turn.next, "the fold of the facts is the state");
        let sends: Vec<_> = turn.facts.iter().flat_map(|f| f.next.sends.clone()).collect();
        let published = !self.crashes() && self.publish(&turn.next, &sends);
        if published {
            self.replicas[replica] = Some(turn.next.clone());
        }
        published && !self.crashes()
    }

    fn publish(&mut self, state: &State, sends: &[Send]) -> bool {
        assert!(sends.is_empty() || !state.paused, "published while it is paused: {sends:?}");
        for send in sends {
            let command = command(&self.definition, state, send).expect("it is in flight");
            if state.seq == self.store.seq() {
                self.checker.command(send.step, send.op, &command.body);
            }
            self.send(Message::Command(command));
            if self.crashes() {
                return false;
            }
        }
        true
    }

    /// Replies that cannot belong to this saga change nothing.
    fn foreign(&self) {
        let state = self.store.read();
        for (plan, step) in self.definition.outline().steps.iter().zip(&state.steps) {
            for op in [Op::Action, Op::Compensation] {
                let next = step.op(op).attempt + 1;
                let other = SERVICES.iter().find(|s| **s != plan.service).unwrap();
                let replies = [
                    (plan.name.as_str(), plan.service.as_str(), next),
                    (plan.name.as_str(), *other, 1),
                    ("nobody", plan.service.as_str(), 1),
                ];
                for (step, service, attempt) in replies {
                    let (step, service) = (step.into(), service.to_owned());
                    let reply = Reply::Ok(Json::null());
                    let event = Event::Reply(ReplyEvent { step, op, attempt, service, reply });
                    let decision = decide(&self.definition, &state, &event, self.now);
                    assert!(matches!(decision, Decision::Unexpected(_)), "{event:?} was taken");
                }
            }
        }
    }
}
