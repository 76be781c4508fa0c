//! Stops pulling for a while when handlers break one after another: what they all need outside of
//! the service's database is away then. (For the database itself there is the gate.)

use std::time::Duration;

use amends::Retry;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::Health;

/// The pause after so many in vain. None is longer than the orchestrator's own longest delay between
/// two attempts of a step.
fn pause(pauses: u32, service: &str) -> Duration {
    let retry = Retry::exponential(Duration::from_secs(1), Duration::from_secs(30));
    retry.delay(pauses, service)
}

/// How much may be pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pulling {
    /// As much as there are slots.
    All,
    /// One command, when no other runs: its end says how to go on.
    One,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// So many attempts broke in a row.
    Closed { broken: u32 },
    /// Nothing is pulled until then.
    Open { until: Instant, pauses: u32 },
    /// A pause is over.
    Trial { pauses: u32 },
}

pub(crate) struct Breaker {
    service: String,
    /// How many in a row open it; `None` for never.
    limit: Option<u32>,
    phase: watch::Sender<Phase>,
    health: watch::Sender<Health>,
}

impl Breaker {
    pub(crate) fn new(service: &str, limit: Option<u32>, health: watch::Sender<Health>) -> Self {
        let phase = watch::Sender::new(Phase::Closed { broken: 0 });
        Self { service: service.to_owned(), limit, phase, health }
    }

    /// Waits until something may be pulled; `None` when the service stops.
    pub(crate) async fn pass(&self, stop: &CancellationToken) -> Option<Pulling> {
        let mut phase = self.phase.subscribe();
        loop {
            let until = match *phase.borrow_and_update() {
                Phase::Closed { .. } => return Some(Pulling::All),
                Phase::Trial { .. } => return Some(Pulling::One),
                Phase::Open { until, .. } => until,
            };
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep_until(until) => self.try_one(),
                // A success of an attempt that was still running.
                _ = phase.changed() => {}
            }
        }
    }

    /// Whether what `pass` said still holds.
    pub(crate) fn still(&self, pulling: Pulling) -> bool {
        match *self.phase.borrow() {
            Phase::Closed { .. } => pulling == Pulling::All,
            Phase::Trial { .. } => pulling == Pulling::One,
            Phase::Open { .. } => false,
        }
    }

    fn try_one(&self) {
        self.phase.send_if_modified(|phase| {
            let Phase::Open { pauses, .. } = *phase else { return false };
            *phase = Phase::Trial { pauses };
            true
        });
    }

    /// An attempt ended as its handler meant it to.
    pub(crate) fn held(&self) {
        let before = self.phase.send_replace(Phase::Closed { broken: 0 });
        if !matches!(before, Phase::Closed { .. }) {
            tracing::info!(service = self.service, "attempts succeed again: taking commands");
            self.tell(None);
        }
    }

    /// An attempt broke.
    pub(crate) fn broke(&self, why: &str) {
        let Some(limit) = self.limit else { return };
        let mut opened = None;
        self.phase.send_modify(|phase| {
            let (next, length) = after_break(*phase, limit, &self.service, Instant::now());
            *phase = next;
            opened = length;
        });
        if let Some(length) = opened {
            let text = format!("attempts break in a row: taking no commands for {length:.1?}");
            tracing::warn!(service = self.service, error = why, "{text}");
            self.tell(Some(format!("{text}; the last said: {why}")));
        }
    }

    fn tell(&self, broken: Option<String>) {
        let open = if broken.is_some() { 1.0 } else { 0.0 };
        metrics::gauge!("amends_worker_breaker_open", "service" => self.service.clone()).set(open);
        self.health.send_modify(|health| health.broken = broken);
    }
}

/// What follows when an attempt breaks, and the length of a pause that begins with it.
fn after_break(phase: Phase, limit: u32, service: &str, now: Instant) -> (Phase, Option<Duration>) {
    let pauses = match phase {
        Phase::Closed { broken } if broken + 1 < limit => {
            return (Phase::Closed { broken: broken + 1 }, None);
        }
        // An attempt that ran already.
        Phase::Open { .. } => return (phase, None),
        Phase::Closed { .. } => 1,
        Phase::Trial { pauses } => pauses.saturating_add(1),
    };
    let length = pause(pauses, service);
    (Phase::Open { until: now + length, pauses }, Some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(limit: Option<u32>) -> Breaker {
        Breaker::new("bank", limit, watch::Sender::new(Health::default()))
    }

    fn broken(breaker: &Breaker) -> Option<String> {
        breaker.health.borrow().broken.clone()
    }

    #[test]
    fn only_breaks_in_a_row_open_it() {
        let breaker = breaker(Some(3));
        for _ in 0..4 {
            breaker.broke("no answer");
            breaker.broke("no answer");
            assert!(breaker.still(Pulling::All) && broken(&breaker).is_none());
            breaker.held();
        }
        for _ in 0..3 {
            breaker.broke("no answer");
        }
        assert!(broken(&breaker).unwrap().ends_with("the last said: no answer"));
        assert!(!breaker.still(Pulling::All) && !breaker.still(Pulling::One));
        breaker.held();
        assert!(breaker.still(Pulling::All) && broken(&breaker).is_none());
    }

    #[test]
    fn pauses_grow_until_a_trial_succeeds() {
        let (now, mut phase) = (Instant::now(), Phase::Closed { broken: 0 });
        let mut lengths = Vec::new();
        for _ in 0..12 {
            let (open, length) = after_break(phase, 1, "bank", now);
            lengths.push(length.unwrap());
            // What still ran makes it no worse.
            assert_eq!(after_break(open, 1, "bank", now), (open, None));
            let Phase::Open { pauses, until } = open else { panic!("{open:?}") };
            assert_eq!(until, now + length.unwrap());
            phase = Phase::Trial { pauses };
        }
        assert!(lengths[0] <= Duration::from_secs(1), "{lengths:?}");
        assert!(lengths[4] >= Duration::from_secs(8), "{lengths:?}");
        assert!(lengths.iter().all(|l| *l <= Duration::from_secs(30)), "{lengths:?}");
    }

    #[tokio::test]
    async fn it_opens_only_where_that_is_asked_for() {
        let breaker = breaker(None);
        for _ in 0..1000 {
            breaker.broke("no answer");
        }
        assert_eq!(breaker.pass(&CancellationToken::new()).await, Some(Pulling::All));
    }

    #[tokio::test]
    async fn a_pause_ends_with_one_trial_or_with_the_service() {
        let (breaker, stop) = (breaker(Some(1)), CancellationToken::new());
        breaker.broke("no answer");
        let began = Instant::now();
        assert_eq!(breaker.pass(&stop).await, Some(Pulling::One));
        assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
        assert!(breaker.still(Pulling::One));
        breaker.broke("no answer");
        assert!(
            !breaker.still(Pulling::One),
            "it broke: there is no second trial before the pause"
        );
        stop.cancel();
        assert_eq!(breaker.pass(&stop).await, None);
    }
}
