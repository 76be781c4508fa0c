//! A program's sagas and services in a test, on real servers that are started for it.

mod letters;

use std::{path::Path, sync::Arc, time::Duration};

use amends::{Definition, Outline};
use amends_orchestrator::Config;
use amends_postgres::Database;
use async_nats::jetstream;
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    app::{App, NoFlags},
    failed::{During as _, Failed},
    local::Local,
    operate::transcript,
    run::{
        all::{self, AllOptions},
        connect, migrate,
    },
};

/// Connections for the test itself.
const CONNECTIONS: u32 = 4;

/// How long servers and services may take to be ready, and a saga to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at a saga.
const LOOK: Duration = Duration::from_millis(20);

/// An orchestrator and all services of a program in this process, over a Postgres and a nats-server of their
/// own, with an empty database. When it is dropped all of it ends, and the data is gone.
///
/// ```no_run
/// # async fn test(app: amends_app::App) -> Result<(), amends_app::Failed> {
/// use amends_app::testing::Live;
/// use serde_json::json;
///
/// // In a test of the package `shop`: env!("CARGO_BIN_EXE_shop")
/// # let executable = "";
/// let live = Live::start(app, executable).await?;
/// live.publish("orders.placed", &json!({"order_id": "o-1"})).await?;
/// let end = live.ended("order", "o-1").await?;
/// assert_eq!(end.status, "completed", "{}", live.show("o-1").await?);
/// live.stop().await?;
/// # Ok(())
/// # }
/// ```
pub struct Live {
    serving: JoinHandle<Result<(), Failed>>,
    stop: DropGuard,
    /// Of the program's sagas, and of those that are nested in them.
    outlines: Vec<Outline>,
    database: Database,
    jetstream: jetstream::Context,
    local: Arc<Local>,
    /// Gone with the servers.
    _data: TempDir,
}

/// How a saga has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// `completed`, `compensated`, or `stuck`, which only an operator can end.
    pub status: String,
    /// The output of a completed saga.
    pub output: Option<Value>,
    /// The error for which it turned back or is stuck.
    pub error: Option<Value>,
}

impl Live {
    /// Starts servers, orchestrator and services, and fills in the program's first data. `executable` is the
    /// program's own (`env!("CARGO_BIN_EXE_<name>")`): it looks after the servers, and stops them when the
    /// test process ends, however it ends.
    ///
    /// # Errors
    /// Servers that cannot be had, a program that is not sound, or a minute without being ready.
    pub async fn start(app: App, executable: impl AsRef<Path>) -> Result<Self, Failed> {
        all::check_contract(&app)?;
        let data = tempfile::Builder::new().prefix("amends-live-").tempdir();
        let data = data.during("a folder for the servers")?;
        let local = Local::start_with(executable.as_ref(), data.path()).await;
        let local = Arc::new(local.during("the private servers cannot be started")?);
        let url = local.database_url();
        let database = connect::database(url, CONNECTIONS, &[])?;
        migrate::prepare(&app, &database).await?;
        let outlines = outlines(&app)?;
        let client = async_nats::connect(local.nats_url()).await.during("NATS")?;
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let serving = serve(app, Arc::clone(&local), stop).await?;
        Ok(Self {
            serving,
            stop: guard,
            outlines,
            database,
            jetstream: jetstream::new(client),
            local,
            _data: data,
        })
    }

    /// Publishes an event as JSON; JetStream has stored it when this returns.
    ///
    /// # Errors
    /// An event that is no JSON, or a subject that no stream captures.
    pub async fn publish(&self, subject: &str, event: &impl Serialize) -> Result<(), Failed> {
        let body = serde_json::to_vec(event).during("the event")?;
        let what = format!("an event cannot be published on {subject}");
        let stored = self.jetstream.publish(subject.to_owned(), body.into()).await.during(&what)?;
        stored.await.during(&what)?;
        Ok(())
    }

    /// Waits until the saga of this definition and business key has ended, or is stuck, for a minute at most.
    ///
    /// # Errors
    /// As [`ended_within`](Self::ended_within).
    pub async fn ended(&self, definition: &str, key: &str) -> Result<Ended, Failed> {
        self.ended_within(definition, key, PATIENCE).await
    }

