//! The databases of services: barrier and outbox.

use std::time::Duration;

use amends_postgres::{Applied, PARTICIPANT, schemas};

use super::{
    ask::Asked,
    check::{Check, Group},
    postgres::{applied, span},
};
use crate::{age::age, program_name::program_name, run::connect};

const GROUP: Group = Group::Participants;

/// An event that waits for longer is not published by itself: JetStream refuses it, or no relay runs.
const OLD: Duration = Duration::from_secs(30);

/// The orchestrator's.
const THIS: &str = "this database";

/// A database of services that is not the orchestrator's.
#[derive(Debug, Clone)]
pub(super) struct Participant {
    /// What its checks are called after.
    pub(super) name: String,
    pub(super) url: String,
}

/// Looks at one; what came of it, where it answers.
pub(super) async fn check(participant: &Participant, checks: &mut Vec<Check>) -> Option<Asked> {
    let (barrier, outbox) = names(&participant.name);
    match connect::answers(&participant.url).await {
        Ok(database) => {
            let mut asked = Asked::new(&database);
            look(&mut asked, &participant.name).await;
            Some(asked)
        }
        Err(failed) => {
            let advice = "start it, or mend the address";
            checks.push(GROUP.failed(&barrier, failed.sentence(), advice));
            checks.push(GROUP.skipped(&outbox, "Postgres does not answer"));
            None
        }
    }
}

/// Looks at the orchestrator's, which may have services, too.
pub(super) async fn check_this(asked: &mut Asked) {
    match schemas(&asked.database).await {
        Ok(there) if there.iter().any(|schema| schema == "amends_barrier") => {
            look(asked, THIS).await;
        }
        Ok(_) => {}
        Err(error) => {
            let check = asked.told(GROUP, &names(THIS).0, &error);
            asked.checks.push(check);
        }
    }
}

fn names(of: &str) -> (String, String) {
    (format!("barrier of {of}"), format!("outbox of {of}"))
}

async fn look(asked: &mut Asked, of: &str) {
    let (barrier, outbox) = names(of);
    let database = asked.database.clone();
    let mut is_there = false;
    asked
        .ask(GROUP, &barrier, applied(&database, &PARTICIPANT), |applied| {
            is_there = !matches!(applied, Applied::Nothing | Applied::Other);
            judge(&barrier, applied)
        })
        .await;
    if is_there {
        let backlog =
            async { sqlx::query_file!("src/sql/doctor_backlog.sql").fetch_one(&database).await };
        asked.ask(GROUP, &outbox, backlog, |row| waiting(&outbox, row.waiting, row.seconds)).await;
    } else {
        asked.checks.push(GROUP.skipped(&outbox, "its barrier was not seen"));
    }
}

fn judge(name: &str, applied: Applied) -> Check {
    let needed = PARTICIPANT.version();
    let migrate = format!(
        "`{0} migrate --participant URL`, or `{0} migrate --services` for a service of this program",
        program_name()
    );
    match applied {
        Applied::All => GROUP.ok(name, format!("version {needed}, that of this program")),
        Applied::Newer(found) => GROUP.ok(
            name,
            format!(
                "version {found}, newer than the {needed} of this program, which it serves, too"
            ),
        ),
        Applied::Nothing => GROUP.failed(name, "there is no schema `amends_barrier`", migrate),
        Applied::Old(found) => {
            GROUP.failed(name, format!("version {found}, and this program needs {needed}"), migrate)
        }
        Applied::Other => GROUP.failed(
            name,
            "other migrations than this program's made the schema `amends_barrier`",
            "take another database, or the program that made it",
        ),
    }
}

fn waiting(name: &str, waiting: i64, seconds: f64) -> Check {
    let found = match waiting {
        0 => return GROUP.ok(name, "no event waits"),
        1 => format!("1 event waits, for {}", age(span(seconds))),
        n => format!("{n} events wait, the first for {}", age(span(seconds))),
    };
    if seconds <= OLD.as_secs_f64() {
        return GROUP.ok(name, found);
    }
    GROUP.failed(
        name,
        found,
        "`select subject, last_error from amends_barrier.outbox` says why: a subject without a stream, or no worker or relay that runs",
    )
}

#[cfg(test)]
mod tests {
    use super::{super::check::Verdict, *};

    #[test]
    fn an_outbox_is_judged_by_its_oldest_event() {
        assert_eq!(waiting("o", 0, 0.0).verdict, Verdict::Ok);
        assert_eq!(waiting("o", 5000, 1.0).verdict, Verdict::Ok);
        let check = waiting("o", 1, 61.0);
        assert_eq!(check.verdict, Verdict::Failed);
        assert_eq!(check.found, "1 event waits, for 1 m 1 s");
        assert_eq!(judge("b", Applied::Old(1)).verdict, Verdict::Failed);
        assert_eq!(judge("b", Applied::Newer(9)).verdict, Verdict::Ok);
    }
}
