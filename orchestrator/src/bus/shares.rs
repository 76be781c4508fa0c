//! What lies unread for each service in the stream of commands: one that reads nothing is not to fill it for
//! all.
//!
//! A service has a share of the stream. A command beyond it is withheld, and so is one that is sent again
//! while nobody reads what was sent before. Nothing is lost by that: what is withheld is as a message that
//! JetStream lost. Its saga's timer sends it again.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use amends::{machine::Command, wire};
use tokio::time::Instant;

use super::{
    Topology, TopologyError,
    topology::OWN_ACK_WAIT,
    unread::{Judgement, Unread},
};

/// What a command takes in the stream beside its body: subject, headers, the server's own.
const OVERHEAD: u64 = 300;

/// Events whose commands are withheld and that are left to be delivered again, within [`LEFT_PERIOD`]:
/// their commands go out within seconds when there is room. More would fill their consumer, and hold up
/// the events of others: those are acked, and left to their sagas' timers.
const LEFT_MAX: u32 = 1000;

/// How long an event that is not acked waits for its next delivery.
const LEFT_PERIOD: Duration = OWN_ACK_WAIT;

/// The shares of all services.
pub(crate) struct Shares {
    topology: Topology,
    /// What one service may have lying unread, in bytes.
    share: AtomicU64,
    services: Mutex<BTreeMap<String, Unread>>,
    left: Mutex<Left>,
    /// One look at a time: whoever comes meanwhile waits for it.
    looking: tokio::sync::Mutex<()>,
}

struct Left {
    since: Instant,
    count: u32,
}

impl Shares {
    pub(crate) fn new(topology: Topology) -> Self {
        let share = share(topology.stream_bytes_max(), topology.services().len());
        let names = topology.services().iter();
        let services = names.map(|name| (name.clone(), Unread::new(name))).collect();
        Self {
            topology,
            share: AtomicU64::new(share),
            services: Mutex::new(services),
            left: Mutex::new(Left { since: Instant::now(), count: 0 }),
            looking: tokio::sync::Mutex::new(()),
        }
    }

    fn services(&self) -> MutexGuard<'_, BTreeMap<String, Unread>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a command is to be sent now.
    pub(crate) async fn admit(&self, command: &Command) -> bool {
        let Some((service, _)) = wire::operation_of_command(&command.subject) else { return true };
        let bytes = command.body.len() as u64 + OVERHEAD;
        let judge = |looked| {
            let now = Instant::now();
            let share = self.share.load(Ordering::Relaxed);
            let mut services = self.services();
            let unread = services.get_mut(service)?;
            let judgement = unread.judge(bytes, command.id.attempt, share, now, looked);
            Some((judgement, now))
        };
        let Some((judgement, asked)) = judge(false) else { return true };
        if judgement != Judgement::Look {
            return judgement == Judgement::Send;
        }
        self.look_since(service, asked).await;
        judge(true).is_none_or(|(judgement, _)| judgement == Judgement::Send)
    }

    /// Whether the source of a command that is withheld is left to be delivered again.
    pub(crate) fn leaves_source(&self) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.since.elapsed() >= LEFT_PERIOD {
            *left = Left { since: Instant::now(), count: 0 };
        }
        left.count += 1;
        left.count <= LEFT_MAX
    }

    /// Looks at one service, unless somebody did meanwhile. Without an answer the command is sent, and
    /// shows whether it can be.
    async fn look_since(&self, service: &str, asked: Instant) {
        let _one = self.looking.lock().await;
        let known = self.services().get(service).is_some_and(|unread| unread.known_since(asked));
        if known {
            return;
        }
        if let Err(error) = self.look_at(service, None).await {
            tracing::debug!(service, %error, "what lies unread for a service cannot be looked at");
        }
    }

    /// Looks at all services. To be repeated soon while one [`is_near`](Self::is_near) its share.
    ///
    /// # Errors
    /// [`TopologyError::Unavailable`].
    pub(crate) async fn look(&self) -> Result<(), TopologyError> {
        let _one = self.looking.lock().await;
        let fill = self.topology.commands_fill().await?;
        let services = fill.consumers.max(self.topology.services().len());
        self.share.store(share(fill.bytes_max, services), Ordering::Relaxed);
        for service in self.topology.services() {
            self.look_at(service, fill.bytes.checked_div(fill.messages)).await?;
        }
        Ok(())
    }

    async fn look_at(&self, service: &str, mean: Option<u64>) -> Result<(), TopologyError> {
        let Some(info) = self.topology.service_state(service).await? else { return Ok(()) };
        let share = self.share.load(Ordering::Relaxed);
        if let Some(unread) = self.services().get_mut(service) {
            unread.look(&info, mean, share, Instant::now());
        }
        Ok(())
    }

    /// Whether a service has more than half of its share lying unread.
    pub(crate) fn is_near(&self) -> bool {
        let half = self.share.load(Ordering::Relaxed) / 2;
        self.services().values().any(|unread| unread.bytes() > half)
    }
}

/// A part for each, and one that no service gets: what is known is a little old, and other replicas send
/// too.
fn share(stream_bytes_max: i64, services: usize) -> u64 {
    match u64::try_from(stream_bytes_max) {
        Ok(max) if max > 0 => max / (services as u64 + 1),
        // Its owner has set no limit.
        _ => u64::MAX,
    }
}
