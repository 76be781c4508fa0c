//! What the statements are to do to the tables, in plain words.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    rows::Rows,
    tables::{Act, Dump, Mail, NEVER, Saga, Tables},
};

/// The refusal of what is there already.
pub(super) const TAKEN: &str = "23505";
/// The refusal of a value.
pub(super) const CHECK: &str = "23514";
const NO_DATA: &str = "P0002";
const WRONG_STATE: &str = "55000";

/// The tables as they are to be after a statement.
#[derive(Debug, Clone)]
pub(super) struct Predicted {
    pub(super) tables: Tables,
    /// Timers that are set by the clock of the statement: so much later than what it says.
    pub(super) clocks: BTreeMap<Saga, i64>,
    /// The sagas that are returned, if the statement returns sagas.
    pub(super) returned: Option<Vec<Saga>>,
    /// Acts that are decided as they are noted.
    settled_at_once: usize,
    now: i64,
}

/// A refusal, with one of these codes.
pub(super) type Refused = Vec<&'static str>;

impl Predicted {
    pub(super) fn of(dump: &Dump) -> Self {
        let tables = dump.tables.clone();
        Self { tables, clocks: BTreeMap::new(), returned: None, settled_at_once: 0, now: dump.now }
    }

    /// The saga is to look now. A timer that stands earlier is moved all the same: it may be a lease.
    pub(super) fn wake(&mut self, saga: Saga) {
        match self.tables.timers.get(&saga) {
            Some(due) if *due != NEVER && due - 1 <= self.now => {
                self.tables.timers.insert(saga, due - 1);
            }
            _ => self.sets(saga, 0),
        }
    }

    /// The timer is set by the statement's clock.
    pub(super) fn sets(&mut self, saga: Saga, later: i64) {
        self.tables.timers.insert(saga, self.now);
        self.clocks.insert(saga, later);
    }

    fn wake_all(&mut self, sagas: &BTreeSet<Saga>) {
        for saga in sagas {
            self.wake(*saga);
        }
        self.returned = Some(sagas.iter().copied().collect());
    }

    pub(super) fn commit(&mut self, rows: &Rows) -> Result<(), Refused> {
        let refused = self.refusals(rows);
        if !refused.is_empty() {
            return Err(refused.into_iter().collect());
        }
        let Tables { sagas, stuck, keys, facts, timers, mailbox, acts, decisions, .. } =
            &mut self.tables;
        for (saga, row) in &rows.started {
            sagas.insert(*saga, row.clone());
            keys.extend(row.key.clone().map(|key| (key, *saga)));
            if row.status == "stuck" {
                stuck.insert(*saga);
            }
        }
        for (saga, status, error) in &rows.changed {
            let Some(row) = sagas.get_mut(saga) else { continue };
            row.status.clone_from(status);
            row.error = match status.as_str() {
                "running" | "completed" => None,
                _ => error.clone().or(row.error.take()),
            };
            if status == "stuck" {
                stuck.insert(*saga);
            } else {
                stuck.remove(saga);
            }
        }
        for (saga, due) in rows.armed.iter().collect::<BTreeSet<_>>() {
            let moved = timers.get(saga).map(|old| earlier(*old)).unwrap_or(NEVER);
            timers.insert(*saga, moved.min(*due));
        }
        for (saga, due, leased_until) in rows.rearmed.iter().collect::<BTreeSet<_>>() {
            if let Some(stands) = timers.get_mut(saga) {
                let ours = stands == leased_until;
                *stands = if ours { *due } else { earlier(*stands).min(*due) };
            }
        }
        for saga in &rows.disarmed {
            timers.remove(saga);
        }
        for (id, accepted) in &rows.settled {
            mailbox.retain(|mail| mail.0 != *id);
            if acts.iter().any(|act| act.0 == *id) {
                decisions.insert(*id, *accepted);
            }
        }
        for (saga, reason) in rows.undone.iter().collect::<BTreeSet<_>>() {
            mailbox.push((0, *saga, "undo".into(), reason.clone()));
        }
        facts.extend(rows.facts.iter().map(|(saga, seq, _)| (*saga, *seq)));
        self.waits_and_locks(rows);
        Ok(())
    }

