//! The checks, one after the other; Postgres and NATS side by side.

use std::{collections::BTreeSet, time::Duration};

use amends::Definition;
use amends_orchestrator::{Config, survey};
use amends_postgres::Address;

use super::{
    check::{Check, Group, Verdict},
    definitions, orchestrator,
    participants::{self, Participant},
    postgres, readers, report,
    rights::{self, Inspection},
    servers::{self, Clock},
    streams, sync,
};
use crate::{
    app::App,
    deploy::plan,
    failed::Failed,
    plain_text,
    run::nats::Access,
    settings::{Settings, database_variable},
};

/// How long NATS may take to say how its streams and consumers are.
const SURVEY: Duration = Duration::from_secs(10);

/// How to look, and at what.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) json: bool,
    /// Whether a warning fails.
    pub(crate) strict: bool,
    /// Whether nothing may be stored.
    pub(crate) read_only: bool,
    /// Databases of services.
    pub(crate) participants: Vec<String>,
    /// Whose rights to look at, if any.
    pub(crate) inspection: Option<Inspection>,
    /// Where the monitoring of NATS is.
    pub(crate) monitor: Option<String>,
    /// What streams should be like.
    pub(crate) config: Config,
}

/// Looks at an installation, and tells; fails when a check does.
pub(crate) async fn run(settings: &Settings, app: &App, options: Options) -> Result<(), Failed> {
    let access = Access::of(&settings.nats)?;
    let participants = participants_of(settings, app, &options)?;
    if let Some(inspection) = &options.inspection {
        rights::check_purpose(app, inspection)?;
    }
    let (in_postgres, (mut checks, nats_clock)) = tokio::join!(
        examine_postgres(settings, app, &options, &participants),
        examine_nats(&access, &options, app.definitions()?),
    );
    // Postgres comes first in each group.
    let (mut all, postgres_clock) = in_postgres?;
    if checks.iter().any(|check| check.group == Group::Servers && check.verdict == Verdict::Failed)
    {
        orchestrator::excuse(&mut all);
    }
    all.append(&mut checks);
    all.push(servers::privacy(settings, &access));
    all.push(servers::clocks(postgres_clock, nats_clock));
    report::report(all, options.json, options.strict)
}

async fn examine_postgres(
    settings: &Settings,
    app: &App,
    options: &Options,
    participants: &[Participant],
) -> Result<(Vec<Check>, Option<Clock>), Failed> {
    let (database, url) = servers::database(settings)?;
    let mut reached = servers::postgres(database, &url).await;
    postgres::check(&mut reached).await;
    let servers::Reached { mut asked, clock, .. } = reached;
    let ours = plan::titles(app)?;
    let leaders = orchestrator::check(&mut asked, &ours).await;
    let lost = asked.is_lost();
    let mut checks = definitions::check(app, &asked.database, lost, leaders.as_deref()).await?;
    match &options.inspection {
        Some(inspection) if !lost => rights::check(app, &mut asked, inspection).await?,
        Some(_) => checks.push(Group::Rights.skipped("rights", "Postgres was not asked")),
        None => checks.push(Group::Rights.skipped("rights", "looked at with --check-privileges")),
    }
    if !lost {
        participants::check_this(&mut asked).await;
    }
    for participant in participants {
        let Some(mut its) = participants::check(participant, &mut checks).await else { continue };
        if options.inspection.is_some() {
            rights::check(app, &mut its, &Inspection::default()).await?;
        }
        checks.append(&mut its.checks);
    }
    asked.checks.append(&mut checks);
    Ok((asked.checks, clock))
}

async fn examine_nats(
    access: &Access,
    options: &Options,
    definitions: Vec<Definition>,
) -> (Vec<Check>, Option<Clock>) {
    let (client, reached) = servers::nats(access).await;
    let mut checks = vec![reached];
    let Some(client) = client else {
        checks.push(Group::Nats.skipped(streams::TOPOLOGY, "NATS was not asked"));
        checks.push(Group::Workers.skipped("workers", "NATS was not asked"));
        return (checks, None);
    };
    checks.push(streams::account(&client).await);
    checks.push(if options.read_only {
        Group::Nats.skipped(streams::STORE, "nothing is stored with --read-only")
    } else {
        streams::store(&client).await
    });
    checks.push(sync::check(&client, options.monitor.as_deref()).await);
    let surveyed = survey::parts(&options.config, client.clone(), definitions);
    let parts = match tokio::time::timeout(SURVEY, surveyed).await {
        Ok(Ok(parts)) => parts,
        Ok(Err(error)) => return (told(checks, &error.to_string()), None),
        Err(_) => return (told(checks, "NATS does not say how its streams are"), None),
    };
    let clustered = client.server_info().cluster.is_some();
    checks.extend(streams::check(&parts, clustered));
    let clock = streams::clock(&client).await;
    checks.extend(readers::check(&client, &parts).await);
    (checks, clock)
}

fn told(mut checks: Vec<Check>, why: &str) -> Vec<Check> {
    let advice = "the login has to be one that may call $JS.API.STREAM.INFO and $JS.API.CONSUMER.INFO, as those of orchestrators may";
    checks.push(Group::Nats.failed(streams::TOPOLOGY, why, advice));
    checks.push(Group::Workers.skipped("workers", "the consumers of services were not seen"));
    checks
}

/// The databases of services beside the orchestrator's, each once.
fn participants_of(
    settings: &Settings,
    app: &App,
    options: &Options,
) -> Result<Vec<Participant>, Failed> {
    let mut all: Vec<Participant> = Vec::new();
    let mut known: BTreeSet<_> = settings.database_url.iter().cloned().collect();
    for url in &options.participants {
        settings.permit(plain_text::of_database(url))?;
        let name = match url.parse::<Address>() {
            Ok(address) => format!("{}@{address}", address.user()),
            Err(error) => return Err(Failed::caused_by("--participant", error)),
        };
        if known.insert(url.clone()) {
            all.push(Participant { name, url: url.clone() });
        }
    }
    for name in app.service_names() {
        if std::env::var_os(database_variable(name)).is_some_and(|url| !url.is_empty()) {
            let url = settings.database_of(name)?;
            if known.insert(url.clone()) {
                all.push(Participant { name: name.to_owned(), url });
            }
        }
    }
    Ok(all)
}
