//! `dev`: everything in one process, with its data in a folder.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use amends_orchestrator::Config;
use amends_postgres::Database;
use tokio_util::sync::CancellationToken;

use super::{
    all::{self, AllOptions},
    connect, migrate,
    shutdown::stop_on_signal,
};
use crate::{
    app::{App, AppService, NoFlags},
    deploy::check,
    example::Example,
    failed::{During as _, Failed},
    local::{Local, Ports},
    print::print,
    settings::Settings,
    tour::tour,
};

/// Connections to prepare the database with.
const CONNECTIONS: u32 = 2;

/// How everything is to run.
#[derive(Debug)]
pub(crate) struct DevOptions {
    /// Where the data is kept.
    pub(crate) data: Option<PathBuf>,
    /// Where probes are served, if anywhere.
    pub(crate) http: Option<SocketAddr>,
    /// How long sagas are kept that have ended.
    pub(crate) retain: Option<Duration>,
    /// Services that the user runs elsewhere.
    pub(crate) without: Vec<String>,
    /// Where the private servers listen.
    pub(crate) ports: Ports,
}

/// Runs until SIGINT or SIGTERM.
pub(crate) async fn run(settings: &Settings, app: &App, options: DevOptions) -> Result<(), Failed> {
    if settings.database_url.is_some() || settings.nats.nats_url.is_some() {
        tracing::warn!("DATABASE_URL and NATS_URL are ignored: this starts servers of its own");
    }
    for error in check::errors(app)? {
        tracing::warn!("the program is not sound: {error}");
    }
    let absent = app.named(&options.without)?;
    let stop = stop_on_signal()?;
    let data = match &options.data {
        Some(data) => data.clone(),
        None => default_data(app)?,
    };
    let local = Local::start_on(&data, options.ports).await;
    let local = local.during("the private servers cannot be started")?;
    let ended = serve(app, absent, &local, &data, options, &stop).await;
    let stopped = local.stop().await.during("the private servers cannot be stopped");
    ended.and(stopped)
}

async fn serve(
    app: &App,
    absent: Vec<&AppService>,
    local: &Local,
    data: &Path,
    options: DevOptions,
    stop: &CancellationToken,
) -> Result<(), Failed> {
    let database = connect::postgres(local.database_url(), CONNECTIONS, &[], None, stop).await?;
    let Some(database) = database else { return Ok(()) };
    migrate::prepare(app, &database).await?;
    let examples = unused(app, &database).await?;
    database.close();
    let is_absent = |one: &AppService| absent.iter().any(|other| other.name() == one.name());
    let services = app.services().iter().filter(|service| !is_absent(service)).collect();
    let config = Config { retain: options.retain, ..Config::default() };
    let options = AllOptions { flags: NoFlags {}, http: options.http, config };
    let welcome = || {
        // Whoever closed standard output does not read it.
        let _ = print(&welcome(app, &examples, &absent, local, data));
    };
    all::on(local, app, services, options, stop, welcome).await
}

fn default_data(app: &App) -> Result<PathBuf, Failed> {
    if nix::unistd::geteuid().is_root() {
        return Ok(Path::new("/var/lib").join(app.name()).join("dev"));
    }
    let folder = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")));
    let home =
        home.ok_or_else(|| Failed::misused("say where the data is to be kept with --data"))?;
    Ok(home.join(app.name()).join("dev"))
}

/// The examples of the program, each with a key that no saga here has had.
async fn unused(app: &App, database: &Database) -> Result<Vec<Example>, Failed> {
    let keyed = app.examples().iter().filter_map(|one| Some((one.definition(), one.key.as_ref()?)));
    let (definitions, keys): (Vec<_>, Vec<_>) =
        keyed.map(|(definition, key)| (definition.to_owned(), key.clone())).unzip();
    let found = sqlx::query_file!("src/sql/free_numbers.sql", &definitions, &keys)
        .fetch_all(database)
        .await
        .during("the keys of sagas cannot be read")?;
    let mut numbers = found.into_iter().map(|row| row.number);
    let unused = |example: &Example| {
        let number = example.key.as_ref().and_then(|_| numbers.next()).flatten();
        let number = number.and_then(|number| u32::try_from(number).ok()).filter(|n| *n > 1);
        number.and_then(|number| example.numbered(number)).unwrap_or_else(|| example.clone())
    };
    Ok(app.examples().iter().map(unused).collect())
}

fn welcome(
    app: &App,
    examples: &[Example],
    absent: &[&AppService],
    local: &Local,
    data: &Path,
) -> String {
    let (database, nats) = (local.database_url(), local.nats_url());
    let executable = std::env::args().next().unwrap_or_else(|| app.name().to_owned());
    let mut tour = tour(app, examples, &executable);
    for service in absent {
        tour += &format!("\n  {executable} worker {}\n", service.name());
    }
    let data = data.display();
    format!(
        r"
  export DATABASE_URL={database}
  export NATS_URL={nats}

Paste the two lines above into a second shell; then:

{tour}
Ctrl-C stops everything; the data stays in {data}.
"
    )
}
