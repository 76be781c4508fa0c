//! What random runs have found, as short as it can be.

use std::{convert::Infallible, time::Duration};

use crate::{
    BeforePivot, Compensatable, Definition, Finished, Given, Json, Op, Plan, Retry, Saga, SagaId,
    Step, Trigger,
    machine::{
        Decision, Event, OperatorAct, OperatorCommand, Phase, ReplyEvent, State, Status, Time,
        decide, start,
    },
    wire::Reply,
};

struct Book;
impl Step for Book {
    const NAME: &'static str = "hotel.book";
    type Input = u8;
    type Output = u8;
    type Rejection = Infallible;
}
impl Compensatable for Book {}

/// Rooms one after the other, all within a minute.
struct Trip;
impl Saga for Trip {
    const NAME: &'static str = "trip";
    const VERSION: u32 = 1;
    type Input = Vec<u8>;
    type Output = ();

    fn trigger() -> Trigger<Vec<u8>> {
        Trigger::on("trips.wanted")
    }

    fn deadline() -> Option<Duration> {
        Some(Duration::from_secs(60))
    }

    fn plan(mut p: Plan<BeforePivot>, rooms: Given<Vec<u8>>) -> Finished<()> {
        let once = Retry::exponential(Duration::from_secs(1), Duration::from_secs(1));
        p.step(Book::each(rooms.clone()).named("rooms").at_once(1).retry(once));
        p.finish(rooms.map(|_| ()))
    }
}

struct Case {
    definition: Definition,
    state: State,
    now: Time,
}

impl Case {
    fn new(rooms: &str) -> Self {
        let definition = Definition::of::<Trip>().unwrap();
        let now = Time::from_timestamp(1_700_000_000, 0).unwrap();
        let id = SagaId(uuid::Uuid::nil());
        let state = start(&definition, id, Json::trusted(rooms), now).next;
        Self { definition, state, now }
    }

    fn decide(&self, event: &Event) -> Decision {
        decide(&self.definition, &self.state, event, self.now)
    }

    fn takes(&mut self, event: &Event) {
        match self.decide(event) {
            Decision::Turn(turn) => self.state = turn.next,
            other => panic!("{event:?}: {other:?}"),
        }
    }

    fn act(&mut self, act: OperatorCommand) {
        let event = OperatorAct {
            command: act,
            by: "ops".into(),
            reason: "why".into(),
            seen: self.state.seq,
        };
        self.takes(&Event::Act(event));
    }

    fn phase(&self, step: &str) -> Phase {
        let at = self.state.position(self.definition.outline(), step).unwrap();
        self.state.steps[at].action.phase
    }
}

fn reply(step: &str, attempt: u32, reply: Reply) -> Event {
    let service = "hotel".to_owned();
    Event::Reply(ReplyEvent { step: step.into(), op: Op::Action, attempt, service, reply })
}

fn ok(step: &str) -> Event {
    reply(step, 1, Reply::Ok(Json::trusted("1")))
}

/// `rooms.0` was tried and is to be repeated; `rooms.1` took its place meanwhile.
fn repeated() -> Case {
    let mut case = Case::new("[1,2]");
    case.takes(&reply("rooms.0", 1, Reply::Retry { message: String::new(), after: None }));
    assert_eq!(case.phase("rooms.0"), Phase::Backoff);
    let at =
        |case: &Case, step: &str| case.state.position(case.definition.outline(), step).unwrap();
    let (first, second) = (at(&case, "rooms.0"), at(&case, "rooms.1"));
    case.act(OperatorCommand::Retry);
    // As when the list has been given room by a step that was given up, and is full again.
    let sent = case.state.steps[first].action.clone();
    case.state.steps[first].action.phase = Phase::Idle;
    case.state.steps[first].action.due = None;
    case.state.steps[second].action = sent;
    case
}

#[test]
fn a_timer_that_fires_after_the_end_finds_no_deadline() {
    let mut case = Case::new("[1]");
    case.takes(&ok("rooms.0"));
    assert_eq!(case.state.status, Status::Completed);
    case.now += Duration::from_secs(61);
    assert_eq!(case.decide(&Event::TimerFired), Decision::Known(Vec::new()));
}

#[test]
fn an_element_that_waits_to_be_repeated_can_still_answer() {
    let mut case = repeated();
    case.takes(&ok("rooms.0"));
    assert_eq!(case.phase("rooms.0"), Phase::Done);
}

#[test]
fn an_element_that_waits_to_be_repeated_is_undone() {
    let mut case = repeated();
    case.act(OperatorCommand::Cancel);
    assert_eq!(case.phase("rooms.0"), Phase::Unknown);
}
