//! What a batch writes, as rows of the parts of its statement.

use std::collections::{BTreeMap, BTreeSet};

use super::tables::{NEVER, Row, Saga, uuid};
use crate::statements::{Session, Value};

/// Rows for the parts of a commit; any of them may stand there twice.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    pub(super) started: Vec<(Saga, Row)>,
    pub(super) changed: Vec<(Saga, String, Option<String>)>,
    pub(super) armed: Vec<(Saga, i64)>,
    /// The time, and the end of the lease.
    pub(super) rearmed: Vec<(Saga, i64, i64)>,
    pub(super) disarmed: Vec<Saga>,
    pub(super) settled: Vec<(i64, bool)>,
    pub(super) undone: Vec<(Saga, String)>,
    pub(super) waiting: Vec<(Saga, String, String, String)>,
    pub(super) found: Vec<(Saga, String)>,
    pub(super) queued: Vec<(Saga, String)>,
    pub(super) requested: Vec<(Saga, bool)>,
    /// With the number of the attempt, which is never negative.
    pub(super) facts: Vec<(Saga, i64, i64)>,
}

fn twice<T: Clone>(rows: &mut Vec<T>) {
    *rows = rows.iter().flat_map(|row| [row.clone(), row.clone()]).collect();
}

impl Rows {
    /// Repeats each row of the parts in these places, of twelve.
    pub(super) fn repeat(&mut self, parts: u16) {
        let Self {
            started,
            changed,
            armed,
            rearmed,
            disarmed,
            settled,
            undone,
            waiting,
            found,
            queued,
            requested,
            facts,
        } = self;
        let all: [&mut dyn FnMut(); 12] = [
            &mut || twice(started),
            &mut || twice(changed),
            &mut || twice(armed),
            &mut || twice(rearmed),
            &mut || twice(disarmed),
            &mut || twice(settled),
            &mut || twice(undone),
            &mut || twice(waiting),
            &mut || twice(found),
            &mut || twice(queued),
            &mut || twice(requested),
            &mut || twice(facts),
        ];
        for (place, repeat) in all.into_iter().enumerate() {
            if parts >> place & 1 == 1 {
                repeat();
            }
        }
    }

