//! What is done to the tables: operations that are drawn, and what each is on the tables that it meets.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    collection::{btree_map, btree_set, vec},
    option::{of, weighted},
    prelude::*,
};

use super::{
    rows::{Rows, column, lease, rearmed, sagas},
    tables::{Dump, NEVER, Row, SAGAS, Saga, uuid},
    world::{Predicted, Refused},
};
use crate::statements::{Session, Value};

/// In microseconds: timers under a lease are not due within a test.
const LEASE: i64 = 1_000_000_000;

/// All that is counted, by the statement or the function.
pub(super) const NAMES: [&str; 17] = [
    "facts",
    "starts",
    "changes",
    "everything",
    "keep",
    "wake_waiting",
    "park",
    "acquire",
    "release",
    "pass",
    "note_act",
    "note_acts",
    "break_lock",
    "claim_timers",
    "claim_known_timers",
    "rearm_timers",
    "wake_acts",
];

/// Those that are refused now and then.
pub(super) const REFUSED: [&str; 6] =
    ["facts", "starts", "changes", "everything", "note_act", "break_lock"];

const STATUSES: [&str; 7] =
    ["running", "running", "compensating", "completed", "compensated", "stuck", "queued"];

#[derive(Debug, Clone)]
pub(super) enum Operation {
    Commit(Commit),
    /// Source, matcher and key.
    Keep(Vec<(u8, u8, u8)>),
    WakeWaiting(Vec<(u8, u8)>),
    Park(Vec<(Saga, u8)>),
    Acquire(Vec<Saga>),
    Release(Vec<Saga>),
    Pass(Vec<Saga>),
    Act(Saga),
    ActOnMany(usize),
    BreakLock(u8),
    Claim {
        limit: usize,
        known_only: bool,
    },
    Rearm {
        timers: BTreeMap<Saga, (When, bool)>,
        deleted: BTreeMap<Saga, bool>,
        twice: bool,
    },
    WakeActs,
    /// Somebody asks for a start by SQL.
    Request(Saga),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    Past,
    Future,
    Never,
}

#[derive(Debug, Clone)]
enum TimerChange {
    Keep,
    Set(When),
    /// It fired; whether it stands where it was found.
    Rearm(When, bool),
    Delete,
}

/// Which parts a batch has.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Flavour {
    Facts,
    Starts,
    Changes,
    All,
}

#[derive(Debug, Clone)]
pub(super) struct Commit {
    flavour: Flavour,
    changes: BTreeMap<Saga, Change>,
    wakes: BTreeSet<Saga>,
    settled: BTreeMap<usize, bool>,
    requested: Option<(Saga, bool)>,
    /// The parts that repeat themselves.
    repeat: u16,
    /// It was decided on what is outdated by now.
    stale: bool,
    /// A value that a constraint refuses.
    refused: bool,
}

#[derive(Debug, Clone)]
struct Change {
    starts: bool,
    version: u8,
    key: Option<u8>,
    status: Option<usize>,
    error: bool,
    facts: u8,
    timer: TimerChange,
    wait: Option<(u8, u8, u8)>,
    found: Option<u8>,
    undo: Option<u8>,
    locks: BTreeSet<u8>,
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![Just(When::Past), Just(When::Future), Just(When::Never)]
}

fn change() -> impl Strategy<Value = Change> {
    let timer = prop_oneof![
        Just(TimerChange::Keep),
        when().prop_map(TimerChange::Set),
        (when(), any::<bool>()).prop_map(|(when, stands)| TimerChange::Rearm(when, stands)),
        Just(TimerChange::Delete),
    ];
    let row = (any::<bool>(), 1..=2_u8, of(0..4_u8), of(0..STATUSES.len()), any::<bool>());
    let rare = (
        weighted(0.3, (0..2_u8, 0..2_u8, 0..2_u8)),
        weighted(0.3, 0..2_u8),
        weighted(0.1, 0..2_u8),
        btree_set(0..3_u8, 0..3),
    );
    (row, 0..3_u8, timer, rare).prop_map(|(row, facts, timer, (wait, found, undo, locks))| {
        let (starts, version, key, status, error) = row;
        Change { starts, version, key, status, error, facts, timer, wait, found, undo, locks }
    })
}

