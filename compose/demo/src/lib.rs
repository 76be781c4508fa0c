//! `amends demo`: orders or trips through real servers, with parts killed on the way, judged by the
//! services' own ledgers.
//!
//! | to read | start at |
//! |---|---|
//! | what happens, in which order | `course` |
//! | what tells the examples apart | `example`, `orders`, `trips` |
//! | the judge of the ledgers | [`audit`] |
//! | the processes that are killed | `processes` |
//! | what is printed | `progress`, `report`, `ledgers` |

mod args;
pub mod audit;
mod course;
mod example;
mod input;
mod ledgers;
mod message;
mod orders;
mod processes;
mod progress;
mod report;
mod stock;
mod trips;

use std::path::Path;

use amends_app::{
    App, During as _, Failed, NatsSettings, Workspace, connect, local::Local, log_ends, nats,
    prepare, print, stop_on_signal,
};
use async_nats::jetstream;
use tokio_util::sync::CancellationToken;

pub use args::DemoArgs;
pub use example::Example;
pub use stock::stock;

use course::{Course, Outcome, Script};
use processes::Processes;
use progress::Progress;

/// Connections to look at what goes on.
const CONNECTIONS: u32 = 4;

/// Runs the demo; `app` is what is killed and started again.
///
/// # Errors
/// Servers that cannot be started, sagas that do not end, and ledgers that do not balance.
pub async fn run(args: DemoArgs, app: &App) -> Result<(), Failed> {
    let example = args.example;
    let messages = match &args.input {
        Some(file) => input::read(example, file)?,
        None => example.generate(args.orders.unwrap_or(example.usual()))?,
    };
    let sagas = messages.iter().filter(|message| message.subject == example.subject()).count();
    let stop = stop_on_signal()?;
    let workspace = Workspace::open(args.data.as_deref(), "amends-demo-")?;
    let mut progress = Progress::new(sagas as u64, example.noun());
    progress.say("starting a private Postgres and nats-server …");
    let data = workspace.path();
    let local = Local::start(data).await.during("the private servers cannot be started")?;
    let script = Script { example, sagas, messages: &messages };
    let ended = perform(app, &local, data, script, &mut progress, &stop).await;
    progress.done();
    let stopped = local.stop().await.during("the private servers cannot be stopped");
    let outcome = ended?;
    stopped?;
    print(&report::render(&outcome, args.data.as_deref()))?;
    if outcome.findings.problems.is_empty() {
        Ok(())
    } else {
        Err(Failed::new("the demo found problems, see above"))
    }
}

async fn perform(
    app: &App,
    local: &Local,
    data: &Path,
    script: Script<'_>,
    progress: &mut Progress,
    stop: &CancellationToken,
) -> Result<Outcome, Failed> {
    let database = connect::postgres(local.database_url(), CONNECTIONS, &[], None, stop).await?;
    let database = database.ok_or_else(Failed::interrupted)?;
    let nats = nats::Access::of(&NatsSettings::at(local.nats_url()))?;
    let client = nats.connect(stop).await?;
    let jetstream = jetstream::new(client.ok_or_else(Failed::interrupted)?);
    prepare(app, &database).await?;
    let logs = data.join("logs");
    std::fs::create_dir_all(&logs).during("the folder for logs")?;
    let mut processes = Processes::new(app, local, &logs)?;
    processes.start(&["orchestrator"])?;
    for name in script.example.services() {
        processes.start(&["worker", name])?;
    }
    let course = Course { database: &database, jetstream, script, progress, stop };
    let ended = course.run(&mut processes).await;
    processes.stop().await;
    database.close();
    ended.map_err(|failed| failed.with_details(&log_ends(&logs)))
}