    /// As [`ended`](Self::ended), for at most this time.
    ///
    /// # Errors
    /// A definition that the program does not have, or whose sagas have no business key; a saga that is not there
    /// or has not ended in time, with what it has done so far and the dead letters that may be the reason.
    pub async fn ended_within(
        &self,
        definition: &str,
        key: &str,
        limit: Duration,
    ) -> Result<Ended, Failed> {
        let outline = self.outline(definition)?;
        let deadline = Instant::now() + limit;
        loop {
            if let Some(ended) = self.look(definition, key).await? {
                return Ok(ended);
            }
            if Instant::now() >= deadline {
                return Err(self.not_ended(outline, key, limit).await);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The newest version of a definition whose sagas can be found by their keys.
    fn outline(&self, definition: &str) -> Result<&Outline, Failed> {
        let versions = self.outlines.iter().filter(|outline| outline.name == definition);
        let Some(outline) = versions.max_by_key(|outline| outline.version) else {
            let mut known: Vec<_> = self.outlines.iter().map(|o| o.name.as_str()).collect();
            known.sort_unstable();
            known.dedup();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Failed::new(format!(
                "the program has no saga definition `{definition}`: it has {known}"
            )));
        };
        if outline.keyed {
            return Ok(outline);
        }
        Err(Failed::new(format!(
            "sagas of `{definition}` have no business key to be found by: give the trigger a `.key(…)`"
        )))
    }

    /// Why there is no end to tell.
    async fn not_ended(&self, outline: &Outline, key: &str, limit: Duration) -> Failed {
        let so_far = self.show(key).await.unwrap_or_else(|failed| failed.to_string());
        let letters = letters::of(&self.database, outline).await;
        let letters = letters.unwrap_or_else(|failed| failed.to_string());
        let (definition, so_far) = (&outline.name, so_far.trim_end());
        Failed::new(format!(
            "the saga {definition} {key} has not ended after {limit:?}: {so_far}\n{letters}"
        ))
    }

    async fn look(&self, definition: &str, key: &str) -> Result<Option<Ended>, Failed> {
        let row = sqlx::query_file!("src/sql/ended.sql", definition, key);
        let row = row.fetch_optional(&self.database).await.during("the saga")?;
        Ok(row.map(|row| Ended { status: row.status, output: row.output, error: row.error }))
    }

    /// What the saga with this business key or id has done, as `show` tells it.
    ///
    /// # Errors
    /// There is none.
    pub async fn show(&self, saga: &str) -> Result<String, Failed> {
        transcript(&self.database, saga).await
    }

    /// The database of orchestrator and services.
    #[must_use]
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// Where that is, for `DATABASE_URL`.
    #[must_use]
    pub fn database_url(&self) -> &str {
        self.local.database_url()
    }

    /// Where NATS is, for `NATS_URL`.
    #[must_use]
    pub fn nats_url(&self) -> &str {
        self.local.nats_url()
    }

    /// Ends everything in good order.
    ///
    /// # Errors
    /// What ended the orchestrator or a service before, or servers that do not stop.
    pub async fn stop(self) -> Result<(), Failed> {
        drop(self.stop);
        let served = self.serving.await.during("the orchestrator and the services")?;
        self.database.close();
        if let Some(local) = Arc::into_inner(self.local) {
            local.stop().await.during("the private servers cannot be stopped")?;
        }
        served
    }
}

fn outlines(app: &App) -> Result<Vec<Outline>, Failed> {
    let definitions = app.definitions()?;
    let nested = definitions.iter().flat_map(Definition::children);
    let nested: Vec<_> = nested.map(|nested| nested.outline().clone()).collect();
    Ok(definitions.iter().map(|definition| definition.outline().clone()).chain(nested).collect())
}

/// Everything in a task of its own, once it is ready. The servers are the task's too: they outlive it.
async fn serve(
    app: App,
    local: Arc<Local>,
    stop: CancellationToken,
) -> Result<JoinHandle<Result<(), Failed>>, Failed> {
    let (ready, is_ready) = oneshot::channel();
    let serving = tokio::spawn(async move {
        let options = AllOptions { flags: NoFlags {}, http: None, config: Config::default() };
        let services = app.services().iter().collect();
        let announce = || {
            // Whoever does not wait any more needs no word.
            let _ = ready.send(());
        };
        all::on(&local, &app, services, options, &stop, announce).await
    });
    match tokio::time::timeout(PATIENCE, is_ready).await {
        Ok(Ok(())) => Ok(serving),
        Ok(Err(_)) => {
            serving.await.during("the orchestrator and the services")??;
            Err(Failed::new("the orchestrator and the services ended before they were ready"))
        }
        Err(_) => Err(Failed::new(format!("not ready after {} s", PATIENCE.as_secs()))),
    }
}
