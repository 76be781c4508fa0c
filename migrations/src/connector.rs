//! Makes the sessions of a pool, and looks whether they may be lent again.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Error, Executor as _, PgConnection,
    Row as _,
    postgres::PgConnectOptions,
    types::chrono::{DateTime, Utc},
};
use tokio::time::{Instant, timeout};

use crate::{
    Address, Unfit,
    class::{refuses_login, refuses_tls},
    server,
    suspicion::{Suspicion, silence},
};

/// How long connecting to one host may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(4);

/// How long a session that was idle may take to say that it is alive.
const PING: Duration = Duration::from_secs(1);

/// A session that was idle for longer is asked whether it is alive before it is lent.
const BUSY: Duration = Duration::from_secs(1);

/// Processes of sessions that were closed in the middle of something, to be ended: further ones are left
/// to the server.
const ABANDONED_MAX: usize = 64;

/// A statement for each setting of a session.
pub(crate) fn set(settings: &[(&str, &str)]) -> String {
    settings.iter().map(|(name, value)| format!("set {name} = '{value}';")).collect()
}

/// The pool's way to sessions.
#[derive(Debug)]
pub(crate) struct Connector {
    address: Address,
    /// The host that served last: tried first, as one that is gone costs each connection its time.
    served: AtomicUsize,
    /// `set` for each of its sessions' settings.
    settings: String,
    suspicion: Arc<Suspicion>,
    abandoned: Arc<Abandoned>,
}

/// A session of the pool.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) connection: PgConnection,
    pub(crate) born: Instant,
    pub(crate) backend: Backend,
    pub(crate) suspicion: Arc<Suspicion>,
    pub(crate) abandoned: Arc<Abandoned>,
}

/// A process of the server: its number may be used again, with another beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backend {
    pid: i32,
    began: DateTime<Utc>,
}

/// Processes whose sessions were closed in the middle of something.
#[derive(Debug, Default)]
pub(crate) struct Abandoned(Mutex<Vec<Backend>>);

