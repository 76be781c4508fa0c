//! Services that speak plain NATS, and answer as a seed says: some refuse, break, accept for later,
//! stay silent, answer twice or too late: what sleeps here is a service that takes its time. All keep their
//! books right.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use amends::{AttemptId, Op, StepKind, wire};
use async_nats::jetstream::{self, consumer::PullConsumer};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::{
    ledger::{Ledger, effect_of},
    seen::Seen,
};
use crate::support::Chance;

/// How a service takes one effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Does,
    /// Refuses the first so many attempts of a compensation; an action for ever.
    Refuses(u32),
    /// Breaks so many times first.
    Breaks(u32),
    /// Accepts, and has done it, or refused it, after so many milliseconds.
    Accepts(u64, bool),
    /// Accepts and does it, and says so only when it is asked once more.
    Forgets,
    /// Does it, and its first so many replies are lost.
    Mute(u32),
    /// Its first command is lost.
    Deaf,
    /// Does it, and answers after so many milliseconds.
    Late(u64),
    /// Answers several times, some of them late.
    Repeats,
}

impl Manner {
    fn of_action(chance: &mut Chance, kind: StepKind) -> Self {
        let refuses = if kind == StepKind::Retriable { 10 } else { 70 };
        match chance.below(1000) {
            n if n < refuses => Self::Refuses(u32::MAX),
            80..130 => Self::Breaks(1 + u32::try_from(chance.below(2)).unwrap()),
            130..140 => Self::Breaks(u32::MAX),
            140..180 => Self::Accepts(chance.between(5, 400), true),
            180..195 => Self::Accepts(chance.between(5, 400), kind == StepKind::Retriable),
            195..205 => Self::Forgets,
            205..235 => Self::Mute(1),
            235..245 => Self::Mute(u32::MAX),
            245..265 => Self::Deaf,
            265..290 => Self::Late(chance.between(300, 4_000)),
            290..350 => Self::Repeats,
            _ => Self::Does,
        }
    }

    fn of_compensation(chance: &mut Chance) -> Self {
        match chance.below(1000) {
            0..40 => Self::Refuses(2),
            40..140 => Self::Breaks(1 + u32::try_from(chance.below(2)).unwrap()),
            140..150 => Self::Breaks(u32::MAX),
            150..210 => Self::Accepts(chance.between(5, 400), true),
            210..220 => Self::Forgets,
            220..260 => Self::Mute(1),
            260..280 => Self::Deaf,
            280..310 => Self::Late(chance.between(300, 3_000)),
            310..360 => Self::Repeats,
            _ => Self::Does,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Does => "ok",
            Self::Refuses(_) => "rejected",
            Self::Breaks(_) => "retry",
            Self::Accepts(..) => "pending, then the real reply",
            Self::Forgets => "pending, and no reply until asked",
            Self::Mute(_) => "lost reply",
            Self::Deaf => "lost command",
            Self::Late(_) => "late reply",
            Self::Repeats => "doubled reply",
        }
    }
}

/// A command as a service sees it.
struct Work {
    id: AttemptId,
    service: &'static str,
    /// Names the effect over all sagas.
    path: String,
    kind: StepKind,
}

/// A reply that was deferred.
#[derive(Clone)]
struct Deferred {
    id: AttemptId,
    service: &'static str,
    path: String,
    ok: bool,
    ask_at: Instant,
    asked: u32,
}

/// How long somebody waits for a deferred reply before they ask.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often they ask.
const ASKED_MAX: u32 = 12;

pub(super) struct Services {
    seed: u64,
    jetstream: jetstream::Context,
    pub(super) ledger: Mutex<Ledger>,
    deferred: Mutex<Vec<Deferred>>,
    /// Replies that are still to be published.
    to_come: AtomicUsize,
    /// From now on all goes well.
    mended: AtomicBool,
    /// Commands whose body was not what the plan gives.
    pub(super) wrong: Mutex<Vec<String>>,
    pub(super) seen: Arc<Seen>,
}

impl Services {
    pub(super) fn new(seed: u64, jetstream: jetstream::Context, seen: Arc<Seen>) -> Arc<Self> {
        Arc::new(Self {
            seed,
            jetstream,
            ledger: Mutex::default(),
            deferred: Mutex::default(),
            to_come: AtomicUsize::new(0),
            mended: AtomicBool::new(false),
            wrong: Mutex::default(),
            seen,
        })
    }

