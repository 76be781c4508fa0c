//! The checks, one after the other; Postgres and NATS side by side.

use std::{collections::BTreeSet, time::Duration};

use amends::Definition;
use amends_orchestrator::{Config, survey};
use amends_postgres::{Address, Database};
use async_nats::Client;

use super::{
    check::{Check, Group, Verdict},
    definitions,
    orchestrator::{self, Leader},
    participants::{self, Participant},
    postgres, readers, report,
    rights::{self, Inspection},
    saga,
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
    let (in_postgres, in_nats) = tokio::join!(
        examine_postgres(settings, app, &options, &participants),
        examine_nats(&access, &options, app.definitions()?),
    );
    let (mut in_postgres, mut in_nats) = (in_postgres?, in_nats);
    if in_nats.client.is_none() {
        orchestrator::excuse(&mut in_postgres.checks);
    }
    let saga = round_trip(&options, plan::titles(app)?, &in_postgres, &in_nats).await;
    // Postgres comes first in each group.
    let mut all = in_postgres.checks;
    all.append(&mut in_nats.checks);
    all.push(servers::privacy(settings, &access));
    all.push(servers::clocks(in_postgres.clock, in_nats.clock));
    all.push(saga);
    report::report(all, options.json, options.strict)
}

/// What Postgres told.
struct InPostgres {
    checks: Vec<Check>,
    clock: Option<Clock>,
    /// None where it does not answer.
    database: Option<Database>,
    leaders: Option<Vec<Leader>>,
}

/// What NATS told.
struct InNats {
    checks: Vec<Check>,
    clock: Option<Clock>,
    /// None where it does not answer.
    client: Option<Client>,
}

async fn examine_postgres(
    settings: &Settings,
    app: &App,
    options: &Options,
    participants: &[Participant],
) -> Result<InPostgres, Failed> {
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
    let database = (!asked.is_lost()).then_some(asked.database);
    Ok(InPostgres { checks: asked.checks, clock, database, leaders })
}

async fn examine_nats(access: &Access, options: &Options, definitions: Vec<Definition>) -> InNats {
    let (client, reached) = servers::nats(access).await;
    let mut checks = vec![reached];
    let Some(client) = client else {
        checks.extend(unseen("NATS was not asked"));
        return InNats { checks, clock: None, client: None };
    };
    let account = streams::account(&client).await;
    let usable = account.verdict != Verdict::Failed;
    checks.push(account);
    let mut clock = None;
    if usable {
        checks.push(if options.read_only {
            Group::Nats.skipped(streams::STORE, "nothing is stored with --read-only")
        } else {
            streams::store(&client).await
        });
        checks.push(sync::check(&client, options.monitor.as_deref()).await);
        checks.extend(examine_streams(&client, options, definitions).await);
        clock = streams::clock(&client).await;
    } else {
        checks.extend(unseen("JetStream cannot be used"));
    }
    InNats { checks, clock, client: usable.then_some(client) }
}

/// Streams and consumers.
async fn examine_streams(
    client: &Client,
    options: &Options,
    definitions: Vec<Definition>,
) -> Vec<Check> {
    let surveyed = survey::parts(&options.config, client.clone(), definitions);
    let why = match tokio::time::timeout(SURVEY, surveyed).await {
        Ok(Ok(parts)) => {
            let clustered = client.server_info().cluster.is_some();
            let mut checks = streams::check(&parts, clustered);
            checks.extend(readers::check(client, &parts).await);
            return checks;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("nothing is told of them within {SURVEY:?}"),
    };
    let advice = "the login has to be one that may call $JS.API.STREAM.INFO and $JS.API.CONSUMER.INFO, as those of orchestrators may";
    vec![
        Group::Nats.failed(streams::TOPOLOGY, why, advice),
        Group::Workers.skipped("workers", "the consumers of services were not seen"),
    ]
}

/// What NATS would have told.
fn unseen(why: &str) -> [Check; 2] {
    [Group::Nats.skipped(streams::TOPOLOGY, why), Group::Workers.skipped("workers", why)]
}

async fn round_trip(
    options: &Options,
    ours: BTreeSet<String>,
    in_postgres: &InPostgres,
    in_nats: &InNats,
) -> Check {
    let (Some(database), Some(client)) = (&in_postgres.database, &in_nats.client) else {
        return saga::unreachable();
    };
    match saga::obstacle(&ours, in_postgres.leaders.as_deref(), options.read_only) {
        Some(obstacle) => obstacle,
        None => saga::check(client, database).await,
    }
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