    /// The statement that writes them, chosen as the orchestrator does.
    pub(super) fn statement(&self) -> &'static str {
        let begun: BTreeSet<_> = self.started.iter().map(|(saga, _)| saga).collect();
        let rare = !self.settled.is_empty()
            || !self.undone.is_empty()
            || !self.waiting.is_empty()
            || !self.found.is_empty()
            || !self.queued.is_empty()
            || !self.requested.is_empty();
        let changes = !self.changed.is_empty()
            || !self.disarmed.is_empty()
            || !self.rearmed.is_empty()
            || self.armed.iter().any(|(saga, _)| !begun.contains(saga));
        match (!self.started.is_empty() || rare, changes || rare) {
            (false, false) => "facts",
            (true, false) => "starts",
            (false, true) => "changes",
            (true, true) => "everything",
        }
    }

    /// The statement's parameters.
    pub(super) fn values(&self, session: &Session) -> BTreeMap<usize, Value> {
        let statement = self.statement();
        let mut values = BTreeMap::new();
        let mut part = |name: &str, columns: Vec<Value>| {
            let numbers = session.part(statement, name);
            assert_eq!(numbers.len(), columns.len(), "{statement} {name}");
            values.extend(numbers.into_iter().zip(columns));
        };
        let ended = |row: &Row| row.ended().then(|| FINISHED.to_owned());
        if ["starts", "everything"].contains(&statement) {
            let of = &self.started;
            let id = || column(of, |(saga, _)| Some(uuid(*saga)));
            let definition = || column(of, |_| Some("order".into()));
            let key = || column(of, |(_, row)| row.key.clone());
            let none = || column(of, |_| None);
            part(
                "started",
                vec![
                    id(),
                    definition(),
                    column(of, |(_, row)| Some(row.version.to_string())),
                    key(),
                    none(),
                    column(of, |_| Some("{}".into())),
                    column(of, |_| Some(FINISHED.into())),
                    column(of, |(_, row)| Some(row.status.clone())),
                    column(of, |(_, row)| row.error.as_ref().map(|code| error(code))),
                    column(of, |(_, row)| ended(row)),
                    none(),
                    none(),
                ],
            );
            let digest = column(of, |_| Some(r"\x00".into()));
            part("keyed", vec![id(), digest, key(), definition()]);
        }
        if statement != "facts" {
            let of = &self.armed;
            part("armed", vec![sagas(of, |a| a.0), column(of, |a| time(a.1))]);
        }
        if ["changes", "everything"].contains(&statement) {
            let of = &self.changed;
            let finished = |status: &str| ["completed", "compensated"].contains(&status);
            part(
                "changed",
                vec![
                    sagas(of, |c| c.0),
                    column(of, |c| Some(c.1.clone())),
                    column(of, |c| c.2.as_ref().map(|code| error(code))),
                    column(of, |c| finished(&c.1).then(|| FINISHED.into())),
                ],
            );
            part("rearmed", rearmed(&self.rearmed));
            part("disarmed", vec![sagas(&self.disarmed, |saga| *saga)]);
        }
        if statement == "everything" {
            self.rare(&mut part);
        }
        let of = &self.facts;
        let none = || column(of, |_| None);
        part(
            "facts",
            vec![
                sagas(of, |f| f.0),
                column(of, |f| Some(f.1.to_string())),
                column(of, |f| Some(f.2.to_string())),
                column(of, |_| Some(FINISHED.into())),
                column(of, |_| Some("sent".into())),
                none(),
                none(),
                none(),
                none(),
                none(),
            ],
        );
        values
    }

    /// What few batches write.
    fn rare(&self, part: &mut impl FnMut(&str, Vec<Value>)) {
        let of = &self.settled;
        let ids = || column(of, |s| Some(s.0.to_string()));
        let accepted = column(of, |s| Some(s.1.to_string()));
        part("settled", vec![ids()]);
        part("decided", vec![ids(), accepted, column(of, |s| (!s.1).then(|| "no".into()))]);
        let of = &self.undone;
        part("undone", vec![sagas(of, |u| u.0), column(of, |u| Some(u.1.clone()))]);
        let of = &self.waiting;
        part(
            "waiting",
            vec![
                sagas(of, |w| w.0),
                column(of, |w| Some(w.1.clone())),
                column(of, |w| Some(w.2.clone())),
                column(of, |w| Some(w.3.clone())),
            ],
        );
        let of = &self.found;
        part("found", vec![sagas(of, |f| f.0), column(of, |f| Some(f.1.clone()))]);
        let of = &self.queued;
        part("queued", vec![sagas(of, |q| q.0), column(of, |q| Some(q.1.clone()))]);
        let of = &self.requested;
        let accepted = column(of, |r| Some(r.1.to_string()));
        part(
            "requested",
            vec![sagas(of, |r| r.0), accepted, column(of, |_| None), column(of, |_| None)],
        );
    }
}

const FINISHED: &str = "2001-01-01 00:00:00Z";

/// The columns of timers that fired, and are set again: saga, time, end of the lease.
pub(super) fn rearmed(of: &[(Saga, i64, i64)]) -> Vec<Value> {
    vec![sagas(of, |r| r.0), column(of, |r| time(r.1)), column(of, |r| lease(r.2))]
}

fn error(code: &str) -> String {
    format!(r#"{{"code":"{code}"}}"#)
}

/// A time as Postgres reads it; none for never.
pub(super) fn time(micros: i64) -> Option<String> {
    let time = chrono::DateTime::from_timestamp_micros(micros);
    time.filter(|_| micros != NEVER).map(|time| time.to_rfc3339())
}

/// A time that stands there.
pub(super) fn lease(micros: i64) -> Option<String> {
    Some(time(micros).unwrap_or_else(|| "infinity".to_owned()))
}

pub(super) fn sagas<T>(rows: &[T], saga: impl Fn(&T) -> Saga) -> Value {
    column(rows, |row| Some(uuid(saga(row))))
}

pub(super) fn column<T>(rows: &[T], value: impl Fn(&T) -> Option<String>) -> Value {
    Value::Array(rows.iter().map(value).collect())
}
