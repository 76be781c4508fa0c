//! The preview against the machine: what it says is what happens.

use std::{convert::Infallible, sync::Arc};

use super::*;
use crate::{
    BeforePivot, Compensatable, Definition, Delay, Finished, Given, Json, Op, Plan, Rejection,
    Retry, Saga, Step, Trigger,
    machine::{self, Decision, Event, Kind, OperatorAct, OperatorCommand, ReplyEvent, Time, Turn},
    wire::Reply,
};

struct No;
impl Rejection for No {
    fn code(&self) -> &str {
        "no"
    }
}

macro_rules! step {
    ($name:ident, $wire:literal, $no:ty) => {
        struct $name;
        impl Step for $name {
            const NAME: &'static str = $wire;
            type Input = ();
            type Output = ();
            type Rejection = $no;
        }
    };
}
step!(Hold, "card.hold", No);
step!(Room, "hotel.room", No);
step!(Seat, "plane.seat", No);
step!(Car, "garage.car", No);
step!(Charge, "card.charge", No);
step!(Mail, "post.mail", Infallible);
impl Compensatable for Hold {}
impl Compensatable for Room {}
impl Compensatable for Seat {}
impl Compensatable for Car {}

struct Trip;
impl Saga for Trip {
    const NAME: &'static str = "trip";
    const VERSION: u32 = 1;
    type Input = ();
    type Output = ();

    fn trigger() -> Trigger<()> {
        Trigger::on("trips.wanted")
    }

    fn plan(mut p: Plan<BeforePivot>, input: Given<()>) -> Finished<()> {
        let few = Retry::exponential(std::time::Duration::from_secs(1), std::time::Duration::MAX);
        p.step(Hold::with(input.clone()));
        p.together((
            Room::with(input.clone()).retry(few.limit(2)),
            Seat::with(input.clone()),
            Car::with(input.clone()),
        ));
        let (mut p, _) = p.pivot(Charge::with(input.clone()));
        p.step(Mail::with(input.clone()));
        p.finish(input)
    }
}

/// Lists, waiting, and what is left out.
struct Tour;
impl Saga for Tour {
    const NAME: &'static str = "tour";
    const VERSION: u32 = 1;
    type Input = ();
    type Output = ();

    fn trigger() -> Trigger<()> {
        Trigger::on("tours.wanted")
    }

    fn plan(mut p: Plan<BeforePivot>, input: Given<()>) -> Finished<()> {
        p.step(Car::with(input.clone()).only_if(input.map(|()| false)));
        p.step(Hold::with(input.clone()));
        p.together((Room::each(input.map(|()| vec![(); 3])), Seat::with(input.clone())));
        p.step(Delay::of("cooling-off", std::time::Duration::from_secs(9)));
        let (mut p, _) = p.pivot(Charge::with(input.clone()));
        p.step(Mail::with(input.clone()));
        p.finish(input)
    }
}

/// Xorshift: the same walk for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

fn yes() -> Reply {
    Reply::Ok(Json::null())
}

/// An answer to a sending, by the dice.
fn answer(dice: &mut Dice) -> Reply {
    match dice.roll(12) {
        0 => Reply::Rejected { code: "no".into(), message: String::new() },
        1 => Reply::Pending,
        2 | 3 => Reply::Retry { message: "broke".into(), after: None },
        _ => yes(),
    }
}

/// What waits for an answer: step and operation.
fn open(outline: &Outline, state: &State) -> Vec<(usize, Op)> {
    let waits = |phase| matches!(phase, Phase::InFlight | Phase::Pending);
    let steps = state.steps.iter().enumerate();
    steps
        .flat_map(|(at, step)| [Op::Action, Op::Compensation].map(|op| (at, op, step.op(op).phase)))
        .filter(|(at, _, phase)| {
            waits(*phase) && outline.steps[state.steps[*at].plan].task.is_call()
        })
        .map(|(at, op, _)| (at, op))
        .collect()
}

fn replied(outline: &Outline, state: &State, (at, op): (usize, Op), reply: Reply) -> Event {
    let plan = &outline.steps[state.steps[at].plan];
    Event::Reply(ReplyEvent {
        step: Arc::from(state.name(outline, at)),
        op,
        attempt: state.steps[at].op(op).attempt,
        service: plan.service.clone(),
        reply,
    })
}

fn act(act: OperatorCommand, state: &State) -> Event {
    let (by, reason) = ("alice".into(), "why".into());
    Event::Act(OperatorAct { command: act, by, reason, seen: state.seq })
}