    pub(super) fn mend(&self) {
        self.mended.store(true, Ordering::Relaxed);
    }

    /// Whether nothing is to come that was not asked for, and all that came was taken: a late reply opens
    /// a saga again that has ended.
    pub(super) async fn are_silent(&self) -> bool {
        let replies = self.jetstream.get_stream(wire::REPLIES_STREAM).await;
        self.to_come.load(Ordering::Relaxed) == 0
            && replies.is_ok_and(|replies| replies.cached_info().state.messages == 0)
    }

    /// Serves for ever, on whatever stream and consumer there is.
    pub(super) async fn serve(self: Arc<Self>, service: &'static str) {
        let mut beat = tokio::time::interval(Duration::from_millis(100));
        loop {
            beat.tick().await;
            let stream = self.jetstream.get_consumer_from_stream(service, wire::COMMANDS_STREAM);
            let Ok(consumer): Result<PullConsumer, _> = stream.await else { continue };
            let pull = consumer.stream().max_messages_per_batch(100);
            let pull = pull.expires(Duration::from_secs(4)).heartbeat(Duration::from_secs(1));
            let Ok(mut commands) = pull.messages().await else { continue };
            while let Some(Ok(command)) = commands.next().await {
                self.take(service, &command);
                if command.ack().await.is_err() {
                    self.seen.saw("unacked command");
                }
            }
        }
    }

    fn take(self: &Arc<Self>, service: &'static str, command: &jetstream::Message) {
        let id = command.headers.as_ref().unwrap().get(wire::AMENDS_ID).unwrap();
        let id: AttemptId = id.as_str().parse().unwrap();
        let body: Value = serde_json::from_slice(&command.payload).unwrap();
        let kind = match command.subject.rsplit('.').next().unwrap() {
            "do-compensatable" => StepKind::Compensatable,
            "do-pivot" => StepKind::Pivot,
            _ => StepKind::Retriable,
        };
        let input = if id.op == Op::Action { &body } else { &body["input"] };
        let path = format!("{}/{}", input["key"].as_str().unwrap(), id.step);
        self.check(&id, &path, input, &body);
        let work = Work { id, service, path, kind };
        for (after, reply) in self.answers(&work) {
            self.reply(&work, after, &reply);
        }
    }

    /// Whether a command brings what the steps before have answered.
    fn check(&self, id: &AttemptId, path: &str, input: &Value, body: &Value) {
        let key = input["key"].as_str().unwrap();
        let by = |value: &Value, step: &str| match &value["by"] {
            Value::String(by) => *by == format!("{key}/{step}"),
            _ => value.is_null() || value["key"].is_string(),
        };
        let fits = |(step, value): (&String, &Value)| match value {
            Value::Array(all) => {
                all.iter().enumerate().all(|(n, value)| by(value, &format!("{step}.{n}")))
            }
            _ => by(value, step),
        };
        let given = input["of"].as_object().unwrap().iter().all(fits);
        let undone = match &body["output"]["by"] {
            Value::String(by) => by == path,
            _ => true,
        };
        if !(given && undone) {
            self.wrong.lock().unwrap().push(format!("{id}: {body}"));
        }
    }

