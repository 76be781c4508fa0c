//! Whether a login may do what it is for, and no more.

use amends_postgres::{Login, Participant, Privileges, Right, Role};

use super::{
    ask::Asked,
    check::{Check, Group},
};
use crate::{
    app::{App, schema_of},
    failed::Failed,
    program_name::program_name,
    rights::word,
};

const GROUP: Group = Group::Rights;

/// As many rights are named.
const NAMED: usize = 5;

/// Whom to look at, and what for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inspection {
    /// The login; the one that asks where none is named.
    pub(crate) login: Option<String>,
    /// What it is for; what its roles say where nothing is named.
    pub(crate) purpose: Option<String>,
}

/// What a login is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Purpose {
    /// It migrates.
    Owner,
    Rights(Vec<Right>),
    /// Nobody said.
    Unknown,
}

/// The words for what a login may be for.
const OWNER: &str = "owner";
const PARTICIPANT: &str = "participant";

/// What was named on the command line; fails for what nobody is.
fn named(app: &App, what: &str) -> Result<Purpose, Failed> {
    let role = Role::ALL.into_iter().find(|role| word(*role) == what);
    let is_service = app.service_names().any(|name| name == what)
        || app.services_elsewhere().any(|name| name == what);
    Ok(match (role, is_service.then(|| schema_of(what))) {
        (Some(role), _) => Purpose::Rights(vec![Right::Role(role)]),
        (None, Some(schema)) => Purpose::Rights(vec![of_service(schema)]),
        (None, None) if what == OWNER => Purpose::Owner,
        (None, None) if what == PARTICIPANT => {
            Purpose::Rights(vec![Right::Participant(Participant::default())])
        }
        (None, None) => {
            let mut all: Vec<_> = Role::ALL.map(word).into();
            all.extend([OWNER, PARTICIPANT]);
            all.extend(app.service_names());
            return Err(Failed::misused(format!(
                "nobody is for `{what}`: a login is for {}",
                all.join(", ")
            )));
        }
    })
}

/// What its roles and schemas tell.
fn derived(app: &App, login: &Login) -> Purpose {
    let owns = |schema: &str| login.owns.iter().any(|owned| owned == schema);
    if owns("amends") || owns("amends_barrier") {
        return Purpose::Owner;
    }
    let uses = |schema: &String| login.uses.iter().any(|used| used == schema);
    let mut rights: Vec<_> = login.roles.iter().copied().map(Right::Role).collect();
    if uses(&"amends_barrier".to_owned()) {
        let schemas = app.service_names().map(schema_of).filter(uses);
        let services: Vec<_> = schemas.map(of_service).collect();
        rights.extend(if services.is_empty() {
            vec![Right::Participant(Participant::default())]
        } else {
            services
        });
    }
    if rights.is_empty() { Purpose::Unknown } else { Purpose::Rights(rights) }
}

/// Fails for a purpose that nobody has, before anything is asked.
pub(super) fn check_purpose(app: &App, inspection: &Inspection) -> Result<(), Failed> {
    inspection.purpose.as_deref().map_or(Ok(()), |what| named(app, what).map(drop))
}

/// Looks at what a login is, what it has too much, and what it lacks.
pub(super) async fn check(
    app: &App,
    asked: &mut Asked,
    inspection: &Inspection,
) -> Result<(), Failed> {
    let (database, by) = (asked.database.clone(), asked.login.clone());
    let login = inspection.login.clone().unwrap_or(by);
    let purpose = inspection.purpose.as_deref().map(|what| named(app, what)).transpose()?;
    let name = format!("login {login}");
    let mut known = None;
    asked
        .ask(GROUP, &name, Login::find(&database, &login), |found| match found {
            None => GROUP.failed(
                &name,
                format!("there is no login `{login}`"),
                format!("`create role \"{login}\" login`"),
            ),
            Some(found) => {
                let purpose = purpose.unwrap_or_else(|| derived(app, &found));
                let check = introduced(&name, &found, &purpose);
                known = Some((found, purpose));
                check
            }
        })
        .await;
    let Some((found, purpose)) = known else { return Ok(()) };
    let (powers, surplus, missing) = (
        format!("powers of {login}"),
        format!("more than {login} needs"),
        format!("less than {login} needs"),
    );
    let rights = match &purpose {
        Purpose::Rights(rights) => rights.clone(),
        Purpose::Owner | Purpose::Unknown => Vec::new(),
    };
    let is_own =
        |schema: &String| rights.iter().any(|right| right.schema() == Some(schema.as_str()));
    let others = app.service_names().map(schema_of).filter(|schema| !is_own(schema));
    let others: Vec<_> = others.collect();
    let looked = Privileges::of(&database, &login, &rights, &others);
    let mut held = None;
    asked
        .ask(GROUP, &powers, looked, |all| {
            let check = judge_powers(&powers, &login, &all, &purpose);
            held = Some(all);
            check
        })
        .await;
    let Some(held) = held else { return Ok(()) };
    if found.superuser || purpose == Purpose::Owner {
        let why =
            if found.superuser { "a superuser has every right" } else { "it owns what it uses" };
        asked.checks.extend([GROUP.skipped(&surplus, why), GROUP.skipped(&missing, why)]);
        return Ok(());
    }
    asked.checks.push(judge_surplus(&surplus, &login, &held));
    asked.checks.push(judge_missing(&missing, &login, &held, &purpose));
    Ok(())
}

