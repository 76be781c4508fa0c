//! What a run costs: processors, memory, WAL, statements, messages.

use std::{collections::BTreeMap, fs};

use amends::wire;
use amends_app::{During as _, Failed};
use amends_postgres::Database;
use async_nats::jetstream::Context;
use sqlx::Row as _;

/// How the kernel counts processor time, on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// WAL, updates and heap-only updates.
macro_rules! counted {
    ($statements:literal) => {
        concat!(
            "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint,
                (select coalesce(sum(n_tup_upd), 0)::bigint
                 from pg_stat_user_tables where schemaname = 'amends'),
                (select coalesce(sum(n_tup_hot_upd), 0)::bigint
                 from pg_stat_user_tables where schemaname = 'amends'),",
            $statements
        )
    };
}

const COMMITS: &str =
    counted!("(select xact_commit from pg_stat_database where datname = current_database())");

const STATEMENTS: &str = counted!(
    "(select coalesce(sum(s.calls), 0)::bigint
      from pg_stat_statements s join pg_database d on d.oid = s.dbid
      where d.datname = current_database())"
);

/// Counters that only grow, at one time.
#[derive(Default)]
pub(crate) struct Counters {
    wal_bytes: i64,
    updates: i64,
    hot_updates: i64,
    statements: i64,
    messages: u64,
    /// Seconds by process.
    cpu_s: BTreeMap<&'static str, f64>,
}

/// What was used between two times, for one saga.
pub(crate) struct Cost {
    pub(crate) wal_bytes: f64,
    pub(crate) hot_share: Option<f64>,
    pub(crate) statements: f64,
    pub(crate) messages: f64,
    pub(crate) cpu_s_per_1000: BTreeMap<&'static str, f64>,
}

/// Where to read counters.
pub(crate) struct Meter {
    pub(crate) database: Database,
    pub(crate) jetstream: Context,
    /// Whether `pg_stat_statements` counts statements; else commits are counted, which are the same
    /// for whoever commits each statement for itself.
    pub(crate) counts_statements: bool,
}

impl Meter {
    pub(crate) async fn read(&self, pids: &[(&'static str, u32)]) -> Result<Counters, Failed> {
        let sql = if self.counts_statements { STATEMENTS } else { COMMITS };
        let row = sqlx::query(sql).fetch_one(&self.database).await.during("Postgres' counters")?;
        let count = |at: usize| row.try_get(at).during("Postgres' counters");
        let mut counters = Counters {
            wal_bytes: count(0)?,
            updates: count(1)?,
            hot_updates: count(2)?,
            statements: count(3)?,
            ..Counters::default()
        };
        let streams =
            [wire::EVENTS_STREAM, wire::COMMANDS_STREAM, wire::REPLIES_STREAM, wire::SAGAS_STREAM];
        for name in streams {
            let stream = self.jetstream.get_stream(name).await.during("a stream")?;
            counters.messages += stream.cached_info().state.last_sequence;
        }
        counters.cpu_s = processors(pids);
        Ok(counters)
    }
}

impl Counters {
    /// What each of `sagas` used since `before`.
    pub(crate) fn since(&self, before: &Self, sagas: usize) -> Cost {
        let each = |more: f64| more / (sagas.max(1) as f64);
        let updates = self.updates - before.updates;
        let hot = (self.hot_updates - before.hot_updates) as f64;
        let cpu = |(name, s): (&&'static str, &f64)| {
            let more = s - before.cpu_s.get(name).unwrap_or(&0.0);
            (*name, each(more) * 1000.0)
        };
        Cost {
            wal_bytes: each((self.wal_bytes - before.wal_bytes) as f64),
            hot_share: (updates > 0).then(|| hot / updates as f64),
            statements: each((self.statements - before.statements) as f64),
            messages: each(self.messages.saturating_sub(before.messages) as f64),
            cpu_s_per_1000: self.cpu_s.iter().map(cpu).collect(),
        }
    }
}

/// Processor time by process, in seconds.
pub(crate) fn processors(pids: &[(&'static str, u32)]) -> BTreeMap<&'static str, f64> {
    let processes = processes();
    let mut found = BTreeMap::new();
    for (name, pid) in pids {
        *found.entry(*name).or_default() += cpu_s(&processes, *pid);
    }
    found
}

/// Resident memory by process, in MiB. Memory that several share is counted once.
pub(crate) fn memory(pids: &[(&'static str, u32)]) -> BTreeMap<&'static str, f64> {
    let processes = processes();
    let mut found = BTreeMap::new();
    for (name, pid) in pids {
        let kib: u64 = family(&processes, *pid).map(|p| resident_kib(p.pid)).sum();
        *found.entry(*name).or_default() += kib as f64 / 1024.0;
    }
    found
}

/// One line of `/proc/<pid>/stat`.
struct Process {
    pid: u32,
    parent: u32,
    /// Its own, and its ended children's.
    ticks: u64,
    own_ticks: u64,
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(process).collect()
}

fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows begins with the state.
    let fields: Vec<_> = stat.get(stat.rfind(')')? + 2..)?.split(' ').collect();
    let number = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok());
    let own_ticks = number(11)? + number(12)?;
    let ticks = own_ticks + number(13)? + number(14)?;
    Some(Process { pid, parent: fields.get(1)?.parse().ok()?, ticks, own_ticks })
}

/// A process and its children: Postgres has one for each connection. This program's are counted for
/// themselves.
fn family(processes: &[Process], root: u32) -> impl Iterator<Item = &Process> {
    let own = root == std::process::id();
    processes.iter().filter(move |p| p.pid == root || (p.parent == root && !own))
}

fn cpu_s(processes: &[Process], root: u32) -> f64 {
    let ticks = |p: &Process| if root == std::process::id() { p.own_ticks } else { p.ticks };
    family(processes, root).map(ticks).sum::<u64>() as f64 / TICKS_PER_S
}

fn resident_kib(pid: u32) -> u64 {
    let read = |file: &str, field: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field).map(str::to_owned))?;
        line.split_whitespace().next()?.parse().ok()
    };
    read("smaps_rollup", "Pss:").or_else(|| read("status", "VmRSS:")).unwrap_or(0)
}
