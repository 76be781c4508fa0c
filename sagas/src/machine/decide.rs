//! What an event means for a saga.

use super::{
    Fact, Failure, Kind, OpState, OperatorAct, Phase, Send, State, Status, Time,
    advance::{Draft, give_up_at},
    message_json,
};
use crate::{Definition, Json, Op, SagaId, StepKind, Task, wire::Reply};
use std::time::Duration;

/// How long the real reply may take after `pending`, for a step without `within`: a day.
const PENDING_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Something that may move a saga on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A worker answered.
    Reply(ReplyEvent),
    /// It is time to look at what is due.
    Wake,
    /// An operator acts.
    Act(OperatorAct),
    /// An event came, or had come, that a step waits for.
    Arrived(Arrival),
    /// A nested saga has ended.
    Child(ChildEnd),
    /// The saga has all its locks.
    Granted,
    /// The outer saga undoes this one, also when it was completed; with the reason.
    Undo(String),
    /// The saga was started once more, by a redelivery of its trigger or by its business key.
    StartedAgain,
}

/// An event that a step waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The step's name.
    pub step: std::sync::Arc<str>,
    /// The kept event's number: a saga takes each once.
    pub event: i64,
    /// The event's body.
    pub body: Json,
}

/// How a nested saga ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildEnd {
    /// The step's name.
    pub step: std::sync::Arc<str>,
    /// `Completed` or `Compensated`.
    pub status: Status,
    /// Its output, when it was completed.
    pub output: Option<Json>,
    /// Why it turned back, when it did.
    pub error: Option<Failure>,
}

/// A worker's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyEvent {
    /// The step's name.
    pub step: std::sync::Arc<str>,
    /// Action or compensation.
    pub op: Op,
    /// The attempt that it answers.
    pub attempt: u32,
    /// The service that it came from.
    pub service: String,
    /// What it says.
    pub reply: Reply,
}

/// What an event means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Something new: facts to record, at [`State::seq`] and after, and the state after them.
    Turn(Box<Turn>),
    /// Known already. The attempts that the same event sent the first time, as far as they are
    /// still in flight: their publication may have been lost in a crash. What a second fact of that
    /// turn sent, and what a wake sent, is left to its timer.
    Known(Vec<Send>),
    /// An operator's act that the saga's state does not allow, with the reason. If the state at hand
    /// may be outdated, ask again with a fresh one.
    Refused(String),
    /// Not possible in this saga. If the state at hand may be outdated, ask again with a fresh one.
    Unexpected(Unexpected),
}

/// A decided turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// What to record.
    pub facts: Vec<Fact>,
    /// The state after it.
    pub next: State,
}

/// Why a reply cannot belong to a saga.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unexpected {
    /// No such step.
    #[error("the saga has no step `{0}`")]
    Step(String),
    /// Another service's step.
    #[error("the step `{step}` belongs to the service `{owner}`, not to `{service}`")]
    Service {
        /// The step.
        step: String,
        /// Its service.
        owner: String,
        /// The one that answered.
        service: String,
    },
    /// Not a service's work.
    #[error("the step `{0}` is not done by a service")]
    NoCall(String),
    /// Never asked.
    #[error("attempt {attempt} of the {op} of `{step}` was never sent")]
    NeverSent {
        /// The step.
        step: String,
        /// Action or compensation.
        op: Op,
        /// The attempt.
        attempt: u32,
    },
}

/// Starts a saga. One that takes locks is queued until [`Event::Granted`].
#[must_use]
pub fn start(definition: &Definition, id: SagaId, input: Json, now: Time) -> Turn {
    let mut draft = Draft::new(definition, State::new(definition.outline(), id, input), now);
    draft.record(Kind::Started, None, None, None);
    draft.state.queued = definition.outline().locks > 0;
    draft.advance();
    draft.turn()
}

/// Decides what `event` means for a saga in `state`. Pure: the same arguments give the same answer.
/// Any order, repetition or loss of events keeps the guarantees; an event too many changes nothing.
#[must_use]
pub fn decide(definition: &Definition, state: &State, event: &Event, now: Time) -> Decision {
    match event {
        Event::Reply(reply) => on_reply(definition, state, reply, now),
        Event::Wake => on_wake(definition, state, now),
        Event::Act(act) => super::act::decide(definition, state, act, now),
        Event::Arrived(arrival) => super::waits::arrived(definition, state, arrival, now),
        Event::Child(end) => super::nested::ended(definition, state, end, now),
        Event::Granted => super::waits::granted(definition, state, now),
        Event::Undo(reason) => super::nested::undo(definition, state, reason, now),
        Event::StartedAgain => Decision::Known(in_flight(state, 0)),
    }
}

