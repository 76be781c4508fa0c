//! What an event means for a saga.

use super::{
    Decision, Event, Kind, State, Time, Turn, builder::TurnBuilder, nested, operator, reply, timer,
    waits,
};
use crate::{Definition, Json, SagaId};

/// Starts a saga. One that takes locks is queued until [`Event::Granted`].
#[must_use]
pub fn start(definition: &Definition, id: SagaId, input: Json, now: Time) -> Turn {
    let mut turn = TurnBuilder::new(definition, State::new(definition.outline(), id, input), now);
    turn.record(Kind::Started, None, None, None);
    turn.state.queued = definition.outline().locks > 0;
    turn.advance();
    turn.finished()
}

/// Decides what `event` means for a saga in `state`. Pure: the same arguments give the same answer.
/// Any order, repetition or loss of events keeps the guarantees; an event too many changes nothing.
#[must_use]
pub fn decide(definition: &Definition, state: &State, event: &Event, now: Time) -> Decision {
    match event {
        Event::Reply(event) => reply::decide(definition, state, event, now),
        Event::TimerFired => timer::fired(definition, state, now),
        Event::Overdue(by) => timer::overdue(definition, state, *by, now),
        Event::Act(act) => operator::decide(definition, state, act, now),
        Event::Arrived(arrival) => waits::arrived(definition, state, arrival, now),
        Event::Child(end) => nested::ended(definition, state, end, now),
        Event::Granted => waits::granted(definition, state, now),
        Event::Undo(reason) => nested::undo(definition, state, reason, now),
        Event::StartedAgain => Decision::Known(state.in_flight_since(0)),
    }
}
