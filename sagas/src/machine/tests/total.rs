//! `decide` has an answer for states that nobody would reach, and for any event.

use std::sync::Arc;

use proptest::{collection::vec, option, prelude::*, test_runner::Config};

use super::plans::{Drawn, SERVICES, Taste, plan};
use crate::{
    EventId, Json, Op, SagaId,
    machine::{
        Arrival, ChildEnd, Decision, Event, OpState, OperatorAct, OperatorCommand, OutputState,
        Phase, ReplyEvent, State, Status, StepState, Time, child, command, decide, waits,
    },
    testing::SplitMix64,
    wire::Reply,
};

fn time() -> impl Strategy<Value = Time> {
    (0_i64..4_000_000_000).prop_map(|s| Time::from_timestamp(s, 0).unwrap())
}

fn op_state() -> impl Strategy<Value = OpState> {
    let phase = prop::sample::select(vec![
        Phase::Idle,
        Phase::InFlight,
        Phase::Backoff,
        Phase::Pending,
        Phase::Spread,
        Phase::Done,
        Phase::Rejected,
        Phase::Unknown,
        Phase::GivenUp,
        Phase::Skipped,
    ]);
    let attempt = || prop_oneof![4 => 0_u32..6, 1 => Just(u32::MAX)];
    let (first_sent, due) = (option::of(time()), option::of(time()));
    (phase, attempt(), attempt(), first_sent, due, 0_u32..9, 0_u32..9, attempt()).prop_map(
        |(phase, attempt, counted_from, first_sent, due, sent_by, settled_by, settle_from)| {
            OpState {
                phase,
                attempt,
                counted_from,
                asked_by: sent_by,
                first_sent,
                due,
                sent_by,
                settled_by,
                settle_from,
            }
        },
    )
}