impl Abandoned {
    pub(crate) fn note(&self, backend: Backend) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < ABANDONED_MAX {
            all.push(backend);
        }
    }

    fn take(&self) -> Vec<Backend> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Connector {
    pub(crate) fn new(address: Address, session: &[(&str, &str)]) -> Self {
        Self {
            address,
            served: AtomicUsize::new(0),
            settings: set(session),
            suspicion: Arc::default(),
            abandoned: Arc::default(),
        }
    }

    /// The same, for sessions that others' trouble does not make suspect.
    pub(crate) fn apart(&self) -> Self {
        Self {
            address: self.address.clone(),
            served: AtomicUsize::new(self.served.load(Ordering::Relaxed)),
            settings: self.settings.clone(),
            suspicion: Arc::default(),
            abandoned: Arc::clone(&self.abandoned),
        }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn suspicion(&self) -> &Arc<Suspicion> {
        &self.suspicion
    }

    /// Connects to the first host that serves.
    pub(crate) async fn connect(&self) -> Result<Connected, Error> {
        let mut last = silence("it has no host");
        let (hosts, first) = (self.address.hosts(), self.served.load(Ordering::Relaxed));
        for (at, options) in hosts.iter().enumerate().cycle().skip(first).take(hosts.len()) {
            match timeout(CONNECT, self.connect_to(options)).await {
                Ok(Ok(connected)) => {
                    self.served.store(at, Ordering::Relaxed);
                    return Ok(connected);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = silence(&format!("no connection within {CONNECT:?}")),
            }
        }
        Err(last)
    }

    async fn connect_to(&self, options: &PgConnectOptions) -> Result<Connected, Error> {
        let mut connection = options.connect().await?;
        let backend = self.look(&mut connection).await?;
        // Not as options of the connection: a pooler in between would not know them.
        connection.execute(AssertSqlSafe(self.settings.clone())).await?;
        self.end_abandoned(&mut connection).await?;
        Ok(Connected {
            connection,
            born: Instant::now(),
            backend,
            suspicion: Arc::clone(&self.suspicion),
            abandoned: Arc::clone(&self.abandoned),
        })
    }

    /// Looks at the server: which process serves, and whether it is one that can be used.
    async fn look(&self, connection: &mut PgConnection) -> Result<Backend, Error> {
        // Nothing that role or database set for their usual statements ends this one.
        const LOOK: &str = "set statement_timeout = 0; select pg_backend_pid() as pid,
            current_setting('server_version_num')::integer as number,
            split_part(current_setting('server_version'), ' ', 1) as version,
            current_setting('server_encoding') as encoding,
            current_setting('transaction_read_only')::boolean as read_only,
            pg_is_in_recovery() as standby,
            (select backend_start from pg_stat_activity where pid = pg_backend_pid()) as began;
            reset statement_timeout";
        // Not prepared: a pooler may hand the next statement to another session.
        let row = sqlx::raw_sql(LOOK).fetch_one(connection).await?;
        let (version, encoding): (String, String) =
            (row.try_get("version")?, row.try_get("encoding")?);
        let fit = server::check(row.try_get("number")?, &version, &encoding);
        fit.map_err(|unfit| refused(unfit.into()))?;
        let (read_only, standby) = (row.try_get("read_only")?, row.try_get("standby")?);
        if !self.address.accepts(read_only, standby) {
            return Err(refused(Refusal::Target(self.address.target())));
        }
        Ok(Backend { pid: row.try_get("pid")?, began: row.try_get("began")? })
    }

    /// Two sessions that are there at once have a process each, and keep it, unless a pooler lends one for
    /// each transaction.
    pub(crate) async fn check_for_pooler(&self) -> Result<(), Error> {
        let (mut one, mut other) = (self.connect().await?, self.connect().await?);
        for session in [&mut one, &mut other] {
            let pid = sqlx::raw_sql("select pg_backend_pid()").fetch_one(&mut session.connection);
            let pid: i32 =
                timeout(PING, pid).await.map_err(|_| silence("no answer"))??.try_get(0)?;
            if pid != session.backend.pid {
                return Err(refused(Refusal::Pooler));
            }
        }
        if one.backend.pid == other.backend.pid {
            return Err(refused(Refusal::Pooler));
        }
        Ok(())
    }

    /// Ends the processes of sessions that were closed: one that waits for a standby, or for a client that
    /// it does not hear of any more, holds locks which others wait for.
    async fn end_abandoned(&self, connection: &mut PgConnection) -> Result<(), Error> {
        const END: &str = "select pg_terminate_backend(a.pid)
            from unnest($1::integer[], $2::timestamptz[]) as a (pid, began)
            join pg_stat_activity s on s.pid = a.pid and s.backend_start = a.began";
        let abandoned = self.abandoned.take();
        if abandoned.is_empty() {
            return Ok(());
        }
        let pids: Vec<_> = abandoned.iter().map(|backend| backend.pid).collect();
        let began: Vec<_> = abandoned.iter().map(|backend| backend.began).collect();
        let ended = sqlx::query(END).bind(&pids).bind(&began).execute(connection).await;
        if let Err(error) = ended {
            // Its rights may not reach so far: then the server's own limits end them.
            tracing::debug!(%error, "sessions that were given up could not be ended");
        }
        Ok(())
    }
}

impl Manager for Connector {
    type Type = Connected;
    type Error = Error;

    async fn create(&self) -> Result<Connected, Error> {
        self.connect().await
    }

    /// A session that was lent a moment ago is taken as it is; a suspect one is closed; one that was idle
    /// is asked.
    async fn recycle(&self, connected: &mut Connected, metrics: &Metrics) -> RecycleResult<Error> {
        if self.suspicion.covers(connected.born) {
            return Err(RecycleError::message("it is as old as one that was silent"));
        }
        if metrics.last_used() <= BUSY {
            return Ok(());
        }
        match timeout(PING, connected.connection.ping()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(RecycleError::Backend(error)),
            Err(_) => {
                self.suspicion.raise();
                Err(RecycleError::message("it is silent"))
            }
        }
    }
}

/// Why a server that answers is not used. Waiting mends only the last.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot hold the schemas.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// A pooler in between lends a session for a transaction only.
    #[error(
        "a pooler in between lends sessions for single transactions, and Amends needs them whole: let it pool sessions (PgBouncer: `pool_mode = session`), or connect to Postgres itself"
    )]
    Pooler,
    /// It is not what the address asks for.
    #[error("the server is not {0}")]
    Target(&'static str),
}

fn refused(refusal: Refusal) -> Error {
    Error::Configuration(Box::new(refusal))
}

/// Whether a connection is refused for a reason that waiting does not mend.
#[must_use]
pub fn is_permanent(error: &Error) -> bool {
    refuses_login(error)
        || refuses_tls(error)
        || refusal(error).is_some_and(|refusal| !matches!(refusal, Refusal::Target(_)))
}

/// The refusal that an error is, if it is one.
#[must_use]
pub fn refusal(error: &Error) -> Option<&Refusal> {
    match error {
        Error::Configuration(error) => error.downcast_ref(),
        _ => None,
    }
}
