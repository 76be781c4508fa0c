//! Sagas that chance leads through a plan with all that a plan can say.

use std::{convert::Infallible, time::Duration};

use amends::{
    Await, BeforePivot, Compensatable, Definition, Delay, EventId, Finished, Given, Json, Op, Plan,
    Record, Rejection, Retry, Saga, SagaId, Step, Task, Trigger, Values as _,
    machine::{
        Arrival, ChildEnd, Decision, Event, Failure, OperatorAct, OperatorCommand, ReplyEvent,
        State, Status, Time, Turn, decide, start, waits,
    },
    wire::Reply,
};
use serde::{Deserialize, Serialize, Serializer, ser::Error as _};

#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct Told {
    id: String,
    /// How many elements its lists have.
    stops: u8,
    nested: bool,
    /// What cannot be computed.
    ill: String,
    #[serde(
        skip_deserializing,
        serialize_with = "fail",
        skip_serializing_if = "std::ops::Not::not"
    )]
    fails: bool,
}

fn fail<S: Serializer>(_: &bool, _: S) -> Result<S::Ok, S::Error> {
    Err(S::Error::custom("it fails, as it was told to"))
}

impl Told {
    /// Is not to be had for one step.
    fn unless(self, ill: &str) -> Self {
        Self { fails: self.ill == ill, ..self }
    }

    fn stops(self, ill: &str) -> Vec<Self> {
        let told = self.unless(ill);
        // A list without elements can be computed.
        vec![told.clone(); usize::from(told.stops.max(u8::from(told.fails)))]
    }
}

struct Full;

impl Rejection for Full {
    fn code(&self) -> &str {
        "full"
    }
}

macro_rules! steps {
    ($($step:ident $name:literal $rejection:ty),*) => {$(
        struct $step;
        impl Step for $step {
            const NAME: &'static str = $name;
            type Input = Told;
            type Output = ();
            type Rejection = $rejection;
        }
    )*};
}

steps!(Hold "bank.hold" Full, Visit "museum.visit" Full, Book "hotel.book" Full,
    Reserve "car.reserve" Full, Hire "guide.hire" Full, Pay "bank.pay" Full, Mail "mail.send" Infallible,
    Ship "post.ship" Infallible);
impl Compensatable for Hold {}
impl Compensatable for Visit {}
impl Compensatable for Book {}
impl Compensatable for Reserve {}
impl Compensatable for Hire {}

/// What is nested in a walk.
struct Errand;

impl Saga for Errand {
    const NAME: &'static str = "errand";
    const VERSION: u32 = 1;
    type Input = Told;
    type Output = ();

    fn trigger() -> Trigger<Told> {
        Trigger::on("errands.wanted")
    }

    fn plan(mut p: Plan<BeforePivot>, told: Given<Told>) -> Finished<()> {
        let booked = p.step(Book::with(told));
        p.finish(booked)
    }
}

/// A plan with a lock, lists, parallel branches, a nested saga, an event and a delay before its pivot,
/// and more behind it.
pub(crate) struct Walk;

impl Saga for Walk {
    const NAME: &'static str = "walk";
    const VERSION: u32 = 1;
    type Input = Told;
    type Output = Told;

    fn trigger() -> Trigger<Told> {
        Trigger::<Told>::on("walks.wanted")
            .key(|told| told.id.clone())
            .lock(|told| format!("walk/{}", told.id))
    }

    fn plan(mut p: Plan<BeforePivot>, told: Given<Told>) -> Finished<Told> {
        let few = Retry::exponential(Duration::from_millis(100), Duration::from_secs(1)).limit(2);
        p.step(Hold::with(told.map(|told| told.unless("hold"))).retry(few).compensation_retry(few));
        let stops = told.map(|told| told.stops("visit"));
        p.step(Visit::each(stops).at_once(2).retry(few).compensation_retry(few));
        p.together((
            Book::with(told.clone()).retry(few),
            Reserve::with(told.clone()).retry(few).compensation_retry(few),
            Hire::with(told.clone()),
        ));
        p.step(
            Errand::nested(told.clone())
                .within(Duration::from_secs(600))
                .only_if(told.map(|told| told.nested)),
        );
        p.step(
            Await::<Told>::on("walks.told")
                .matching(|told| told.id.clone())
                .within(Duration::from_secs(60)),
        );
        p.step(Delay::of("cooling-off", Duration::from_secs(1)));
        let (mut p, paid) = p.pivot(Pay::with(told.map(|told| told.unless("pay"))).retry(few));
        let parcels = told.map(|told| told.stops("ship"));
        p.together((
            Mail::with(told.map(|told| told.unless("mail"))).retry(few),
            Ship::each(parcels).at_once(1).retry(few),
        ));
        p.step(
            Await::<Told>::on("walks.praised")
                .matching(|told| told.id.clone())
                .within(Duration::from_secs(60)),
        );
        p.finish((told, paid).map(|told, ()| told.unless("output")))
    }
}

/// Numbers that are the same in each run: SplitMix64.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(n).unwrap()).unwrap()
    }
}

/// A saga that chance leads.
pub(crate) struct Walker {
    pub(crate) state: State,
    pub(crate) records: Vec<Record>,
    now: Time,
    /// Most of what it asks for is done.
    lucky: bool,
}