    fn waits_and_locks(&mut self, rows: &Rows) {
        let Tables { waits, locks, requests, .. } = &mut self.tables;
        for wait in &rows.waiting {
            waits.retain(|old| (old.0, &old.1) != (wait.0, &wait.1));
            waits.insert(wait.clone());
        }
        waits.retain(|wait| !rows.found.iter().any(|(s, step)| (*s, step) == (wait.0, &wait.1)));
        locks.extend(rows.queued.iter().map(|(saga, name)| (name.clone(), *saga, false)));
        for (saga, accepted) in &rows.requested {
            if let Some(decided) = requests.get_mut(saga) {
                *decided = Some(*accepted);
            }
        }
    }

    /// Why a batch is refused, as a whole.
    fn refusals(&self, rows: &Rows) -> BTreeSet<&'static str> {
        let Tables { sagas, keys, facts, timers, acts, decisions, locks, .. } = &self.tables;
        let begun: BTreeSet<_> = rows.started.iter().map(|(saga, _)| *saga).collect();
        let ids = rows.started.iter().map(|(saga, _)| *saga);
        let held = rows.started.iter().filter_map(|(_, row)| row.key.clone());
        let first = rows.armed.iter().map(|(saga, _)| *saga).filter(|saga| begun.contains(saga));
        let queued: BTreeSet<_> = rows.queued.iter().collect();
        let decided = rows.settled.iter().map(|(id, _)| *id);
        let decided = decided.filter(|id| acts.iter().any(|act| act.0 == *id));
        let taken = new(ids, |saga| sagas.contains_key(saga))
            && new(held, |key| keys.contains_key(key))
            && new(first, |saga| timers.contains_key(saga))
            && new(decided, |id| decisions.contains_key(id))
            && new(rows.facts.iter().map(|f| (f.0, f.1)), |fact| facts.contains(fact))
            && new(queued.into_iter(), |(saga, name)| {
                locks.iter().any(|lock| (&lock.0, lock.1) == (name, *saga))
            });
        let mut refused = BTreeSet::new();
        if !taken {
            refused.insert(TAKEN);
        }
        if rows.facts.iter().any(|(_, _, attempt)| *attempt < 0) {
            refused.insert(CHECK);
        }
        refused
    }

    /// An event is kept once for each source, matcher and key.
    pub(super) fn keep(&mut self, events: &[(String, String, String)]) {
        self.tables.events.extend(events.iter().cloned());
    }

    /// Those that wait for one of these: matcher and key.
    pub(super) fn wake_waiting(&mut self, events: &[(String, String)]) {
        let waits = self.tables.waits.iter();
        let woken = waits.filter(|w| events.contains(&(w.2.clone(), w.3.clone()))).map(|w| w.0);
        self.wake_all(&woken.collect());
    }

    pub(super) fn park(&mut self, replies: &[(Saga, String)]) {
        for (saga, id) in replies.iter().collect::<BTreeSet<_>>() {
            self.tables.mailbox.push((0, *saga, "reply".into(), id.clone()));
        }
        self.wake_all(&replies.iter().map(|(saga, _)| *saga).collect());
        self.returned = None;
    }

    /// Whether nobody holds what a saga waits for, or came before it.
    fn is_first(&self, saga: Saga) -> bool {
        let locks = &self.tables.locks;
        let wanted = locks.iter().filter(|lock| lock.1 == saga && !lock.2);
        let mut others = wanted.flat_map(|mine| {
            locks.iter().filter(move |other| other.0 == mine.0 && other.1 != saga)
        });
        !others.any(|other| other.2 || other.1 < saga && !self.is_paused(other.1))
    }

    /// One that an operator holds lets others go first.
    fn is_paused(&self, saga: Saga) -> bool {
        self.tables.sagas.get(&saga).is_some_and(|row| row.status == "paused")
    }

    pub(super) fn acquire(&mut self, sagas: &[Saga]) {
        let mut sagas = sagas.to_vec();
        sagas.sort_unstable();
        let mut granted = Vec::new();
        for saga in sagas {
            if self.is_first(saga) {
                let locks = std::mem::take(&mut self.tables.locks).into_iter();
                self.tables.locks =
                    locks.map(|(name, s, held)| (name, s, held || s == saga)).collect();
                granted.push(saga);
            }
        }
        self.returned = Some(granted);
    }

    /// Who is first in the queue of a lock.
    fn head(&self, name: &str) -> Option<Saga> {
        let wanted = self.tables.locks.iter().filter(|lock| lock.0 == name).map(|lock| lock.1);
        wanted.filter(|saga| !self.is_paused(*saga)).min()
    }

    /// Those that wait for locks and are held: whoever comes after them is woken.
    pub(super) fn pass(&mut self, sagas: &[Saga]) {
        let theirs = |lock: &&(String, Saga, bool)| sagas.contains(&lock.1) && !lock.2;
        let names: BTreeSet<_> =
            self.tables.locks.iter().filter(theirs).map(|lock| lock.0.clone()).collect();
        self.wake_all(&names.iter().filter_map(|name| self.head(name)).collect());
    }

    pub(super) fn release(&mut self, sagas: &[Saga]) {
        let theirs = |lock: &&(String, Saga, bool)| sagas.contains(&lock.1);
        let names: BTreeSet<_> =
            self.tables.locks.iter().filter(theirs).map(|lock| lock.0.clone()).collect();
        self.tables.locks.retain(|lock| !sagas.contains(&lock.1));
        self.wake_all(&names.iter().filter_map(|name| self.head(name)).collect());
    }

    /// An act takes the saga's next number.
    fn note(&mut self, saga: Saga, act: &str) {
        let seen = self.seen(saga);
        self.tables.facts.insert((saga, seen));
        self.tables.acts.push((0, saga, act.into(), seen));
        self.tables.mailbox.push((0, saga, "act".into(), String::new()));
    }

    fn seen(&self, saga: Saga) -> i64 {
        let facts = self.tables.facts.iter().filter(|(s, _)| *s == saga);
        facts.map(|(_, seq)| seq + 1).max().unwrap_or(0)
    }

    /// `amends.pause`.
    pub(super) fn act(&mut self, saga: Saga) -> Result<(), Refused> {
        match self.tables.sagas.get(&saga) {
            None => return Err(vec![NO_DATA]),
            Some(row) if row.ended() => return Err(vec![WRONG_STATE]),
            Some(_) => {}
        }
        self.note(saga, "pause");
        self.wake(saga);
        Ok(())
    }

    /// `amends.pause_all`: of those that run and have an empty mailbox, the oldest.
    pub(super) fn act_on_many(&mut self, max: usize) {
        let Tables { sagas, timers, mailbox, .. } = &self.tables;
        let runs = |status: &str| ["running", "compensating", "queued"].contains(&status);
        let open = sagas.iter().filter(|(_, row)| runs(&row.status)).map(|(saga, _)| *saga);
        let free = |saga: &Saga| timers.contains_key(saga) && mailbox.iter().all(|m| m.1 != *saga);
        let chosen: BTreeSet<Saga> = open.filter(free).take(max).collect();
        for saga in &chosen {
            self.note(*saga, "pause");
        }
        self.wake_all(&chosen);
    }

    pub(super) fn break_lock(&mut self, name: &str) -> Result<(), Refused> {
        let held = self.tables.locks.iter().find(|lock| lock.0 == name && lock.2).cloned();
        let Some(held) = held else { return Err(vec![NO_DATA]) };
        self.tables.locks.remove(&held);
        let mut woken: BTreeSet<_> = self.head(name).into_iter().collect();
        if self.tables.sagas.get(&held.1).is_some_and(|row| !row.ended()) {
            self.note(held.1, "break_lock");
            // Twice, where it comes first for the lock, too.
            self.wake(held.1);
        } else {
            self.tables.acts.push((0, held.1, "break_lock".into(), 0));
            self.settled_at_once += 1;
        }
        woken.retain(|saga| *saga != held.1 || !self.clocks.contains_key(saga));
        self.wake_all(&woken);
        self.returned = None;
        Ok(())
    }

    /// Timers that fired, and led to nothing: set again unless somebody moved them.
    pub(super) fn rearm(&mut self, set: &[(Saga, i64, i64)], delete: &[(Saga, i64)]) {
        for (saga, due, leased_until) in set {
            if self.tables.timers.get(saga) == Some(leased_until) {
                self.tables.timers.insert(*saga, *due);
            }
        }
        for (saga, leased_until) in delete {
            if self.tables.timers.get(saga) == Some(leased_until) {
                self.tables.timers.remove(saga);
            }
        }
    }

    /// Timers that may be taken, with when they are due.
    pub(super) fn due(&self, known_only: bool) -> Vec<(i64, Saga)> {
        let foreign = |saga| self.tables.sagas.get(saga).is_some_and(|row| row.version == 2);
        let timers = self.tables.timers.iter().filter(|(_, due)| **due <= self.now);
        let due = timers.filter(|(saga, _)| !(known_only && foreign(*saga)));
        due.map(|(saga, due)| (*due, *saga)).collect()
    }

    /// Sagas whose mail nobody decides; what stands under a lease is in hand.
    pub(super) fn wake_acts(&mut self, lease: i64) {
        let sagas: BTreeSet<_> = self.tables.mailbox.iter().map(|mail| mail.1).collect();
        for saga in sagas {
            if self.tables.timers.get(&saga).is_none_or(|due| *due > self.now + lease) {
                self.sets(saga, 0);
            }
        }
    }

    /// How the tables differ from these, which are of after the statement.
    pub(super) fn differences(&self, before: &Dump, after: &Dump) -> Option<String> {
        let (mut expected, mut found) = (self.tables.clone(), after.tables.clone());
        for (saga, later) in &self.clocks {
            let range = before.now + later..=after.now + later;
            if found.timers.get(saga).is_some_and(|due| range.contains(due)) {
                expected.timers.remove(saga);
                found.timers.remove(saga);
            }
        }
        let posted =
            new_acts(&before.tables.mailbox, &found.mailbox, |mail: &Mail| mail.2 == "act");
        let mut noted = new_acts(&before.tables.acts, &found.acts, |_: &Act| true);
        let all = noted.len();
        noted.retain(|id| found.decisions.remove(id) != Some(true));
        if all - noted.len() != self.settled_at_once {
            return Some(format!("{} acts are settled at once", all - noted.len()));
        }
        if posted != noted {
            return Some(format!("acts {noted:?} are noted, and {posted:?} are in the mailbox"));
        }
        for tables in [&mut expected, &mut found] {
            forget_new(&before.tables.mailbox, &mut tables.mailbox);
            forget_new(&before.tables.acts, &mut tables.acts);
        }
        (expected != found).then(|| format!("expected {expected:#?}\nfound {found:#?}"))
    }
}