/// The parts of which a key refuses a repetition: sagas, acts, facts.
const UNIQUE: u16 = 1 | 1 << 5 | 1 << 11;

fn commit() -> impl Strategy<Value = Commit> {
    use Flavour::{All, Changes, Facts, Starts};
    let flavour = prop_oneof![Just(Facts), Just(Starts), Just(Changes), Just(All), Just(All)];
    let repeat =
        prop_oneof![3 => Just(0), 3 => any::<u16>().prop_map(|r| r & !UNIQUE), 1 => any::<u16>()];
    let others = (
        btree_set(0..SAGAS, 0..3),
        btree_map(0..4_usize, any::<bool>(), 0..3),
        weighted(0.2, (0..SAGAS, any::<bool>())),
    );
    let faults = (repeat, prop::bool::weighted(0.1), prop::bool::weighted(0.03));
    (flavour, btree_map(0..SAGAS, change(), 1..4), others, faults).prop_map(
        |(flavour, changes, (wakes, settled, requested), (repeat, stale, refused))| Commit {
            flavour,
            changes,
            wakes,
            settled,
            requested,
            repeat,
            stale,
            refused,
        },
    )
}

pub(super) fn operation() -> impl Strategy<Value = Operation> {
    use Operation as O;
    let some = || vec(0..SAGAS, 1..5);
    let bools = any::<bool>;
    let rearm =
        (btree_map(0..SAGAS, (when(), bools()), 0..3), btree_map(0..SAGAS, bools(), 0..3), bools());
    prop_oneof![
        16 => commit().prop_map(O::Commit),
        2 => vec((0..4_u8, 0..2_u8, 0..2_u8), 1..5).prop_map(O::Keep),
        2 => vec((0..2_u8, 0..2_u8), 1..4).prop_map(O::WakeWaiting),
        2 => vec((0..SAGAS, 0..2_u8), 1..5).prop_map(O::Park),
        3 => some().prop_map(O::Acquire),
        2 => some().prop_map(O::Release),
        2 => some().prop_map(O::Pass),
        2 => (0..SAGAS).prop_map(O::Act),
        1 => (1..4_usize).prop_map(O::ActOnMany),
        2 => (0..3_u8).prop_map(O::BreakLock),
        3 => (1..4_usize, bools()).prop_map(|(limit, known_only)| O::Claim { limit, known_only }),
        2 => rearm.prop_map(|(timers, deleted, twice)| O::Rearm { timers, deleted, twice }),
        1 => Just(O::WakeActs),
        1 => (0..SAGAS).prop_map(O::Request),
    ]
}

fn name(kind: &str, n: u8) -> String {
    format!("{kind}{n}")
}

/// A time for a saga's timer; no two of one kind are the same.
fn time(when: When, saga: Saga) -> i64 {
    match when {
        When::Past => 978_307_200_000_000 + i64::from(saga) * 1_000_000,
        When::Future => 4_133_980_800_000_000 + i64::from(saga) * 1_000_000,
        When::Never => NEVER,
    }
}

/// When a timer was found to be due until.
fn leased(before: &Dump, saga: Saga, stands: bool) -> i64 {
    let found = before.tables.timers.get(&saga).copied().filter(|_| stands);
    found.unwrap_or(2_524_608_000_000_000)
}

/// Timers that are set again (saga, time, end of the lease), and those that are deleted.
type Leases = (Vec<(Saga, i64, i64)>, Vec<(Saga, i64)>);

impl Commit {
    /// The rows that it writes to these tables.
    fn rows(&self, before: &Dump) -> Rows {
        let mut rows = Rows::default();
        for (saga, change) in &self.changes {
            self.add(&mut rows, before, *saga, change);
        }
        let changes = self.changes.keys().copied().collect();
        if self.flavour == Flavour::Changes || self.flavour == Flavour::All {
            let others = self.wakes.difference(&changes);
            rows.armed.extend(others.map(|saga| (*saga, time(When::Past, *saga))));
        }
        if self.flavour == Flavour::All {
            let mail = before.tables.mailbox.iter().map(|mail| mail.0);
            let decided = before.tables.decisions.keys().copied().filter(|_| self.stale);
            let ids: Vec<_> = mail.chain(decided).collect();
            let settled = self.settled.iter();
            rows.settled = settled.filter_map(|(n, yes)| Some((*ids.get(*n)?, *yes))).collect();
            rows.requested.extend(self.requested);
        }
        if let (true, Some(fact)) = (self.refused, rows.facts.first_mut()) {
            fact.2 = -1;
        }
        rows.repeat(self.repeat);
        rows
    }

