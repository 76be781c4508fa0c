//! Whether an orchestrator leads and moves sagas, and what waits for a person.

use std::{collections::BTreeSet, time::Duration};

use super::{
    ask::Asked,
    check::{Check, Group, Verdict},
    postgres::span,
};
use crate::{age::age, program_name::program_name};

const GROUP: Group = Group::Orchestrator;

/// The names of the checks.
const LEADER: &str = "leader";
const TIMERS: &str = "timers";
const STUCK: &str = "stuck sagas";
const LETTERS: &str = "dead letters";

/// A leader gives a sign of life each 300 ms, and is followed by another after 2 s: one of which nothing was heard
/// for so long has nobody to follow it.
const SILENT: Duration = Duration::from_secs(5);

/// A timer that whoever holds it lost stands 10 s on, and standbys take those that are 2 s late: one that is later by
/// so much nobody takes.
const OVERDUE: Duration = Duration::from_secs(30);

/// As many are counted.
const COUNTED: i64 = 10_000;
const STUCK_COUNTED: i64 = 1000;

/// An orchestrator that has a place, by what it knows.
#[derive(Debug, Clone)]
pub(super) struct Leader {
    /// `order@1` and so on.
    pub(super) versions: BTreeSet<String>,
    /// How long nothing was heard of it.
    silent: f64,
}

impl Leader {
    fn lives(&self) -> bool {
        self.silent <= SILENT.as_secs_f64()
    }
}

/// Looks at leaders, timers, and what waits for a person. The leaders that are alive, where they can be seen; `ours`
/// are the versions of this program.
pub(super) async fn check(asked: &mut Asked, ours: &BTreeSet<String>) -> Option<Vec<Leader>> {
    let database = asked.database.clone();
    let mut leaders = None;
    let looked =
        async { sqlx::query_file!("src/sql/doctor_leaders.sql").fetch_all(&database).await };
    asked
        .ask(GROUP, LEADER, looked, |rows| {
            let all = rows.into_iter().map(|row| Leader {
                versions: row.definitions.split_whitespace().map(str::to_owned).collect(),
                silent: row.seconds,
            });
            let all: Vec<_> = all.collect();
            let check = leader(&all, ours);
            leaders = Some(all.into_iter().filter(Leader::lives).collect());
            check
        })
        .await;
    let late = async {
        let seconds = OVERDUE.as_secs_f64();
        sqlx::query_file!("src/sql/doctor_timers.sql", seconds).fetch_one(&database).await
    };
    asked.ask(GROUP, TIMERS, late, |row| timers(row.overdue, row.seconds)).await;
    let stuck = async { sqlx::query_file!("src/sql/doctor_stuck.sql").fetch_one(&database).await };
    asked.ask(GROUP, STUCK, stuck, |row| stuck_sagas(row.stuck, row.seconds)).await;
    let open = async { sqlx::query_file!("src/sql/doctor_letters.sql").fetch_one(&database).await };
    asked.ask(GROUP, LETTERS, open, |row| letters(row.open, row.dropped)).await;
    leaders
}

/// While NATS is away no orchestrator leads.
pub(super) fn excuse(checks: &mut [Check]) {
    let failed = |check: &&mut Check| check.name == LEADER && check.verdict == Verdict::Failed;
    for check in checks.iter_mut().filter(failed) {
        *check = GROUP.skipped(LEADER, "without NATS none leads");
    }
}