/// Lets everything that is asked go well; the compensations, as they were sent together.
fn undone(definition: &Definition, mut turn: Turn, now: Time) -> Vec<Vec<String>> {
    let outline = definition.outline();
    let mut rounds = Vec::new();
    loop {
        let sends = turn.facts.iter().flat_map(|fact| &fact.next.sends);
        let undos = sends.filter(|send| send.op == Op::Compensation);
        let round: Vec<_> = undos.map(|send| turn.next.name(outline, send.step)).collect();
        if !round.is_empty() {
            rounds.push(round);
        }
        let Some(next) = open(outline, &turn.next).first().copied() else { return rounds };
        let event = replied(outline, &turn.next, next, yes());
        let Decision::Turn(after) = machine::decide(definition, &turn.next, &event, now) else {
            unreachable!("an open operation takes its answer");
        };
        turn = *after;
    }
}

/// The preview of a state against what the machine does with a cancellation.
fn compare(definition: &Definition, state: &State, now: Time) {
    let plan = cancel(definition.outline(), state);
    match machine::decide(definition, state, &act(OperatorCommand::Cancel, state), now) {
        Decision::Refused(why) => assert_eq!(plan.refused.as_deref(), Some(why.as_str())),
        Decision::Turn(turn) => {
            assert_eq!(plan.refused, None);
            let names = |round: &Vec<PlannedUndo>| round.iter().map(|u| u.step.clone()).collect();
            let expected: Vec<Vec<String>> = plan.rounds.iter().map(names).collect();
            assert_eq!(undone(definition, *turn, now), expected, "{state:?}");
        }
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn the_preview_says_what_the_machine_does() {
    walk(&Definition::of::<Trip>().unwrap(), 4);
    walk(&Definition::of::<Tour>().unwrap(), 5);
}

/// Walks at random through sagas, and compares wherever it comes; the most that there is to undo.
fn walk(definition: &Definition, most: usize) {
    let outline = definition.outline();
    let (mut refusals, mut rounds) = (0, 0);
    for seed in 1..400 {
        let mut dice = Dice(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        let mut now = Time::default();
        let id = SagaId(uuid::Uuid::from_u128(u128::from(seed)));
        let mut state = machine::start(definition, id, Json::null(), now).next;
        for _ in 0..40 {
            compare(definition, &state, now);
            let plan = cancel(outline, &state);
            refusals += usize::from(plan.refused.is_some());
            rounds = rounds.max(plan.rounds.iter().flatten().count());
            now += std::time::Duration::from_millis(dice.roll(8000));
            let waiting = open(outline, &state);
            let event = match dice.roll(8) {
                0 => Event::TimerFired,
                1 => act(
                    [OperatorCommand::Pause, OperatorCommand::Resume, OperatorCommand::Retry]
                        [dice.roll(3) as usize]
                        .clone(),
                    &state,
                ),
                _ if waiting.is_empty() => Event::TimerFired,
                _ => {
                    let next = waiting[dice.roll(waiting.len() as u64) as usize];
                    let reply = answer(&mut dice);
                    replied(outline, &state, next, reply)
                }
            };
            if let Decision::Turn(turn) = machine::decide(definition, &state, &event, now) {
                assert!(turn.facts.iter().all(|fact| fact.kind != Kind::Cancelled));
                state = turn.next;
            }
        }
    }
    assert!(refusals > 100 && rounds == most, "the walks went nowhere: {refusals} {rounds}");
}

#[test]
fn a_plan_reads_well_and_has_a_name_of_its_own() {
    let definition = Definition::of::<Trip>().unwrap();
    let outline = definition.outline();
    let now = Time::default();
    let id = SagaId(uuid::Uuid::from_u128(7));
    let mut state = machine::start(&definition, id, Json::null(), now).next;
    let first = cancel(outline, &state);
    for (step, reply) in
        [(0, yes()), (1, Reply::Retry { message: String::new(), after: None }), (2, yes())]
    {
        let event = replied(outline, &state, (step, Op::Action), reply);
        let Decision::Turn(turn) = machine::decide(&definition, &state, &event, now) else {
            unreachable!("an answer to what was sent");
        };
        state = turn.next;
    }
    let plan = cancel(outline, &state);
    assert_eq!(
        plan.to_string(),
        "cancelling it undoes, in this order:
  1. hotel.room  unknown: may have taken effect
     plane.seat  done
     garage.car  in flight: its answer comes first, and a rejection leaves nothing to undo
  2. card.hold   done
"
    );
    assert_eq!(plan.hash().len(), 12);
    assert_eq!(plan.hash(), cancel(outline, &state).hash());
    assert_ne!(plan.hash(), first.hash());
    let other = CancelPlan { facts: plan.facts + 1, ..plan.clone() };
    assert_ne!(plan.hash(), other.hash(), "one more fact is another plan");
}