fn on_reply(definition: &Definition, state: &State, event: &ReplyEvent, now: Time) -> Decision {
    let outline = definition.outline();
    let Some(at) = state.position(outline, &event.step) else {
        return Decision::Unexpected(Unexpected::Step(event.step.to_string()));
    };
    let plan = &outline.steps[state.steps[at].plan];
    let owner = &plan.service;
    if !plan.task.is_call() || (plan.each.is_some() && state.steps[at].element.is_none()) {
        return Decision::Unexpected(Unexpected::NoCall(event.step.to_string()));
    }
    if *owner != event.service {
        return Decision::Unexpected(Unexpected::Service {
            step: event.step.to_string(),
            owner: owner.clone(),
            service: event.service.clone(),
        });
    }
    let op = state.steps[at].op(event.op);
    if op.attempt < event.attempt {
        return Decision::Unexpected(Unexpected::NeverSent {
            step: event.step.to_string(),
            op: event.op,
            attempt: event.attempt,
        });
    }
    let mut draft = Draft::new(definition, state.clone(), now);
    match event.op {
        Op::Action => answer_action(&mut draft, at, event),
        Op::Compensation => answer_compensation(&mut draft, at, event),
    }
    if draft.facts.is_empty() {
        return Decision::Known(in_flight(state, op.settled_by));
    }
    draft.decided()
}

fn answer_action(draft: &mut Draft<'_>, at: usize, event: &ReplyEvent) {
    let op = &draft.state.steps[at].action;
    let (phase, waits) = (op.phase, op.phase.is_open() || op.is_repeated());
    let about = Some((at, Op::Action, event.attempt));
    match &event.reply {
        Reply::Ok(output) if waits => match draft.check_output(at, output) {
            Ok(()) => draft.record(Kind::Done, about, Some(output.clone()), None),
            // The steps after it could not go on: better to turn back now than behind the pivot.
            // An attempt more would bring the same output from the barrier.
            Err(error) if phase != Phase::GivenUp => {
                let message = format!("the output does not fit its type: {error}");
                draft.record(Kind::Broke, about, Some(message_json(None, &message)), None);
                draft.blame(at, "unmappable", &message);
            }
            Err(_) => {}
        },
        Reply::Ok(output)
            if matches!(phase, Phase::Unknown | Phase::Rejected)
                && draft.check_output(at, output).is_ok() =>
        {
            draft.record(Kind::Late, about, Some(output.clone()), None);
            if draft.step(at).kind != StepKind::Compensatable {
                draft.blame(at, "late", "done after it was refused, and it has no compensation");
            }
        }
        Reply::Rejected { code, message } if may_refuse(draft, at, event.attempt) => {
            let detail = message_json(Some(code), message);
            draft.record(Kind::Rejected, about, Some(detail), None);
            draft.blame(at, code, message);
        }
        reply => answer_attempt(draft, at, event, reply),
    }
}

/// Whether a no still changes something: the action is open, or unknown with a compensation that
/// was not sent yet and is now needless. A retriable step that was given up cannot say no twice.
fn may_refuse(draft: &Draft<'_>, at: usize, attempt: u32) -> bool {
    let step = &draft.state.steps[at];
    match step.action.phase {
        Phase::Unknown => step.compensation.attempt == 0,
        phase if draft.step(at).kind == StepKind::Retriable => {
            may_not(phase, &step.action, attempt)
        }
        phase => phase.is_open() || step.action.is_repeated(),
    }
}

/// Whether a no to what must happen still counts: it was not given up before, and an operator who
/// had it repeated knew of the older ones.
fn may_not(phase: Phase, op: &OpState, attempt: u32) -> bool {
    phase.is_open() && !matches!(phase, Phase::GivenUp) && attempt > op.counted_from
}

fn answer_compensation(draft: &mut Draft<'_>, at: usize, event: &ReplyEvent) {
    let op = &draft.state.steps[at].compensation;
    let settles = event.attempt >= op.settle_from;
    let counts = (op.phase.is_open() || op.is_repeated()) && settles;
    let about = Some((at, Op::Compensation, event.attempt));
    match &event.reply {
        Reply::Ok(_) if counts => draft.record(Kind::Done, about, None, None),
        Reply::Rejected { code, message } if counts && may_not(op.phase, op, event.attempt) => {
            draft.record(Kind::Rejected, about, Some(message_json(Some(code), message)), None);
            draft.blame(at, code, &format!("the compensation was refused: {message}"));
        }
        reply => answer_attempt(draft, at, event, reply),
    }
}

/// `retry` and `pending` speak of one attempt, and count only while it is the one in flight.
fn answer_attempt(draft: &mut Draft<'_>, at: usize, event: &ReplyEvent, reply: &Reply) {
    let op = draft.state.steps[at].op(event.op);
    let waits = matches!(op.phase, Phase::InFlight | Phase::Pending);
    let current = op.attempt == event.attempt;
    if !waits || !current {
        return;
    }
    match reply {
        Reply::Retry { message, after } => broke(draft, at, event.op, Kind::Broke, message, *after),
        Reply::Pending if op.phase == Phase::InFlight => pending(draft, at, event),
        _ => {}
    }
}