fn introduced(name: &str, login: &Login, purpose: &Purpose) -> Check {
    let what = match purpose {
        Purpose::Owner => "it owns the schemas of Amends, and migrates".to_owned(),
        Purpose::Rights(rights) => {
            format!("it is for {}", rights.iter().map(described).collect::<Vec<_>>().join(", "))
        }
        Purpose::Unknown if login.superuser => "a superuser, whatever it is for".to_owned(),
        Purpose::Unknown => {
            return GROUP.warning(
                name,
                "neither roles nor schemas tell what it is for",
                "say it by --as, or grant it a role",
            );
        }
    };
    GROUP.ok(name, what)
}

fn of_service(schema: String) -> Right {
    Right::Participant(Participant::of_schema(schema))
}

fn described(right: &Right) -> String {
    match (right, right.schema()) {
        (Right::Role(role), _) => format!("the role {}", word(*role)),
        (Right::Participant(_), None) => "a service".to_owned(),
        (Right::Participant(_), Some(schema)) => format!("the service with the schema {schema}"),
    }
}

const SUPERUSER: &str = "superuser";

/// What the owner of the schemas needs beside them.
const OF_AN_OWNER: [&str; 3] = ["createrole", "create in ", "owner of "];

fn judge_powers(name: &str, login: &str, held: &Privileges, purpose: &Purpose) -> Check {
    let needed = |power: &&String| {
        *purpose == Purpose::Owner && OF_AN_OWNER.iter().any(|needed| power.starts_with(needed))
    };
    let all = held.powers.iter();
    let mut powers: Vec<_> = all.filter(|power| !needed(power)).cloned().collect();
    if powers.iter().any(|power| power == SUPERUSER) {
        // It has all others, too.
        powers = vec![SUPERUSER.to_owned()];
    }
    if powers.is_empty() {
        return GROUP.ok(name, "none that nobody needs");
    }
    let advice = format!(
        "take them away (`alter role {login} no…`, `revoke … from {login}`), or take a login of its own for this"
    );
    GROUP.failed(name, list(&powers), advice)
}

fn judge_surplus(name: &str, login: &str, held: &Privileges) -> Check {
    if held.surplus.is_empty() {
        return GROUP.ok(name, "nothing");
    }
    let advice =
        format!("`revoke … from {login}`, or from the role or from public, by whom it has it");
    GROUP.failed(name, list(&held.surplus), advice)
}

fn judge_missing(name: &str, login: &str, held: &Privileges, purpose: &Purpose) -> Check {
    if held.missing.is_empty() {
        return GROUP.ok(name, "nothing");
    }
    let program = program_name();
    let what = match purpose {
        Purpose::Rights(rights) => match (rights.first(), rights.first().and_then(Right::schema)) {
            (Some(Right::Role(role)), _) => word(*role).to_owned(),
            (_, Some(schema)) => schema.replace('_', "-"),
            (_, None) => PARTICIPANT.to_owned(),
        },
        _ => OWNER.to_owned(),
    };
    let advice = format!(
        "as the schema's owner: `{program} migrate --grant {what}={login}`, which also gives the roles what they have to have"
    );
    GROUP.failed(name, list(&held.missing), advice)
}

/// The first of them.
fn list(all: &[String]) -> String {
    let shown = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    match all.len().checked_sub(NAMED) {
        None | Some(0) => shown,
        Some(more) => format!("{shown}; and {more} more"),
    }
}
