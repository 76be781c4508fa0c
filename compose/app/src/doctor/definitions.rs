//! Whether this program, what runs, and the database agree on the definitions.

use amends_postgres::Database;

use super::{
    ask::LIMIT,
    check::{Check, Group},
    orchestrator::Leader,
};
use crate::{
    app::App,
    deploy::{Assessment, State, plan},
    failed::Failed,
    program_name::program_name,
};

const GROUP: Group = Group::Definitions;

/// The name of what stands for all where they cannot be read.
const ALL: &str = "definitions";

/// A check for each version that the program or the database knows; `running` are the orchestrators that are alive,
/// where they can be seen.
pub(super) async fn check(
    app: &App,
    database: &Database,
    lost: bool,
    running: Option<&[Leader]>,
) -> Result<Vec<Check>, Failed> {
    if lost {
        return Ok(vec![GROUP.skipped(ALL, "Postgres was not asked")]);
    }
    match plan::states(app, &database.with_limit(LIMIT)).await {
        Ok(versions) => Ok(versions.iter().map(|version| judge(version, running)).collect()),
        // What the program itself gets wrong has no error of Postgres behind it.
        Err(failed) if failed.sqlstate().is_none() && !failed.is_passing() => Err(failed),
        Err(failed) if failed.is_passing() => {
            Ok(vec![GROUP.failed(ALL, failed.sentence(), "look at Postgres and its log")])
        }
        Err(failed) => Ok(vec![GROUP.skipped(ALL, failed.sentence())]),
    }
}

fn judge(version: &Assessment, running: Option<&[Leader]>) -> Check {
    let (name, program) = (version.title(), program_name());
    let knows = |leader: &Leader| leader.versions.contains(&name);
    let runs = running.map(|leaders| leaders.iter().any(knows));
    let open = match version.open_sagas {
        0 => "no open saga".to_owned(),
        1 => "1 open saga".to_owned(),
        n => format!("{n} open sagas"),
    };
    let retired = if version.retired { ", retired" } else { "" };
    let found = |what: &str| format!("{what}; {open}{retired}");
    let waits = format!("run an orchestrator that knows {name}: until then its open sagas wait");
    match version.state {
        State::Same if runs == Some(false) && version.open_sagas > 0 => {
            GROUP.failed(&name, found("no orchestrator that runs knows it"), waits)
        }
        State::Same => GROUP.ok(&name, found("the same here and in the database")),
        State::Changed => GROUP.failed(
            &name,
            found("another plan than the one in the database"),
            format!("`{program} plan` says what changed: an orchestrator of this program refuses to start"),
        ),
        State::New | State::Beside => GROUP.warning(
            &name,
            found("it never ran here"),
            format!("`{program} plan`, then start an orchestrator of this program; or take the doctor of the one that runs"),
        ),
        State::Missing | State::Past if runs == Some(true) => {
            GROUP.ok(&name, found("of another program, whose orchestrator runs"))
        }
        State::Missing if version.open_sagas > 0 => GROUP.failed(
            &name,
            found("not known to this program, and no other that knows it is seen to run"),
            waits,
        ),
        State::Missing => GROUP.warning(
            &name,
            found("not known to this program, and not retired"),
            format!(
                "if it is not to start sagas: `{program} retire {} {} --reason \"…\"`",
                version.definition, version.version
            ),
        ),
        State::Past => GROUP.ok(&name, found("not known to this program, and not needed")),
    }
}
