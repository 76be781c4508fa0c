//! Services of all characters. A naive one has no barrier, and does whatever comes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::plans::{Drawn, UNREADABLE};
use crate::{
    AttemptId, Definition, Json, Op, SagaId, StepKind, Task,
    machine::{OperatorCommand, Phase, State},
    testing::{AccidentSource, Outcome, RandomAct, SagaView, Services, SplitMix64, Work},
    wire::Reply,
};

/// How a service does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Ok,
    /// Says ok with an output that no mapping can read.
    Unreadable,
    Rejects,
    /// Refuses the first time, and would not the second.
    Fickle,
    /// Breaks so many times first.
    Breaks(u32),
    /// Accepts, and does it after so many seconds, or refuses after all, or forgets it.
    Accepts(u32),
    RefusesLater(u32),
    Forgets,
    /// Does it, but its replies never arrive.
    Mute,
    /// Does nothing.
    Dead,
}

/// How it undoes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undoing {
    Breaks(u32),
    Accepts(u32),
    Rejects,
}

#[derive(Debug, Clone, Copy)]
struct Character {
    manner: Manner,
    undoing: Undoing,
    naive: bool,
}

const GOOD: Character = Character { manner: Manner::Ok, undoing: Undoing::Breaks(0), naive: false };

impl Character {
    fn draw(random: &mut SplitMix64) -> Self {
        let few = |random: &mut SplitMix64| u32::try_from(random.pick(3)).unwrap() + 1;
        let seconds = |random: &mut SplitMix64| u32::try_from(random.pick(100)).unwrap();
        let manner = match random.pick(52) {
            0 => Manner::Unreadable,
            1 => Manner::Rejects,
            2 | 3 => Manner::Fickle,
            4 | 5 => Manner::Breaks(few(random)),
            6 | 7 => Manner::Accepts(seconds(random)),
            8 => Manner::RefusesLater(seconds(random)),
            9 => Manner::Forgets,
            10 => Manner::Mute,
            11 => Manner::Dead,
            _ => Manner::Ok,
        };
        let undoing = match random.pick(14) {
            0 | 1 => Undoing::Breaks(few(random)),
            2 => Undoing::Accepts(seconds(random)),
            3 => Undoing::Rejects,
            _ => Undoing::Breaks(0),
        };
        let naive = random.pick(20) < 3 || (manner == Manner::Fickle && random.chance(2));
        Self { manner, undoing, naive }
    }
}

#[derive(Debug, Clone, Copy)]
struct Member {
    character: Character,
    tries: [u32; 2],
}

/// The services of a run.
pub(super) struct RandomServices {
    random: SplitMix64,
    good: bool,
    plans: BTreeMap<String, Arc<Drawn>>,
    members: BTreeMap<(SagaId, Arc<str>), Member>,
}

impl RandomServices {
    pub(super) fn new(random: SplitMix64, good: bool, plan: &Arc<Drawn>) -> Self {
        let plans = Drawn::all(plan).into_iter().map(|p| (p.outline.name.clone(), p)).collect();
        Self { random, good, plans, members: BTreeMap::new() }
    }

    fn member(&mut self, id: &AttemptId) -> &mut Member {
        let (good, random) = (self.good, &mut self.random);
        self.members.entry((id.saga, Arc::clone(&id.step))).or_insert_with(|| Member {
            character: if good { GOOD } else { Character::draw(random) },
            tries: [0; 2],
        })
    }

    fn known(&self, id: &AttemptId) -> Character {
        let member = self.members.get(&(id.saga, Arc::clone(&id.step)));
        member.map_or(GOOD, |member| member.character)
    }