    /// What a service answers, and after how long.
    fn answers(self: &Arc<Self>, work: &Work) -> Vec<(u64, Value)> {
        let (of, attempt) = (effect_of(&work.id), work.id.attempt);
        let mut chance = Chance::of(self.seed, &format!("{} {}", work.path, work.id.op));
        let undo = work.id.op == Op::Compensation;
        let mut manner = if undo {
            Manner::of_compensation(&mut chance)
        } else {
            Manner::of_action(&mut chance, work.kind)
        };
        if self.mended.load(Ordering::Relaxed) {
            manner = Manner::Does;
        }
        self.seen.saw(&format!("{} answered: {}", work.id.op, manner.as_str()));
        let ledger = &mut self.ledger.lock().unwrap();
        let mut settle =
            || if undo { ledger.undo(&of, &work.path) } else { ledger.act(&of, &work.path) };
        match manner {
            Manner::Refuses(_) if !undo => vec![(0, ledger.reject(&of, &work.path))],
            Manner::Refuses(times) if attempt <= times => {
                vec![(0, json!({"outcome": "rejected", "code": "not_now"}))]
            }
            Manner::Breaks(times) if attempt <= times => {
                let after = chance.below(60);
                vec![(0, json!({"outcome": "retry", "message": "broke", "after_ms": after}))]
            }
            Manner::Accepts(after, ok) => self.accept(ledger, work, Some(after), ok),
            Manner::Forgets => self.accept(ledger, work, None, true),
            Manner::Mute(times) if attempt <= times => {
                settle();
                Vec::new()
            }
            Manner::Deaf if attempt == 1 => Vec::new(),
            Manner::Late(after) => vec![(after, settle())],
            Manner::Repeats => {
                let reply = settle();
                let times = [0, 0, chance.between(1, 200), chance.between(200, 2_000)];
                times.map(|after| (after, reply.clone())).into()
            }
            Manner::Does
            | Manner::Refuses(_)
            | Manner::Breaks(_)
            | Manner::Mute(_)
            | Manner::Deaf => vec![(0, settle())],
        }
    }

    /// Accepts it for later. One that was accepted before is in hand already.
    fn accept(
        self: &Arc<Self>,
        ledger: &mut Ledger,
        work: &Work,
        after: Option<u64>,
        ok: bool,
    ) -> Vec<(u64, Value)> {
        let pending = json!({"outcome": "pending"});
        let reply = match work.id.op {
            Op::Action => ledger.accept(&effect_of(&work.id), &work.path),
            Op::Compensation => pending.clone(),
        };
        if reply == pending {
            let Work { id, service, path, .. } = work;
            let (id, service, path) = (id.clone(), *service, path.clone());
            let deferred =
                Deferred { id, service, path, ok, ask_at: Instant::now() + PATIENCE, asked: 0 };
            self.deferred.lock().unwrap().push(deferred.clone());
            if let Some(after) = after {
                let services = Arc::clone(self);
                self.to_come.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(after)).await;
                    services.finish(&deferred).await;
                    services.to_come.fetch_sub(1, Ordering::Relaxed);
                });
            }
        }
        vec![(0, reply)]
    }

    /// Does what was accepted, and says so.
    async fn finish(&self, deferred: &Deferred) {
        let Deferred { id, path, service, ok, .. } = deferred;
        let of = effect_of(id);
        let reply = {
            let mut ledger = self.ledger.lock().unwrap();
            match (id.op, ok) {
                (Op::Compensation, _) => ledger.undo(&of, path),
                (Op::Action, true) => ledger.act(&of, path),
                (Op::Action, false) => ledger.reject(&of, path),
            }
        };
        self.publish(service, id, &reply).await;
    }

    /// Somebody asks for deferred replies that should have come.
    pub(super) async fn ask(&self) {
        let now = Instant::now();
        let mut due = Vec::new();
        self.deferred.lock().unwrap().retain_mut(|deferred| {
            if deferred.ask_at <= now {
                deferred.asked += 1;
                deferred.ask_at = now + PATIENCE;
                due.push(deferred.clone());
            }
            deferred.asked < ASKED_MAX
        });
        for deferred in due {
            self.finish(&deferred).await;
        }
    }

    fn reply(self: &Arc<Self>, work: &Work, after: u64, reply: &Value) {
        let (services, service, id) = (Arc::clone(self), work.service, work.id.clone());
        let reply = reply.clone();
        self.to_come.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            if after > 0 {
                tokio::time::sleep(Duration::from_millis(after)).await;
            }
            services.publish(service, &id, &reply).await;
            services.to_come.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Publishes a reply once: what no stream takes is lost.
    async fn publish(&self, service: &str, id: &AttemptId, reply: &Value) {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(wire::AMENDS_ID, id.to_string());
        let subject = wire::reply_subject(service);
        let body = reply.to_string().into();
        let stored = match self.jetstream.publish_with_headers(subject, headers, body).await {
            Ok(ack) => ack.await.is_ok(),
            Err(_) => false,
        };
        if !stored {
            self.seen.saw("reply that no stream took");
        }
    }
}
