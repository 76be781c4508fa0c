//! What must hold of every state.

use amends::{
    EventId,
    machine::{Phase, State, Status, child_id, open_children},
    turn::Instance,
};

use crate::{
    database::{LEASE, SagaRows},
    happened::Breach,
    message::Message,
    setting::Setting,
    world::World,
};

impl Setting {
    /// The first guarantee that does not hold, if any.
    pub(crate) fn judge(&self, world: &World) -> Option<Breach> {
        let holders = world.database.sagas.iter().filter(|saga| saga.lock == Some(true)).count();
        if holders > 1 {
            return Some(Breach::Lock);
        }
        (0..self.sagas.len()).find_map(|saga| {
            let rows = &world.database.sagas[saga];
            let stored = rows.stored.as_ref()?;
            let instance = &stored.kept.instance;
            self.ledger(world, saga, &instance.state)
                .or_else(|| self.ends(world, instance))
                .or_else(|| timer(world, rows, &instance.state))
                .or_else(|| self.wakes(world, saga, instance))
        })
    }

    /// What the services have done agrees with how the saga ended.
    fn ledger(&self, world: &World, saga: usize, state: &State) -> Option<Breach> {
        let outline = self.sagas[saga].definition.outline();
        for (at, effect) in world.effects[saga].iter().enumerate() {
            let (applied, undone) = (effect.applied, effect.undone);
            if applied > 1 || undone > applied {
                return Some(Breach::Twice);
            }
            let Some(step) = state.steps.get(at) else { continue };
            let plan = &outline.steps[step.plan];
            let list = plan.each.is_some() && step.element.is_none();
            let due = plan.task.is_call() && !list;
            let completed = state.status == Status::Completed
                && step.action.phase != Phase::Skipped
                && (applied != u8::from(due) || undone > 0);
            let compensated = state.status == Status::Compensated
                && step.compensation.phase != Phase::Skipped
                && applied != undone;
            if completed {
                return Some(Breach::OnceCompleted);
            }
            if compensated {
                return Some(Breach::OnceCompensated);
            }
        }
        None
    }

    /// A nested saga ended as its step did.
    fn ends(&self, world: &World, outer: &Instance) -> Option<Breach> {
        let state = &outer.state;
        (0..state.steps.len()).find_map(|at| {
            let child = child_id(&outer.definition, state, at)?;
            let child = world.database.sagas[self.position(child)].state();
            let step = &state.steps[at];
            let agrees = match (state.status, step.action.phase) {
                (Status::Completed, Phase::Done) => {
                    child.is_some_and(|child| child.status == Status::Completed)
                }
                (Status::Compensated, _) => {
                    // What was done late, after its end, has it compensate once more.
                    let back = child.is_none_or(|child| child.turned);
                    back || step.compensation.phase == Phase::Skipped
                }
                _ => true,
            };
            (!agrees).then_some(Breach::Nested)
        })
    }

    /// What waits for a saga, and nobody has told it of yet, has its timer fire.
    fn wakes(&self, world: &World, saga: usize, instance: &Instance) -> Option<Breach> {
        let (rows, state) = (&world.database.sagas[saga], &instance.state);
        if rows.is_in_hand(world.now) {
            return None;
        }
        let ended = open_children(&instance.definition, state).any(|(_, child)| {
            let child = world.database.sagas[self.position(child)].state();
            child.is_some_and(|child| match child.status {
                // What is to be undone was completed before.
                Status::Completed => !state.turned,
                status => status.ended(),
            })
        });
        let arrived = rows.waits.iter().any(|(_, key)| {
            world.database.kept.iter().any(|(event, came)| {
                let id = EventId::of_message("AMENDS_EVENTS", u64::from(*event), *came);
                let taken = state.taken.contains(&id);
                let told = world.pipe.copies(Message::Event(*event, *came)) > 0;
                let fits = self.events[usize::from(*event)].to_string() == *key;
                fits && !taken && !told
            })
        });
        // One that is held before it will wake it, as soon as its own timer fires.
        let passed = world.database.sagas[..saga].iter().any(|other| {
            let held = other.lock == Some(false) && other.state().is_some_and(|s| s.paused);
            held && other.is_in_hand(world.now)
        });
        let free = !world.database.is_barred(saga);
        let granted = state.queued && !state.paused && free && !passed;
        let holds = state.status.ended() && rows.lock.is_some();
        let waits = !rows.mailbox.is_empty() || ended || arrived || granted || holds;
        waits.then_some(Breach::LostWake)
    }
}

/// An open saga has a timer that fires in time, and an ended one none that never does.
fn timer(world: &World, rows: &SagaRows, state: &State) -> Option<Breach> {
    if state.status.ended() {
        return (rows.timer == Some(None)).then_some(Breach::Rests);
    }
    if rows.timer.is_none() {
        return Some(Breach::NoTimer);
    }
    let due = state.due()?;
    let limit = due.max(world.now + LEASE);
    let late = rows.fires_at().is_none_or(|at| at > limit);
    late.then_some(Breach::LateTimer)
}
