//! What the tables hold, as the model has it and as Postgres does. Sagas are told apart by the last digit
//! of their ids.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

pub(super) type Saga = u8;

/// Sagas that a run knows.
pub(super) const SAGAS: Saga = 6;

/// A timer that never fires.
pub(super) const NEVER: i64 = i64::MAX;

pub(super) fn uuid(saga: Saga) -> String {
    format!("00000000-0000-7000-8000-00000000000{saga}")
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Row {
    pub(super) version: u8,
    pub(super) status: String,
    pub(super) key: Option<String>,
    pub(super) error: Option<String>,
}

impl Row {
    pub(super) fn ended(&self) -> bool {
        ["completed", "compensated"].contains(&self.status.as_str())
    }
}

/// Items of the mailbox: id, saga, kind, and what it says. New ones of a prediction have the id 0.
pub(super) type Mail = (i64, Saga, String, String);

/// Acts: id, saga, act, and the facts that the operator saw.
pub(super) type Act = (i64, Saga, String, i64);

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Tables {
    pub(super) sagas: BTreeMap<Saga, Row>,
    pub(super) stuck: BTreeSet<Saga>,
    /// Of the one definition.
    pub(super) keys: BTreeMap<String, Saga>,
    pub(super) facts: BTreeSet<(Saga, i64)>,
    /// In microseconds since 1970.
    pub(super) timers: BTreeMap<Saga, i64>,
    pub(super) mailbox: Vec<Mail>,
    pub(super) acts: Vec<Act>,
    pub(super) decisions: BTreeMap<i64, bool>,
    /// Saga, step, matcher and key.
    pub(super) waits: BTreeSet<(Saga, String, String, String)>,
    /// Source, matcher and key.
    pub(super) events: BTreeSet<(String, String, String)>,
    /// Name, saga, and whether it holds the lock.
    pub(super) locks: BTreeSet<(String, Saga, bool)>,
    /// Whether it was accepted, once it is decided.
    pub(super) requests: BTreeMap<Saga, Option<bool>>,
}

/// The tables at a time of the database.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Dump {
    pub(super) now: i64,
    pub(super) tables: Tables,
}

/// The tables as a [`Dump`].
pub(super) const DUMP: &str = "
select json_build_object('now', (extract(epoch from clock_timestamp()) * 1000000)::bigint, 'tables',
json_build_object(
'sagas', (select coalesce(json_object_agg(right(id::text, 1), json_build_object(
    'version', version, 'status', status, 'key', key, 'error', error ->> 'code')), '{}') from amends.saga),
'stuck', (select coalesce(json_agg(right(saga_id::text, 1)::int), '[]') from amends.stuck_saga),
'keys', (select coalesce(json_object_agg(key, right(saga_id::text, 1)::int), '{}')
    from amends.business_key),
'facts', (select coalesce(json_agg(json_build_array(right(saga_id::text, 1)::int, seq)), '[]')
    from amends.fact),
'timers', (select coalesce(json_object_agg(right(saga_id::text, 1), case when isfinite(due_at)
    then (extract(epoch from due_at) * 1000000)::bigint else 9223372036854775807 end), '{}')
    from amends.timer),
'mailbox', (select coalesce(json_agg(json_build_array(id, right(saga_id::text, 1)::int, kind,
    coalesce(reason, amends_id, ''))), '[]') from amends.mailbox),
'acts', (select coalesce(json_agg(json_build_array(id, right(saga_id::text, 1)::int, act, seen)), '[]')
    from amends.act),
'decisions', (select coalesce(json_object_agg(act_id, accepted), '{}') from amends.act_decision),
'waits', (select coalesce(json_agg(json_build_array(right(saga_id::text, 1)::int, step, matcher, key)),
    '[]') from amends.wait),
'events', (select coalesce(json_agg(json_build_array(source, matcher, key)), '[]') from amends.event),
'locks', (select coalesce(json_agg(json_build_array(name, right(saga_id::text, 1)::int,
    held_since is not null)), '[]') from amends.lock),
'requests', (select coalesce(json_object_agg(right(saga_id::text, 1), accepted), '{}')
    from amends.start_request)))";

/// Leaves the tables empty.
pub(super) const CLEAR: &str = "
delete from amends.act_decision; delete from amends.act; delete from amends.mailbox;
delete from amends.saga; delete from amends.stuck_saga; delete from amends.business_key;
delete from amends.fact; delete from amends.timer; delete from amends.wait; delete from amends.event;
delete from amends.lock; delete from amends.start_request";
