//! Which sagas keep the orchestrator busy, by definition, and how many of a definition may: what is triggered beyond
//! that waits in its stream, so that a definition which is flooded fills neither the lanes nor the services that all
//! share. Beside another definition it is fewer: the larger batches of many sagas are what others wait for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use amends::{
    SagaId,
    machine::{OpState, Phase},
    turn::Instance,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::registry::Registry;

/// A saga without a turn for several times as long as others of its definition have between two waits for a service
/// that is slow, or hangs, and is not what keeps others waiting. In these bounds: the first is what a short queue
/// takes, and after the second it is the service.
const QUIET_TURNS: u32 = 4;
const QUIET_MIN: Duration = Duration::from_secs(1);
const QUIET_MAX: Duration = Duration::from_secs(4);

/// A turn counts by this part in the time between two.
const WEIGHT: u32 = 16;

/// A definition whose sagas began within this time is there, beside others.
const LATELY: Duration = Duration::from_secs(4);

/// Beside another definition a part of the sagas may be busy: batches are short then, at near half of the full speed.
const PART: usize = 16;

/// Between two looks for quiet sagas.
const LOOK: Duration = Duration::from_millis(500);

/// A definition, as the lanes tell them apart; 0 for what is not known.
pub(crate) type Class = usize;

/// Counts sagas, and lets them begin.
pub(crate) struct Admission {
    classes: HashMap<String, Class>,
    most: usize,
    counts: Mutex<Counts>,
    /// For each class: notified when there may be room.
    room: Vec<Notify>,
    stop: CancellationToken,
}

struct Counts {
    /// Sagas with a command in flight, and when they had their last turn.
    busy: HashMap<SagaId, (Class, Instant)>,
    /// How many of each class are there or begin.
    of: Vec<usize>,
    /// Whether one of each class waits until it may begin.
    waits: Vec<bool>,
    /// When one of each class was to begin last.
    asked: Vec<Option<Instant>>,
    /// The time between two turns of a saga of each class, of late.
    between: Vec<Duration>,
    looked: Instant,
}

impl Counts {
    fn new(classes: usize) -> Self {
        Self {
            busy: HashMap::new(),
            of: vec![0; classes],
            waits: vec![false; classes],
            asked: vec![None; classes],
            between: vec![Duration::ZERO; classes],
            looked: Instant::now(),
        }
    }

    /// How long a saga of a class is without a turn until it is quiet.
    fn quiet(&self, class: Class) -> Duration {
        (self.between[class] * QUIET_TURNS).clamp(QUIET_MIN, QUIET_MAX)
    }

    fn learn(&mut self, class: Class, between: Duration) {
        let known = self.between[class];
        self.between[class] = known - known / WEIGHT + between / WEIGHT;
    }
}

/// Room for a saga that begins; given back when it is dropped. By then the saga counts as busy, if it is.
pub(crate) struct Place {
    admission: Arc<Admission>,
    class: Class,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.admission.counts();
        self.admission.leave(&mut counts, self.class);
    }
}

impl Admission {
    /// Lets so many sagas of each definition be busy.
    pub(crate) fn new(registry: &Registry, most: usize, stop: CancellationToken) -> Arc<Self> {
        let names = registry.names();
        let classes: HashMap<_, _> = names.into_iter().zip(1..).collect();
        let count = classes.len() + 1;
        let counts = Counts::new(count);
        Arc::new(Self {
            classes,
            most: most.max(1),
            counts: Mutex::new(counts),
            room: (0..count).map(|_| Notify::new()).collect(),
            stop,
        })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many classes there are.
    pub(crate) fn classes(&self) -> usize {
        self.room.len()
    }

    /// The class of a definition.
    pub(crate) fn class(&self, definition: &str) -> Class {
        self.classes.get(definition).copied().unwrap_or(0)
    }

    /// The class of a saga, if it is busy.
    pub(crate) fn class_of(&self, saga: SagaId) -> Class {
        self.counts().busy.get(&saga).map_or(0, |(class, _)| *class)
    }

    /// Waits until a saga may begin. When this process stops, all may: what was delivered is decided.
    pub(crate) async fn admit(self: &Arc<Self>, class: Class) -> Place {
        while !self.enter(class) {
            tokio::select! {
                () = self.room[class].notified() => {}
                () = tokio::time::sleep(LOOK) => {}
                () = self.stop.cancelled() => {
                    self.counts().of[class] += 1;
                    break;
                }
            }
        }
        Place { admission: Arc::clone(self), class }
    }

    fn enter(&self, class: Class) -> bool {
        let mut counts = self.counts();
        self.forget_quiet(&mut counts);
        counts.asked[class] = Some(Instant::now());
        let enters = counts.of[class] < self.limit(&counts, class);
        counts.of[class] += usize::from(enters);
        counts.waits[class] = !enters;
        enters
    }

    fn limit(&self, counts: &Counts, class: Class) -> usize {
        let lately = |asked: &Instant| asked.elapsed() < LATELY;
        let mut others = counts.asked.iter().enumerate().filter(|(other, _)| *other != class);
        let has_company = others.any(|(_, asked)| asked.as_ref().is_some_and(lately));
        if has_company { self.most.div_ceil(PART) } else { self.most }
    }

    /// Notes which sagas are busy after their turns.
    pub(crate) fn note<'a>(&self, instances: impl Iterator<Item = (&'a SagaId, &'a Instance)>) {
        let mut counts = self.counts();
        for (id, instance) in instances {
            let class = self.class(&instance.definition.outline().name);
            self.note_one(&mut counts, *id, class, is_busy(instance));
        }
        self.forget_quiet(&mut counts);
    }

