//! A circuit breaker: stops pulling for a while when attempts fail one after another, because what
//! their handlers all need outside of the service's database is away then. (For the database itself
//! there is the database gate.)
//!
//! Closed, everything is pulled. Open, nothing is. Half-open, one command is tried: its end closes the
//! breaker, or opens it for longer.

use std::time::Duration;

use amends::Retry;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::Health;

/// For how long it stays open the `openings`-th time in a row. Never for longer than the
/// orchestrator's own longest delay between two attempts of a step.
fn open_for(openings: u32, service: &str) -> Duration {
    let retry = Retry::exponential(Duration::from_secs(1), Duration::from_secs(30));
    retry.delay(openings, service)
}

/// How much may be pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// As much as there are slots.
    All,
    /// One command, when no other runs: its end says how to go on.
    One,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many attempts failed in a row.
    Closed { failures: u32 },
    /// Nothing is pulled until then; it has opened so often in a row.
    Open { until: Instant, openings: u32 },
    /// One command is tried.
    HalfOpen { openings: u32 },
}

pub(crate) struct CircuitBreaker {
    service: String,
    /// How many failures in a row open it; `None` for never.
    limit: Option<u32>,
    state: watch::Sender<State>,
    health: watch::Sender<Health>,
}

impl CircuitBreaker {
    pub(crate) fn new(service: &str, limit: Option<u32>, health: watch::Sender<Health>) -> Self {
        let state = watch::Sender::new(State::Closed { failures: 0 });
        Self { service: service.to_owned(), limit, state, health }
    }

    /// Waits until something may be pulled; `None` when the service stops.
    pub(crate) async fn pass(&self, stop: &CancellationToken) -> Option<Allowance> {
        let mut state = self.state.subscribe();
        loop {
            let until = match *state.borrow_and_update() {
                State::Closed { .. } => return Some(Allowance::All),
                State::HalfOpen { .. } => return Some(Allowance::One),
                State::Open { until, .. } => until,
            };
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep_until(until) => self.half_open(),
                // A success of an attempt that was still running.
                _ = state.changed() => {}
            }
        }
    }

    /// Whether what `pass` allowed still holds.
    pub(crate) fn still_allows(&self, allowance: Allowance) -> bool {
        match *self.state.borrow() {
            State::Closed { .. } => allowance == Allowance::All,
            State::HalfOpen { .. } => allowance == Allowance::One,
            State::Open { .. } => false,
        }
    }

    fn half_open(&self) {
        self.state.send_if_modified(|state| {
            let State::Open { openings, .. } = *state else { return false };
            *state = State::HalfOpen { openings };
            true
        });
    }

    /// An attempt ended as its handler meant it to.
    pub(crate) fn succeeded(&self) {
        let before = self.state.send_replace(State::Closed { failures: 0 });
        if !matches!(before, State::Closed { .. }) {
            tracing::info!(service = self.service, "attempts succeed again: taking commands");
            self.report(None);
        }
    }

    /// An attempt failed: it will be retried.
    pub(crate) fn failed(&self, reason: &str) {
        let Some(limit) = self.limit else { return };
        let mut opened = None;
        self.state.send_modify(|state| {
            let (next, length) = after_failure(*state, limit, &self.service, Instant::now());
            *state = next;
            opened = length;
        });
        if let Some(length) = opened {
            let text = format!("attempts break in a row: taking no commands for {length:.1?}");
            tracing::warn!(service = self.service, error = reason, "{text}");
            self.report(Some(format!("{text}; the last said: {reason}")));
        }
    }

    /// Shows in metrics and health whether it is open, and why.
    fn report(&self, open: Option<String>) {
        let value = if open.is_some() { 1.0 } else { 0.0 };
        metrics::gauge!("amends_worker_breaker_open", "service" => self.service.clone()).set(value);
        self.health.send_modify(|health| health.circuit_breaker = open);
    }
}

/// The state after an attempt failed, and for how long it opens with this failure.
fn after_failure(
    state: State,
    limit: u32,
    service: &str,
    now: Instant,
) -> (State, Option<Duration>) {
    let openings = match state {
        State::Closed { failures } if failures + 1 < limit => {
            return (State::Closed { failures: failures + 1 }, None);
        }
        // An attempt that ran already.
        State::Open { .. } => return (state, None),
        State::Closed { .. } => 1,
        State::HalfOpen { openings } => openings.saturating_add(1),
    };
    let length = open_for(openings, service);
    (State::Open { until: now + length, openings }, Some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(limit: Option<u32>) -> CircuitBreaker {
        CircuitBreaker::new("bank", limit, watch::Sender::new(Health::default()))
    }

    fn reported(breaker: &CircuitBreaker) -> Option<String> {
        breaker.health.borrow().circuit_breaker.clone()
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let breaker = breaker(Some(3));
        for _ in 0..4 {
            breaker.failed("no answer");
            breaker.failed("no answer");
            assert!(breaker.still_allows(Allowance::All) && reported(&breaker).is_none());
            breaker.succeeded();
        }
        for _ in 0..3 {
            breaker.failed("no answer");
        }
        assert!(reported(&breaker).unwrap().ends_with("the last said: no answer"));
        assert!(!breaker.still_allows(Allowance::All) && !breaker.still_allows(Allowance::One));
        breaker.succeeded();
        assert!(breaker.still_allows(Allowance::All) && reported(&breaker).is_none());
    }

    #[test]
    fn it_opens_for_longer_until_a_trial_succeeds() {
        let (now, mut state) = (Instant::now(), State::Closed { failures: 0 });
        let mut lengths = Vec::new();
        for _ in 0..12 {
            let (open, length) = after_failure(state, 1, "bank", now);
            lengths.push(length.unwrap());
            // What still ran makes it no worse.
            assert_eq!(after_failure(open, 1, "bank", now), (open, None));
            let State::Open { openings, until } = open else { panic!("{open:?}") };
            assert_eq!(until, now + length.unwrap());
            state = State::HalfOpen { openings };
        }
        assert!(lengths[0] <= Duration::from_secs(1), "{lengths:?}");
        assert!(lengths[4] >= Duration::from_secs(8), "{lengths:?}");
        assert!(lengths.iter().all(|l| *l <= Duration::from_secs(30)), "{lengths:?}");
    }

    #[tokio::test]
    async fn it_opens_only_where_that_is_asked_for() {
        let breaker = breaker(None);
        for _ in 0..1000 {
            breaker.failed("no answer");
        }
        assert_eq!(breaker.pass(&CancellationToken::new()).await, Some(Allowance::All));
    }

    #[tokio::test]
    async fn it_is_half_open_after_its_time_unless_the_service_stops() {
        let (breaker, stop) = (breaker(Some(1)), CancellationToken::new());
        breaker.failed("no answer");
        let began = Instant::now();
        assert_eq!(breaker.pass(&stop).await, Some(Allowance::One));
        assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
        assert!(breaker.still_allows(Allowance::One));
        breaker.failed("no answer");
        assert!(
            !breaker.still_allows(Allowance::One),
            "it failed: there is no second trial before its time"
        );
        stop.cancel();
        assert_eq!(breaker.pass(&stop).await, None);
    }
}