impl Walker {
    pub(crate) fn begin(definition: &Definition, seed: u64) -> Self {
        let mut chance = Chance(seed);
        let now = Time::from_timestamp(1_700_000_000 + i64::try_from(seed).unwrap(), 0).unwrap();
        let id = SagaId::from_message("walk", "AMENDS_EVENTS", seed, now);
        let ills = ["", "", "", "", "hold", "visit", "pay", "mail", "ship", "output"];
        let told = Told {
            id: format!("w-{seed}"),
            stops: u8::try_from(chance.below(4)).unwrap(),
            nested: chance.below(2) == 0,
            ill: ills[chance.below(ills.len())].to_owned(),
            fails: false,
        };
        let input = Json::of(&told).unwrap();
        let turn = start(definition, id, input.clone(), now);
        let state = State::new(definition.outline(), id, input);
        let lucky = chance.below(2) > 0;
        let mut walker = Self { state, records: Vec::new(), now, lucky };
        walker.take(definition, turn);
        for _ in 0..chance.below(if lucky { 60 } else { 24 }) {
            walker.go(definition, &mut chance);
        }
        walker
    }

    fn take(&mut self, definition: &Definition, turn: Turn) {
        let record = |fact| Record::of(definition.outline(), &turn.next, fact);
        self.records.extend(turn.facts.iter().map(record));
        self.state = turn.next;
    }

    fn go(&mut self, definition: &Definition, chance: &mut Chance) {
        self.now += Duration::from_millis(10);
        let events = self.events(definition, chance);
        let Some(event) = events.get(chance.below(events.len().max(1))) else { return };
        if *event == Event::TimerFired {
            self.now = self.state.due().map_or(self.now, |due| due.max(self.now));
        }
        if let Decision::Turn(turn) = decide(definition, &self.state, event, self.now) {
            self.take(definition, *turn);
        }
    }

    /// What may happen to it now.
    fn events(&self, definition: &Definition, chance: &mut Chance) -> Vec<Event> {
        let mut events = Vec::new();
        if self.state.queued {
            events.push(Event::Granted);
        }
        if self.state.due().is_some() && (!self.lucky || chance.below(4) == 0) {
            events.push(Event::TimerFired);
        }
        for wait in waits(definition, &self.state) {
            let body = self.state.input.clone();
            let event = EventId::of_message("AMENDS_EVENTS", u64::from(self.state.seq), self.now);
            let arrival = Event::Arrived(Arrival { step: wait.step.into(), event, body });
            events.extend([arrival.clone(), arrival]);
        }
        for at in 0..self.state.steps.len() {
            self.answers(definition, chance, at, &mut events);
        }
        if chance.below(3) == 0 || self.state.paused {
            events.push(self.act(self.command(definition, chance)));
        }
        events
    }

    /// What may come from whoever does a step.
    fn answers(
        &self,
        definition: &Definition,
        chance: &mut Chance,
        at: usize,
        events: &mut Vec<Event>,
    ) {
        let (outline, step) = (definition.outline(), &self.state.steps[at]);
        let plan = &outline.steps[step.plan];
        let name = self.state.name(outline, at);
        for op in [Op::Action, Op::Compensation] {
            // What was given up may be answered late; what was done, by a redelivery.
            let late = step.op(op).attempt > 0 && chance.below(12) == 0;
            if !step.op(op).phase.is_open() && !late {
                continue;
            }
            let event = match plan.task {
                Task::Call => {
                    let (step, attempt) = (name.as_str().into(), step.op(op).attempt);
                    let (service, reply) = (plan.service.clone(), self.reply(chance));
                    Event::Reply(ReplyEvent { step, op, attempt, service, reply })
                }
                Task::Saga { .. } => self.end(chance, &name, op),
                Task::Event { .. } | Task::Delay { .. } | Task::Until => continue,
            };
            // Twice, so that replies are more frequent than the rest.
            events.extend([event.clone(), event]);
        }
    }

    fn reply(&self, chance: &mut Chance) -> Reply {
        match chance.below(if self.lucky { 40 } else { 10 }) {
            0 | 1 => Reply::Rejected { code: "full".into(), message: String::new() },
            2 | 3 => Reply::Retry { message: "broke".into(), after: None },
            4..=6 => Reply::Pending,
            _ => Reply::Ok(Json::null()),
        }
    }

    fn end(&self, chance: &mut Chance, step: &str, op: Op) -> Event {
        let done = op == Op::Action && (self.lucky || chance.below(2) == 0);
        let failure = || Failure { step: String::new(), code: "full".into(), message: "no".into() };
        Event::Child(ChildEnd {
            step: step.into(),
            status: if done { Status::Completed } else { Status::Compensated },
            output: done.then(Json::null),
            error: (!done).then(failure),
        })
    }

    fn command(&self, definition: &Definition, chance: &mut Chance) -> OperatorCommand {
        let at = chance.below(self.state.steps.len());
        let step = self.state.name(definition.outline(), at);
        match chance.below(if self.lucky { 12 } else { 7 }) {
            0 => OperatorCommand::Cancel,
            1 | 2 => OperatorCommand::Pause,
            3 => OperatorCommand::Resume,
            4 => OperatorCommand::Skip { step },
            5 => OperatorCommand::Resolve { step, outcome: Reply::Ok(Json::null()) },
            _ => OperatorCommand::Retry,
        }
    }

    pub(crate) fn act(&self, command: OperatorCommand) -> Event {
        let (by, reason, seen) = ("alice".into(), "a look".into(), self.state.seq);
        Event::Act(OperatorAct { command, by, reason, seen })
    }

    /// Why the machine refuses an act, if it does.
    pub(crate) fn refusal(
        &self,
        definition: &Definition,
        command: &OperatorCommand,
    ) -> Option<String> {
        match decide(definition, &self.state, &self.act(command.clone()), self.now) {
            Decision::Turn(_) => None,
            Decision::Refused(why) => Some(why),
            other => panic!("{command:?} is {other:?}"),
        }
    }
}