fn leader(all: &[Leader], ours: &BTreeSet<String>) -> Check {
    let start = format!("start one, or look at its log: `{} orchestrator`", program_name());
    let alive: Vec<_> = all.iter().filter(|leader| leader.lives()).collect();
    let heard = |leader: &Leader| format!("its last sign of life is {:.1} s old", leader.silent);
    if let Some(leader) = alive.iter().find(|leader| leader.versions == *ours) {
        return GROUP.ok(LEADER, format!("one of this program leads, {}", heard(leader)));
    }
    if let Some(other) = alive.first() {
        let knows = other.versions.iter().cloned().collect::<Vec<_>>().join(", ");
        return GROUP.warning(
            LEADER,
            format!("none of this program leads, but one that knows {knows}"),
            "if this program is the one to run here, start its orchestrator; if not, take the other's doctor",
        );
    }
    match all.iter().min_by(|a, b| a.silent.total_cmp(&b.silent)) {
        Some(last) => {
            let silent = age(span(last.silent));
            GROUP.failed(
                LEADER,
                format!("no orchestrator runs: none was heard of for {silent}"),
                start,
            )
        }
        None => GROUP.failed(LEADER, "no orchestrator runs", start),
    }
}

fn timers(overdue: i64, seconds: f64) -> Check {
    if overdue == 0 {
        return GROUP.ok(TIMERS, format!("none is late by more than {} s", OVERDUE.as_secs()));
    }
    GROUP.failed(
        TIMERS,
        format!("{} late, the first by {}", sagas(overdue, COUNTED), age(span(seconds))),
        "nothing moves these sagas: look whether an orchestrator runs that knows their definitions, and at its log",
    )
}

fn stuck_sagas(stuck: i64, seconds: f64) -> Check {
    if stuck == 0 {
        return GROUP.ok(STUCK, "none");
    }
    GROUP.warning(
        STUCK,
        format!("{} stuck, the first for {}", sagas(stuck, STUCK_COUNTED), age(span(seconds))),
        format!("`{} list --status stuck`, then retry, skip or resolve each", program_name()),
    )
}

fn letters(open: i64, dropped: i64) -> Check {
    let program = program_name();
    let of = |number: i64| match number {
        1 => "1 message was".to_owned(),
        n if n >= COUNTED => format!("{n} messages or more were"),
        n => format!("{n} messages were"),
    };
    match (open, dropped) {
        (0, 0) => GROUP.ok(LETTERS, "none"),
        (open, 0) => GROUP.warning(
            LETTERS,
            format!("{} of no use, and waits for a decision", of(open)),
            format!("`{program} letters`, then replay or discard each"),
        ),
        (open, dropped) => GROUP.warning(
            LETTERS,
            format!("{} of no use, and {dropped} more were only counted", of(open)),
            format!("`{program} letters`, and `{program} letters dropped`"),
        ),
    }
}

fn sagas(number: i64, counted: i64) -> String {
    match number {
        1 => "1 saga is".to_owned(),
        n if n >= counted => format!("{n} sagas or more are"),
        n => format!("{n} sagas are"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_is_one_that_was_heard_of() {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let of = |names: &[&str], silent| Leader { versions: set(names), silent };
        let ours = set(&["order@1", "trip@1"]);
        for (leaders, verdict) in [
            (vec![], Verdict::Failed),
            (vec![of(&["order@1", "trip@1"], 0.3)], Verdict::Ok),
            (vec![of(&["order@1", "trip@1"], 5.1)], Verdict::Failed),
            (vec![of(&["order@1"], 0.3)], Verdict::Warning),
            (vec![of(&["order@1"], 0.3), of(&["order@1", "trip@1"], 0.1)], Verdict::Ok),
        ] {
            assert_eq!(leader(&leaders, &ours).verdict, verdict, "{leaders:?}");
        }
    }

    #[test]
    fn numbers_are_told_as_far_as_they_are_counted() {
        assert!(timers(1, 61.0).found.starts_with("1 saga is late, the first by 1 m 1 s"));
        assert!(timers(10_000, 61.0).found.starts_with("10000 sagas or more are late"));
        assert_eq!(letters(2, 0).verdict, Verdict::Warning);
        assert!(letters(1, 7).found.contains("7 more were only counted"));
        assert_eq!(stuck_sagas(0, 0.0).verdict, Verdict::Ok);
    }
}