fn pending(draft: &mut Draft<'_>, at: usize, event: &ReplyEvent) {
    let first_sent = draft.state.steps[at].op(event.op).first_sent.unwrap_or(draft.now);
    let limit = give_up_at(draft.step(at), first_sent, event.op);
    let due = limit.unwrap_or(draft.now + PENDING_MAX);
    // A saga that turned back does not wait for days: it undoes what was accepted.
    let due = (event.op == Op::Compensation || !draft.state.turned).then_some(due);
    draft.record(Kind::Pending, Some((at, event.op, event.attempt)), None, due);
    if due.is_none() {
        draft.blame(at, "unknown", "the saga turned back while the step was pending");
    }
}

/// An attempt broke: it is repeated after a delay, or given up.
fn broke(
    draft: &mut Draft<'_>,
    at: usize,
    op: Op,
    kind: Kind,
    message: &str,
    after: Option<Duration>,
) {
    let plan = draft.step(at);
    let state = draft.state.steps[at].op(op);
    let attempt = state.attempt;
    let retry = if op == Op::Action { plan.retry } else { plan.compensation_retry };
    let effect =
        crate::AttemptId { saga: draft.state.id, step: draft.name(at).into(), op, attempt };
    let counted = attempt - state.counted_from.min(attempt);
    let due = draft.now + after.unwrap_or_else(|| retry.delay(counted, &effect.effect()));
    let limit = give_up_at(plan, state.first_sent.unwrap_or(draft.now), op);
    let given_up = counted >= retry.attempts()
        || limit.is_some_and(|limit| due >= limit)
        || (op == Op::Action && draft.state.turned);
    let due = (!given_up).then_some(due);
    draft.record(kind, Some((at, op, attempt)), Some(message_json(None, message)), due);
    if given_up {
        blame_given_up(draft, at, op, &format!("given up after attempt {attempt}: {message}"));
    }
}

fn blame_given_up(draft: &mut Draft<'_>, at: usize, op: Op, message: &str) {
    let code = match draft.state.steps[at].op(op).phase {
        Phase::Unknown => "unknown",
        Phase::Rejected => "timed_out",
        _ => "given_up",
    };
    draft.blame(at, code, message);
}

fn on_wake(definition: &Definition, state: &State, now: Time) -> Decision {
    if state.paused {
        return Decision::Known(Vec::new());
    }
    let mut draft = Draft::new(definition, state.clone(), now);
    super::waits::deadline(&mut draft);
    let due: Vec<_> = due_ops(&draft.state, now).collect();
    let (resumed, over): (Vec<_>, Vec<_>) = due.into_iter().partition(|(at, op, phase)| {
        let first_sent = draft.state.steps[*at].op(*op).first_sent.unwrap_or(now);
        let limit = give_up_at(draft.step(*at), first_sent, *op);
        *phase == Phase::Backoff && limit.is_none_or(|limit| now < limit)
    });
    for (at, op, phase) in over {
        match draft.step(at).task {
            Task::Delay { .. } | Task::Until => super::waits::elapsed(&mut draft, at),
            _ => time_out(&mut draft, at, op, phase),
        }
    }
    for (at, op, _) in resumed {
        // What is about to be undone is not tried once more.
        if op == Op::Compensation || !draft.blamed() {
            let attempt = draft.state.steps[at].op(op).attempt;
            draft.record(Kind::Resumed, Some((at, op, attempt)), None, None);
            draft.send(at, op, None);
        }
    }
    if draft.facts.is_empty() {
        return Decision::Known(Vec::new());
    }
    draft.decided()
}

fn due_ops(state: &State, now: Time) -> impl Iterator<Item = (usize, Op, Phase)> + '_ {
    let due = move |op: &super::OpState| op.due.is_some_and(|due| due <= now);
    state.steps.iter().enumerate().flat_map(move |(at, step)| {
        [(Op::Action, &step.action), (Op::Compensation, &step.compensation)]
            .into_iter()
            .filter(move |(_, state)| due(state))
            .map(move |(op, state)| (at, op, state.phase))
    })
}

fn time_out(draft: &mut Draft<'_>, at: usize, op: Op, phase: Phase) {
    if phase == Phase::InFlight {
        return broke(draft, at, op, Kind::TimedOut, "no reply in time", None);
    }
    let message = match (&draft.step(at).task, phase) {
        (Task::Event { .. }, _) => "the event did not come in time",
        (Task::Saga { .. }, _) => "the nested saga did not end in time",
        (_, Phase::Backoff) => "its time is over",
        _ => "the deferred reply did not come in time",
    };
    let attempt = draft.state.steps[at].op(op).attempt;
    let detail = message_json(None, message);
    draft.record(Kind::TimedOut, Some((at, op, attempt)), Some(detail), None);
    blame_given_up(draft, at, op, message);
}

/// What fact `seq` sent, as far as it is still in flight; nothing while the saga is held.
fn in_flight(state: &State, seq: u32) -> Vec<Send> {
    let mut sends = Vec::new();
    if state.paused {
        return sends;
    }
    for (step, s) in state.steps.iter().enumerate() {
        for op in [Op::Action, Op::Compensation] {
            let o = s.op(op);
            if let (Phase::InFlight, Some(due)) = (o.phase, o.due)
                && o.sent_by == seq
            {
                sends.push(Send { step, op, attempt: o.attempt, due: Some(due), input: None });
            }
        }
    }
    sends
}