fn json() -> impl Strategy<Value = Json> {
    prop::sample::select(vec!["null", "{}", r#"{"no":"field"}"#, r#"["a","b"]"#])
        .prop_map(Json::trusted)
}

fn step_state() -> impl Strategy<Value = StepState> {
    (op_state(), op_state(), option::of(json()), option::of(json())).prop_map(
        |(action, compensation, input, output)| StepState {
            action,
            compensation,
            input,
            output,
            ..StepState::default()
        },
    )
}

fn state(steps: usize) -> impl Strategy<Value = State> {
    let status = prop::sample::select(vec![
        Status::Running,
        Status::Compensating,
        Status::Completed,
        Status::Compensated,
        Status::Stuck,
        Status::Paused,
        Status::Queued,
    ]);
    let seq = prop_oneof![4 => 0_u32..50, 1 => Just(u32::MAX)];
    let output =
        prop::sample::select(vec![OutputState::Computed, OutputState::Missing, OutputState::Given]);
    let flags = (any::<bool>(), output, any::<bool>());
    let elements = vec((step_state(), 0..steps), 0..4);
    let steps = (vec(step_state(), steps), elements);
    (status, seq, flags, (0_u32..9, option::of(time())), steps).prop_map(
        |(status, seq, (turned, output, paused), (acted, deadline), (mut steps, elements))| {
            let (id, input) = (SagaId(uuid::Uuid::nil()), Json::null());
            steps.iter_mut().enumerate().for_each(|(plan, step)| step.plan = plan);
            steps.extend((0..).zip(elements).map(|(n, (step, plan))| StepState {
                plan,
                element: Some(n),
                ..step
            }));
            State {
                id,
                seq,
                status,
                turned,
                output,
                paused,
                asked: false,
                queued: status == Status::Queued,
                deadline,
                acted,
                input,
                steps,
                taken: Vec::new(),
            }
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let reply = prop_oneof![
        json().prop_map(Reply::Ok),
        Just(Reply::Rejected { code: "no".into(), message: "\0\u{202e}".into() }),
        option::of(any::<u32>()).prop_map(|ms| Reply::Retry {
            message: "x".repeat(10_000),
            after: ms.map(|ms| std::time::Duration::from_millis(ms.into())),
        }),
        Just(Reply::Pending),
    ];
    let op = prop::sample::select(vec![Op::Action, Op::Compensation]);
    let attempt = prop_oneof![4 => 0_u32..6, 1 => Just(u32::MAX)];
    prop_oneof![
        8 => (0_usize..26, op, attempt, prop::sample::select(SERVICES.to_vec()), reply).prop_map(
            |(step, op, attempt, service, reply)| {
                let step = if step < 20 { format!("step-{step}") } else { format!("step-{}.1", step - 20) };
                let (step, service) = (step.into(), service.to_owned());
                Event::Reply(ReplyEvent { step, op, attempt, service, reply })
            }
        ),
        3 => Just(Event::TimerFired),
        2 => time().prop_map(Event::Overdue),
        1 => Just(Event::StartedAgain),
        1 => Just(Event::Granted),
        1 => Just(Event::Undo("\0".into())),
        2 => (0_usize..26, 0_u64..3, time(), json()).prop_map(|(step, event, came, body)| {
            let event = EventId::of_message("EVENTS", event, came);
            Event::Arrived(Arrival { step: format!("step-{step}").into(), event, body })
        }),
        2 => (0_usize..26, any::<bool>(), option::of(json())).prop_map(|(step, done, output)| {
            let status = if done { Status::Completed } else { Status::Compensated };
            let step = format!("step-{step}").into();
            Event::Child(ChildEnd { step, status, output, error: None })
        }),
        3 => act().prop_map(Event::Act),
    ]
}

fn act() -> impl Strategy<Value = OperatorAct> {
    let step = || (0_usize..26).prop_map(|step| format!("step-{step}"));
    let outcome = prop_oneof![
        json().prop_map(Reply::Ok),
        Just(Reply::Rejected { code: "no".into(), message: String::new() }),
        Just(Reply::Pending),
    ];
    let act = prop_oneof![
        Just(OperatorCommand::Retry),
        step().prop_map(|step| OperatorCommand::Skip { step }),
        (step(), outcome).prop_map(|(step, outcome)| OperatorCommand::Resolve { step, outcome }),
        Just(OperatorCommand::Cancel),
        Just(OperatorCommand::Pause),
        Just(OperatorCommand::Resume),
        option::of(json()).prop_map(OperatorCommand::GiveOutput),
    ];
    (act, 0_u32..60).prop_map(|(act, seen)| OperatorAct {
        command: act,
        by: "ops".into(),
        reason: "\0\u{202e}".into(),
        seen,
    })
}

/// `PROPTEST_CASES` asks for more or fewer.
fn cases() -> Config {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    if asked { Config::default() } else { Config::with_cases(1_000) }
}

fn drawn() -> impl Strategy<Value = Arc<Drawn>> {
    any::<u64>()
        .prop_map(|seed| plan(&mut SplitMix64::new(seed), Taste { rich: true, patient: false }))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn decide_always_has_an_answer(
        (plan, state) in drawn().prop_flat_map(|p| {
            let n = p.outline.steps.len();
            (Just(p), state(n))
        }),
        events in vec((event(), time()), 1..8),
    ) {
        let definition = plan.definition();
        let mut state = state;
        for (event, now) in events {
            let _ = waits(&definition, &state);
            match decide(&definition, &state, &event, now) {
                Decision::Turn(turn) => {
                    for send in turn.facts.iter().flat_map(|f| &f.next.sends) {
                        let _ = command(&definition, &turn.next, send);
                        let _ = child(&definition, &turn.next, send);
                    }
                    state = turn.next;
                }
                Decision::Known(sends) => {
                    for send in &sends {
                        let _ = command(&definition, &state, send);
                    }
                }
                Decision::Unexpected(_) | Decision::Refused(_) => {}
            }
        }
    }

    #[test]
    fn a_stored_fact_of_another_plan_is_taken_without_harm(
        (plan, state) in drawn().prop_flat_map(|p| {
            let n = p.outline.steps.len();
            (Just(p), state(n))
        }),
        other in drawn(),
    ) {
        let (definition, other) = (plan.definition(), other.definition());
        let now = Time::from_timestamp(0, 0).unwrap();
        if let Decision::Turn(turn) = decide(&definition, &state, &Event::TimerFired, now) {
            let mut folded = State::new(other.outline(), state.id, Json::null());
            turn.facts.iter().for_each(|fact| folded.apply(other.outline(), fact));
        }
    }
}