/// A microsecond earlier; never stays never.
fn earlier(due: i64) -> i64 {
    if due == NEVER { NEVER } else { due - 1 }
}

/// Whether none of these is there, or comes twice.
fn new<T: Ord>(mut all: impl Iterator<Item = T>, there: impl Fn(&T) -> bool) -> bool {
    let mut seen = BTreeSet::new();
    all.all(|one| !there(&one) && seen.insert(one))
}

trait Numbered {
    fn id(&mut self) -> &mut i64;
}

impl<A, B, C> Numbered for (i64, A, B, C) {
    fn id(&mut self) -> &mut i64 {
        &mut self.0
    }
}

fn known<T: Numbered + Clone>(before: &[T]) -> BTreeSet<i64> {
    before.iter().cloned().map(|mut row| *row.id()).collect()
}

/// The numbers of rows that are new.
fn new_acts<T: Numbered + Clone>(
    before: &[T],
    after: &[T],
    is_act: impl Fn(&T) -> bool,
) -> BTreeSet<i64> {
    let after: Vec<_> = after.iter().filter(|row| is_act(row)).cloned().collect();
    known(&after).difference(&known(before)).copied().collect()
}

/// Leaves new rows without their number, and puts all in order.
fn forget_new<T: Numbered + Clone + Ord>(before: &[T], rows: &mut [T]) {
    let known = known(before);
    for row in rows.iter_mut() {
        if !known.contains(row.id()) {
            *row.id() = 0;
        }
    }
    rows.sort();
}