    fn output(&self, id: &AttemptId) -> Json {
        let length = id.step.len();
        match self.known(id).manner {
            Manner::Unreadable => Json::trusted(UNREADABLE),
            _ if id.step.ends_with(['0', '5']) => Json::null(),
            _ => Json::trusted(&format!(r#"{{"done":{length}}}"#)),
        }
    }

    fn act(&self, id: &AttemptId, tries: u32) -> Outcome {
        match self.known(id).manner {
            Manner::Rejects => Outcome::Settled(rejection("no")),
            Manner::Fickle if tries == 1 => Outcome::Settled(rejection("not_now")),
            Manner::Breaks(times) if tries <= times => Outcome::Broke,
            Manner::Dead => Outcome::Broke,
            Manner::Accepts(s) | Manner::RefusesLater(s) => {
                Outcome::Accepted(Some(Duration::from_secs(s.into())))
            }
            Manner::Forgets => Outcome::Accepted(None),
            Manner::Ok | Manner::Unreadable | Manner::Breaks(_) | Manner::Mute | Manner::Fickle => {
                Outcome::Settled(Reply::Ok(self.output(id)))
            }
        }
    }

    fn compensate(&self, work: &Work<'_>, tries: u32) -> Outcome {
        let character = self.known(work.id);
        if work.action == Some(&Reply::Pending) && !character.naive {
            return Outcome::Nothing;
        }
        match character.undoing {
            Undoing::Breaks(times) if tries <= times => Outcome::Broke,
            Undoing::Breaks(_) => Outcome::Settled(Reply::Ok(Json::null())),
            Undoing::Accepts(s) => Outcome::Accepted(Some(Duration::from_secs(s.into()))),
            Undoing::Rejects => Outcome::Settled(rejection("cannot_undo")),
        }
    }
}

impl Services for RandomServices {
    fn run(&mut self, work: &Work<'_>) -> Outcome {
        let half = usize::from(work.id.op == Op::Compensation);
        let member = self.member(work.id);
        member.tries[half] += 1;
        let tries = member.tries[half];
        match work.id.op {
            Op::Action => self.act(work.id, tries),
            Op::Compensation => self.compensate(work, tries),
        }
    }

    fn finish(&mut self, work: &Work<'_>) -> Reply {
        match (work.id.op, self.known(work.id).manner) {
            (Op::Action, Manner::RefusesLater(_)) => rejection("changed_my_mind"),
            (Op::Action, _) => Reply::Ok(self.output(work.id)),
            (Op::Compensation, _) => Reply::Ok(Json::null()),
        }
    }

    fn naive(&mut self, id: &AttemptId) -> bool {
        self.member(id).character.naive
    }

    fn answers(&self, id: &AttemptId) -> bool {
        id.op == Op::Compensation || !matches!(self.known(id).manner, Manner::Mute | Manner::Dead)
    }

    fn by_hand(&mut self, id: &AttemptId) -> Json {
        self.output(id)
    }

    fn random_act(
        &mut self,
        random: &mut AccidentSource,
        view: &SagaView<'_>,
    ) -> Option<RandomAct> {
        let (outline, state) = (view.definition.outline(), view.state);
        let at = some_step(random, state);
        let name = state.name(outline, at);
        let step = if random.pick(12) == 11 { "nobody".to_owned() } else { name.clone() };
        let act = match random.pick(15) {
            14 => OperatorCommand::GiveOutput((random.pick(2) > 0).then(Json::null)),
            0..=2 => OperatorCommand::Retry,
            3..=5 => OperatorCommand::Skip { step },
            6..=8 if step == name => return Some(outcome(random, view, at)),
            6..=8 => OperatorCommand::Resolve { step, outcome: Reply::Ok(Json::null()) },
            9 => OperatorCommand::Cancel,
            10..=11 => OperatorCommand::Pause,
            _ => OperatorCommand::Resume,
        };
        Some(RandomAct::Act(act))
    }

    fn repair(&mut self, view: &SagaView<'_>) -> Option<Definition> {
        self.good = true;
        for member in self.members.values_mut() {
            member.character = Character { naive: member.character.naive, ..GOOD };
        }
        self.plans.get(&view.definition.outline().name).map(|plan| plan.repaired())
    }
}

/// Mostly one that waits for something.
fn some_step(random: &mut AccidentSource, state: &State) -> usize {
    let open: Vec<_> = (0..state.steps.len()).filter(|at| open(state, *at).is_some()).collect();
    if open.is_empty() || random.pick(4) == 3 {
        return random.pick(state.steps.len());
    }
    open[random.pick(open.len())]
}

/// The truth about a step, or what is not an outcome of it.
fn outcome(random: &mut AccidentSource, view: &SagaView<'_>, at: usize) -> RandomAct {
    let (outline, state) = (view.definition.outline(), view.state);
    let (step, plan) = (state.name(outline, at), &outline.steps[state.steps[at].plan]);
    let yes = random.pick(3) < 2;
    let retriable = plan.kind == StepKind::Retriable;
    let said = |outcome| RandomAct::Act(OperatorCommand::Resolve { step: step.clone(), outcome });
    match open(state, at) {
        // What became of a saga only that saga knows.
        _ if matches!(plan.task, Task::Saga { .. }) => RandomAct::Act(OperatorCommand::Retry),
        _ if random.pick(9) == 8 => said(Reply::Pending),
        Some(op) if plan.task.is_call() && (yes || (op == Op::Action && !retriable)) => {
            RandomAct::Resolve { step, op, yes }
        }
        Some(_) if plan.task.is_call() || !yes => said(rejection("no")),
        _ => said(Reply::Ok(Json::null())),
    }
}

/// What an operator may speak of: also what will be open again by the time they are heard.
fn open(state: &State, at: usize) -> Option<Op> {
    let step = &state.steps[at];
    let open = |op: &Op| {
        let op = step.op(*op);
        op.phase.is_open() || (op.phase == Phase::Idle && op.attempt > 0)
    };
    [Op::Compensation, Op::Action].into_iter().find(open)
}

fn rejection(code: &str) -> Reply {
    Reply::Rejected { code: code.into(), message: String::new() }
}
