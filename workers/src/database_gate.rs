//! The database gate: holds everything back while the service's database does not answer, or takes no
//! writes. Probes of its own say so, idle or busy, and open it again.
//!
//! A command that meets a dead database is neither answered with `retry` nor given back: either
//! would use up attempts of its step and make noise once per command. It waits here, and no more
//! are pulled. What a probe cannot see, as a full disk, an attempt meets: then one command is tried now and
//! then, until one gets through.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use amends_postgres::{Database, class_of};
use sqlx::PgConnection;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{Health, fault::describe};

/// Between two probes, while the database answers and while it does not.
const PERIOD: Duration = Duration::from_secs(1);
const PERIOD_CLOSED: Duration = Duration::from_millis(300);

/// A probe that takes longer says that the database does not answer.
const LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closed {
        /// Whether an attempt met the outage, and not only a probe.
        met: bool,
    },
    /// The database answers, and an attempt met what probes do not see. One command may be tried, unless it
    /// is under way.
    Trial {
        free: bool,
    },
}

pub(crate) struct DatabaseGate {
    service: String,
    database: Database,
    state: watch::Sender<State>,
    health: watch::Sender<Health>,
    /// When an attempt last got through.
    passed: Mutex<Option<Instant>>,
    /// An attempt closed it.
    met: Notify,
    stop: CancellationToken,
}

impl DatabaseGate {
    /// An open gate; [`probe`](Self::probe) has to run beside it.
    pub(crate) fn new(
        service: &str,
        database: Database,
        health: watch::Sender<Health>,
        stop: CancellationToken,
    ) -> Self {
        let (state, passed) = (watch::Sender::new(State::Open), Mutex::default());
        let service = service.to_owned();
        Self { service, database, state, health, passed, met: Notify::new(), stop }
    }

    /// Waits until something may be pulled; false when the service stops.
    pub(crate) async fn pass(&self) -> bool {
        let mut state = self.state.subscribe();
        tokio::select! {
            biased;
            passed = state.wait_for(|state| *state == State::Open) => passed.is_ok(),
            () = self.stop.cancelled() => false,
        }
    }

    /// Waits until a command may be tried; false when the service stops before.
    pub(crate) async fn admit(&self) -> bool {
        let mut state = self.state.subscribe();
        let may_try = |state: &State| matches!(state, State::Open | State::Trial { free: true });
        loop {
            tokio::select! {
                biased;
                // The sender lives as long as `self`.
                _ = state.wait_for(may_try) => {}
                () = self.stop.cancelled() => return false,
            }
            if self.take_turn() {
                return true;
            }
        }
    }

    /// Takes the turn of a trial; whether a command may be tried.
    fn take_turn(&self) -> bool {
        let mut admitted = false;
        self.state.send_if_modified(|state| {
            let trial = *state == State::Trial { free: true };
            admitted = trial || *state == State::Open;
            if trial {
                *state = State::Trial { free: false };
            }
            trial
        });
        admitted
    }

    /// An attempt got through to the database.
    pub(crate) fn succeeded(&self) {
        *self.passed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        if matches!(*self.state.borrow(), State::Trial { .. }) {
            self.open();
        }
    }

    /// An attempt that began at `began` met what looks like an outage. Whether it is one: then the gate
    /// is closed. Where others got through meanwhile, it is not.
    pub(crate) fn close(&self, began: Instant, error: &str) -> bool {
        let passed = *self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        if passed.is_some_and(|passed| passed > began) {
            return false;
        }
        self.shut(true, error);
        self.met.notify_one();
        true
    }

    fn shut(&self, met: bool, error: &str) {
        let mut before = State::Open;
        self.state.send_modify(|state| {
            before = *state;
            let met = met || matches!(before, State::Closed { met: true } | State::Trial { .. });
            *state = State::Closed { met };
        });
        if before == State::Open {
            let service = &self.service;
            tracing::warn!(service, error, "the database does not answer: waiting for it");
            self.report(Some(format!("its database does not answer: {error}")));
        }
    }

    fn open(&self) {
        if self.state.send_replace(State::Open) != State::Open {
            tracing::info!(service = self.service, "the database answers again");
            self.report(None);
        }
    }

    /// Shows in metrics and health whether the database is away, and why.
    fn report(&self, away: Option<String>) {
        let value = if away.is_some() { 1.0 } else { 0.0 };
        metrics::gauge!("amends_worker_database_away", "service" => self.service.clone())
            .set(value);
        self.health.send_modify(|health| health.database = away);
    }

    /// Probes until stopped, on a connection of its own: the pool's may all be at work.
    pub(crate) async fn probe(&self) {
        let (mut connection, mut suspect) = (None, None);
        loop {
            let open = *self.state.borrow() == State::Open;
            let mut met = false;
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(if open { PERIOD } else { PERIOD_CLOSED }) => {}
                () = self.met.notified() => met = true,
            }
            match self.look(&mut connection, &mut suspect).await {
                // What hangs on sessions that are given up has its time to end.
                Ok(()) if suspect.is_some_and(|until| Instant::now() < until) => {}
                Ok(()) => self.answers(met),
                Err(error) => self.shut(false, &describe(&error)),
            }
        }
    }

    /// The database answers a probe: opens the gate, or has one command tried where an attempt closed it, but
    /// not at once where it was closed just now.
    fn answers(&self, just_met: bool) {
        let state = *self.state.borrow();
        match state {
            State::Open => {}
            State::Closed { met: false } => self.open(),
            State::Closed { met: true } | State::Trial { .. } => {
                self.state.send_replace(State::Trial { free: !just_met });
            }
        }
    }

    /// Asks on the connection that is there, and then on a new one.
    async fn look(
        &self,
        connection: &mut Option<PgConnection>,
        suspect: &mut Option<Instant>,
    ) -> sqlx::Result<()> {
        if let Some(mut known) = connection.take() {
            match ask(&mut known).await {
                Ok(()) => {
                    *connection = Some(known);
                    return Ok(());
                }
                Err(error) => {
                    tracing::debug!(service = self.service, %error, class = ?class_of(&error), "a probe failed");
                    // Truth first: a new connection may take longer than a probe has.
                    self.shut(false, &describe(&error));
                    *suspect = Some(self.database.suspect());
                }
            }
        }
        let mut new = self.database.fresh().await?;
        ask(&mut new).await?;
        *connection = Some(new);
        Ok(())
    }
}

async fn ask(connection: &mut PgConnection) -> sqlx::Result<()> {
    let silence = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    let asked = sqlx::query_file!("src/barrier/probe.sql").fetch_one(connection);
    let row = timeout(LIMIT, asked).await.map_err(silence)??;
    if row.writable { Ok(()) } else { Err(sqlx::Error::Protocol("it takes no writes".into())) }
}