    fn add(&self, rows: &mut Rows, before: &Dump, saga: Saga, change: &Change) {
        let tables = &before.tables;
        let starts = match self.flavour {
            Flavour::Facts | Flavour::Changes => false,
            Flavour::Starts => true,
            Flavour::All => change.starts,
        } && (self.stale || !tables.sagas.contains_key(&saga));
        let status = STATUSES[change.status.unwrap_or(0)].to_owned();
        let error = change.error.then(|| name("e", saga));
        if starts {
            let key = change.key.map(|key| name("k", key));
            let free = |key: &String| {
                let started = |(_, row): &(Saga, Row)| row.key.as_ref() == Some(key);
                !tables.keys.contains_key(key) && !rows.started.iter().any(started)
            };
            let key = key.filter(|key| self.stale || free(key));
            rows.started.push((saga, Row { version: change.version, status, key, error }));
        } else if change.status.is_some()
            && !matches!(self.flavour, Flavour::Facts | Flavour::Starts)
        {
            rows.changed.push((saga, status, error));
        }
        self.add_timer(rows, before, saga, change, starts);
        let next = tables.facts.iter().filter(|(s, _)| *s == saga).map(|(_, seq)| seq + 1).max();
        let first = (next.unwrap_or(0) - i64::from(self.stale)).max(0);
        rows.facts.extend((first..).take(change.facts.into()).map(|seq| (saga, seq, 0)));
        if self.flavour == Flavour::All {
            self.add_rare(rows, before, saga, change);
        }
    }

    /// A saga that starts has its timer set, or deleted where it ends at once.
    fn add_timer(&self, rows: &mut Rows, before: &Dump, saga: Saga, change: &Change, starts: bool) {
        let stands = before.tables.timers.contains_key(&saga);
        match (&change.timer, self.flavour) {
            (_, Flavour::Facts) => {}
            (TimerChange::Set(when), _) if starts && (!stands || self.stale) => {
                rows.armed.push((saga, time(*when, saga)));
            }
            (_, Flavour::Starts) if starts && !stands => {
                rows.armed.push((saga, time(When::Future, saga)));
            }
            (_, Flavour::Starts) => {}
            (TimerChange::Keep, _) => {}
            (TimerChange::Set(_), _) if starts => {}
            (TimerChange::Set(when), _) => rows.armed.push((saga, time(*when, saga))),
            (TimerChange::Rearm(when, stands), _) => {
                rows.rearmed.push((saga, time(*when, saga), leased(before, saga, *stands)));
            }
            (TimerChange::Delete, _) => rows.disarmed.push(saga),
        }
    }

    fn add_rare(&self, rows: &mut Rows, before: &Dump, saga: Saga, change: &Change) {
        if let Some((step, matcher, key)) = change.wait {
            rows.waiting.push((saga, name("s", step), name("m", matcher), name("k", key)));
        }
        // Of a step's waits only the last change is written.
        if let Some(step) = change.found.filter(|step| change.wait.map(|w| w.0) != Some(*step)) {
            rows.found.push((saga, name("s", step)));
        }
        rows.undone.extend(change.undo.map(|reason| (saga, name("r", reason))));
        let names = change.locks.iter().map(|lock| name("l", *lock));
        let has = |lock: &String| {
            let mut locks = before.tables.locks.iter();
            locks.any(|(name, s, _)| (name, *s) == (lock, saga))
        };
        let wanted = names.filter(|name| self.stale || !has(name));
        rows.queued.extend(wanted.map(|name| (saga, name)));
    }
}

