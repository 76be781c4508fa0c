//! `decide` has an answer for states that nobody would reach, and for any event.

use proptest::{collection::vec, option, prelude::*};

use super::{
    plans::{SERVICES, definition, outline},
    properties::cases,
};
use crate::{
    Json, Op, SagaId,
    machine::{
        Act, ActEvent, Decision, Event, OpState, Phase, ReplyEvent, State, Status, StepState, Time,
        command, decide,
    },
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
    prop::sample::select(vec!["null", "{}", r#"{"no":"field"}"#]).prop_map(Json::trusted)
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
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (status, seq, flags, 0_u32..9, vec(step_state(), steps)).prop_map(
        |(status, seq, (turned, no_output, paused), acted, mut steps)| {
            let (id, input) = (SagaId(uuid::Uuid::nil()), Json::null());
            steps.iter_mut().enumerate().for_each(|(plan, step)| step.plan = plan);
            State {
                id,
                seq,
                status,
                turned,
                no_output,
                paused,
                queued: status == Status::Queued,
                deadline: None,
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
                let (step, service) = (format!("step-{step}").into(), service.to_owned());
                Event::Reply(ReplyEvent { step, op, attempt, service, reply })
            }
        ),
        3 => Just(Event::Wake),
        1 => Just(Event::StartedAgain),
        3 => act().prop_map(Event::Act),
    ]
}

fn act() -> impl Strategy<Value = ActEvent> {
    let step = || (0_usize..26).prop_map(|step| format!("step-{step}"));
    let outcome = prop_oneof![
        json().prop_map(Reply::Ok),
        Just(Reply::Rejected { code: "no".into(), message: String::new() }),
        Just(Reply::Pending),
    ];
    let act = prop_oneof![
        Just(Act::Retry),
        step().prop_map(|step| Act::Skip { step }),
        (step(), outcome).prop_map(|(step, outcome)| Act::Resolve { step, outcome }),
        Just(Act::Cancel),
        Just(Act::Pause),
        Just(Act::Resume),
    ];
    (act, 0_u32..60).prop_map(|(act, seen)| ActEvent {
        act,
        by: "ops".into(),
        reason: "\0\u{202e}".into(),
        seen,
    })
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn decide_always_has_an_answer(
        (outline, state) in outline().prop_flat_map(|o| { let n = o.steps.len(); (Just(o), state(n)) }),
        events in vec((event(), time()), 1..8),
    ) {
        let definition = definition(outline);
        let mut state = state;
        for (event, now) in events {
            match decide(&definition, &state, &event, now) {
                Decision::Turn(turn) => {
                    for send in turn.facts.iter().flat_map(|f| &f.next.sends) {
                        let _ = command(&definition, &turn.next, send);
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
        (outline, state) in outline().prop_flat_map(|o| { let n = o.steps.len(); (Just(o), state(n)) }),
        other in outline(),
    ) {
        let (definition, other) = (definition(outline), definition(other));
        let now = Time::from_timestamp(0, 0).unwrap();
        if let Decision::Turn(turn) = decide(&definition, &state, &Event::Wake, now) {
            let mut folded = State::new(other.outline(), state.id, Json::null());
            turn.facts.iter().for_each(|fact| folded.apply(other.outline(), fact));
        }
    }
}