    fn note_one(&self, counts: &mut Counts, id: SagaId, class: Class, busy: bool) {
        let now = Instant::now();
        let before =
            if busy { counts.busy.insert(id, (class, now)) } else { counts.busy.remove(&id) };
        match before {
            Some((class, since)) => {
                counts.learn(class, now - since);
                if !busy {
                    self.leave(counts, class);
                }
            }
            None => counts.of[class] += usize::from(busy),
        }
    }

    fn leave(&self, counts: &mut Counts, class: Class) {
        counts.of[class] = counts.of[class].saturating_sub(1);
        if counts.waits[class] {
            self.room[class].notify_one();
        }
    }

    /// Counts those no more that have been quiet.
    fn forget_quiet(&self, counts: &mut Counts) {
        let now = Instant::now();
        if now - counts.looked < LOOK {
            return;
        }
        counts.looked = now;
        let quiet: Vec<_> = (0..counts.of.len()).map(|class| counts.quiet(class)).collect();
        let gone = counts.busy.extract_if(|_, (class, since)| now - *since >= quiet[*class]);
        for class in gone.map(|(_, (class, _))| class).collect::<Vec<_>>() {
            self.leave(counts, class);
        }
    }
}

fn is_busy(instance: &Instance) -> bool {
    let in_flight = |op: &OpState| op.phase == Phase::InFlight;
    let state = &instance.state;
    !state.paused
        && !state.status.ended()
        && state.steps.iter().any(|step| in_flight(&step.action) || in_flight(&step.compensation))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// Two classes beside 0, and eight sagas of each.
    fn admission() -> (Arc<Admission>, CancellationToken) {
        let (stop, count) = (CancellationToken::new(), 3);
        let counts = Counts::new(count);
        let admission = Admission {
            classes: HashMap::from([("order".to_owned(), 1), ("trip".to_owned(), 2)]),
            most: 8,
            counts: Mutex::new(counts),
            room: (0..count).map(|_| Notify::new()).collect(),
            stop: stop.clone(),
        };
        (Arc::new(admission), stop)
    }

    /// Begins a saga, which is then busy.
    async fn begin(admission: &Arc<Admission>, class: Class) -> SagaId {
        let (place, id) = (admission.admit(class).await, SagaId(Uuid::now_v7()));
        admission.note_one(&mut admission.counts(), id, class, true);
        drop(place);
        id
    }

    fn end(admission: &Admission, id: SagaId) {
        admission.note_one(&mut admission.counts(), id, 0, false);
    }

    async fn waits(admission: &Arc<Admission>, class: Class) -> bool {
        let wait = tokio::time::timeout(Duration::from_millis(100), admission.admit(class));
        wait.await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_busy() {
        let (admission, stop) = admission();
        let mut busy = Vec::new();
        for _ in 0..8 {
            busy.push(begin(&admission, 1).await);
        }
        assert_eq!(admission.class_of(busy[0]), admission.class("order"));
        assert!(waits(&admission, 1).await);
        let again = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { begin(&admission, 1).await }
        });
        tokio::task::yield_now().await;
        end(&admission, busy[0]);
        again.await.unwrap();
        assert_eq!(admission.class_of(busy[0]), 0);
        // One that begins nothing gives its place back.
        assert!(waits(&admission, 1).await);
        end(&admission, busy[1]);
        drop(admission.admit(1).await);
        drop(admission.admit(1).await);
        assert!(!waits(&admission, 1).await);
        begin(&admission, 1).await;
        assert!(waits(&admission, 1).await);
        stop.cancel();
        assert!(!waits(&admission, 1).await);
    }

    #[tokio::test(start_paused = true)]
    async fn beside_another_definition_it_is_a_part() {
        let (admission, _) = admission();
        for _ in 0..3 {
            begin(&admission, 1).await;
        }
        begin(&admission, 2).await;
        assert!(waits(&admission, 1).await && waits(&admission, 2).await, "one of eight");
        // Until nobody has asked for the other for a while; by then all are quiet.
        tokio::time::sleep(LATELY).await;
        for _ in 0..8 {
            begin(&admission, 1).await;
        }
        assert!(waits(&admission, 1).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_service_counts_no_more() {
        let (admission, _) = admission();
        for (turn, quiet) in [(Duration::ZERO, QUIET_MIN), (Duration::from_mins(1), QUIET_MAX)] {
            admission.counts().between[1] = turn;
            for _ in 0..8 {
                begin(&admission, 1).await;
            }
            tokio::time::sleep(quiet - Duration::from_millis(300)).await;
            assert!(waits(&admission, 1).await);
            tokio::time::sleep(LOOK).await;
            assert!(!waits(&admission, 1).await);
        }
    }
}