impl Operation {
    /// The statement or function.
    pub(super) fn name(&self, before: &Dump) -> &'static str {
        match self {
            Self::Commit(commit) => commit.rows(before).statement(),
            Self::Keep(_) => "keep",
            Self::WakeWaiting(_) => "wake_waiting",
            Self::Park(_) => "park",
            Self::Acquire(_) => "acquire",
            Self::Release(_) => "release",
            Self::Pass(_) => "pass",
            Self::Act(_) => "note_act",
            Self::ActOnMany(_) => "note_acts",
            Self::BreakLock(_) => "break_lock",
            Self::Claim { known_only: false, .. } => "claim_timers",
            Self::Claim { known_only: true, .. } => "claim_known_timers",
            Self::Rearm { .. } => "rearm_timers",
            Self::WakeActs => "wake_acts",
            Self::Request(_) => "request",
        }
    }

    /// Brings about what the operation is about; whether it changes the tables.
    pub(super) async fn prepare(&self, session: &mut Session) -> bool {
        let sql = match self {
            Self::WakeActs => "update amends.mailbox set at = '2001-01-01'".to_owned(),
            Self::Request(saga) => format!(
                "insert into amends.start_request (saga_id, definition, input, actor)
                 values ('{}', 'order', '{{}}', 'ann') on conflict do nothing",
                uuid(*saga)
            ),
            _ => return false,
        };
        session.ask(&sql).await.unwrap();
        true
    }

    /// Takes what it does to the prediction.
    pub(super) fn predict(&self, before: &Dump, predicted: &mut Predicted) -> Result<(), Refused> {
        match self {
            Self::Commit(commit) => return predicted.commit(&commit.rows(before)),
            Self::Keep(events) => predicted.keep(&named(events)),
            Self::WakeWaiting(events) => {
                let event = |(matcher, key): &(u8, u8)| (name("m", *matcher), name("k", *key));
                predicted.wake_waiting(&events.iter().map(event).collect::<Vec<_>>());
            }
            Self::Park(replies) => {
                let reply = |(saga, id): &(Saga, u8)| (*saga, name("i", *id));
                predicted.park(&replies.iter().map(reply).collect::<Vec<_>>());
            }
            Self::Acquire(sagas) => predicted.acquire(sagas),
            Self::Release(sagas) => predicted.release(sagas),
            Self::Pass(sagas) => predicted.pass(sagas),
            Self::Act(saga) => return predicted.act(*saga),
            Self::ActOnMany(max) => predicted.act_on_many(*max),
            Self::BreakLock(lock) => return predicted.break_lock(&name("l", *lock)),
            Self::Rearm { .. } => {
                let (set, delete) = self.leases(before);
                predicted.rearm(&set, &delete);
            }
            Self::WakeActs => predicted.wake_acts(LEASE),
            // Which are taken Postgres says: see `check`.
            Self::Claim { .. } | Self::Request(_) => {}
        }
        Ok(())
    }

    fn leases(&self, before: &Dump) -> Leases {
        let Self::Rearm { timers, deleted, .. } = self else { return Default::default() };
        let set = timers.iter().map(|(saga, (when, stands))| {
            (*saga, time(*when, *saga), leased(before, *saga, *stands))
        });
        let others = deleted.iter().filter(|(saga, _)| !timers.contains_key(saga));
        let delete = others.map(|(saga, stands)| (*saga, leased(before, *saga, *stands)));
        (set.collect(), delete.collect())
    }

    pub(super) async fn run(
        &self,
        before: &Dump,
        session: &mut Session,
    ) -> sqlx::Result<Vec<Vec<String>>> {
        let one = |literal: &str| Value::One(literal.to_owned());
        let values = match self {
            Self::Commit(commit) => {
                let rows = commit.rows(before);
                let values = rows.values(session);
                return session.run(rows.statement(), &values).await;
            }
            Self::Act(saga) => {
                return session
                    .ask(&format!("select amends.pause('{}', 'why')", uuid(*saga)))
                    .await;
            }
            Self::ActOnMany(max) => {
                let all = format!("select * from amends.pause_all(null, null, null, {max}, 'why')");
                return session.ask(&all).await;
            }
            Self::BreakLock(lock) => {
                return session.ask(&format!("select amends.break_lock('l{lock}', 'why')")).await;
            }
            Self::Request(_) => return Ok(Vec::new()),
            Self::Keep(events) => {
                let events = named(events);
                vec![
                    one("'order'"),
                    Value::Array(Vec::new()),
                    one("'s'"),
                    column(&events, |e| Some(e.1.clone())),
                    column(&events, |e| Some(e.2.clone())),
                    column(&events, |e| Some(e.0.clone())),
                    column(&events, |_| Some("{}".into())),
                ]
            }
            Self::WakeWaiting(events) => vec![
                column(events, |e| Some(name("m", e.0))),
                column(events, |e| Some(name("k", e.1))),
            ],
            Self::Park(replies) => vec![
                sagas(replies, |r| r.0),
                column(replies, |r| Some(name("i", r.1))),
                column(replies, |_| Some("{}".into())),
                column(replies, |_| Some("shop".into())),
                column(replies, |_| Some("2026-01-01 00:00:00+00".into())),
            ],
            Self::Acquire(ids) | Self::Release(ids) | Self::Pass(ids) => {
                vec![sagas(ids, |saga| *saga)]
            }
            Self::Claim { limit, known_only } => {
                let (limit, lease) = (one(&limit.to_string()), one("1000"));
                let but = known_only.then(|| Value::Array(vec![Some("order@2".into())]));
                [limit, lease]
                    .into_iter()
                    .chain(but)
                    .chain([one("0"), one("'2000-01-01'")])
                    .collect()
            }
            Self::Rearm { twice, .. } => {
                let (set, delete) = self.leases(before);
                let deleted =
                    [sagas(&delete, |d| d.0), column(&delete, |d| lease(d.1))].into_iter();
                let all = rearmed(&set).into_iter().chain(deleted);
                all.map(|v| if *twice { v.doubled() } else { v }).collect()
            }
            Self::WakeActs => vec![one("1000")],
        };
        let statement = self.name(before);
        let numbers = session.part(statement, "");
        assert_eq!(numbers.len(), values.len(), "{statement}");
        session.run(statement, &numbers.into_iter().zip(values).collect()).await
    }

    /// Checks what was returned.
    pub(super) fn check(
        &self,
        before: &Dump,
        predicted: &mut Predicted,
        rows: &[Vec<String>],
    ) -> Result<(), String> {
        let saga = |row: &Vec<String>| row[0].chars().last().and_then(|c| c.to_digit(10));
        let returned = || rows.iter().map(|row| u8::try_from(saga(row).unwrap()).unwrap());
        if let Self::Keep(_) = self
            && rows != [["f"]]
        {
            return Err(format!("nobody else waits for it, and {rows:?}"));
        }
        if let Self::Claim { limit, known_only } = self {
            return claimed(predicted, *limit, *known_only, &returned().collect());
        }
        let Some(expected) = &predicted.returned else { return Ok(()) };
        let mut found: Vec<_> = returned().collect();
        found.sort_unstable();
        let same = found == *expected;
        same.then_some(())
            .ok_or(format!("{found:?} are returned at {}, not {expected:?}", before.now))
    }
}

fn named(events: &[(u8, u8, u8)]) -> Vec<(String, String, String)> {
    let event = |(source, matcher, key): &(u8, u8, u8)| {
        (name("src", *source), name("m", *matcher), name("k", *key))
    };
    events.iter().map(event).collect()
}

/// The oldest that are due are taken, and as many as are asked for.
fn claimed(
    predicted: &mut Predicted,
    limit: usize,
    known_only: bool,
    taken: &BTreeSet<Saga>,
) -> Result<(), String> {
    let due = predicted.due(known_only);
    let (gone, left): (Vec<_>, Vec<_>) = due.iter().partition(|(_, saga)| taken.contains(saga));
    let last = gone.iter().map(|(due, _)| due).max();
    let first = left.iter().map(|(due, _)| due).min();
    let in_order = first.is_none_or(|first| last.is_none_or(|last| last <= first));
    if gone.len() != taken.len() || taken.len() != limit.min(due.len()) || !in_order {
        return Err(format!("of {due:?}, {limit} at most, {taken:?} were taken"));
    }
    for saga in taken {
        predicted.sets(*saga, LEASE);
    }
    Ok(())
}
