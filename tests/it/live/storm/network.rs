//! What happens on the ways to both servers: of one orchestrator, of the other, or of all services.

use std::time::Duration;

use tokio::{net::TcpStream, time::timeout};

use super::world::{World, lasts};
use crate::support::{Chance, Proxy};

#[derive(Debug, Clone, Copy)]
pub(super) enum NetworkFault {
    PostgresSwallowed,
    PostgresVanished,
    PostgresHostGone,
    PostgresReset,
    PostgresPortClosed,
    PostgresSlow,
    CommitsCut,
    NatsSwallowed,
    NatsVanished,
    NatsHostGone,
    NatsReset,
    NatsPortClosed,
    NatsSlow,
}

impl NetworkFault {
    pub(super) const ALL: [Self; 13] = [
        Self::PostgresSwallowed,
        Self::PostgresVanished,
        Self::PostgresHostGone,
        Self::PostgresReset,
        Self::PostgresPortClosed,
        Self::PostgresSlow,
        Self::CommitsCut,
        Self::NatsSwallowed,
        Self::NatsVanished,
        Self::NatsHostGone,
        Self::NatsReset,
        Self::NatsPortClosed,
        Self::NatsSlow,
    ];

    /// Begins it, and ends it for new connections; whether it met one.
    pub(super) async fn strike(self, world: &World, chance: &mut Chance) -> bool {
        let way = &world.ways[chance.below(world.ways.len())];
        let (postgres, nats) = (&way.postgres, &way.nats);
        let (time, delay) = (chance.millis(1_000, 5_000), chance.millis(50, 300));
        match self {
            Self::PostgresSwallowed => met(postgres, time, Proxy::swallow).await,
            Self::PostgresVanished => met(postgres, time, Proxy::vanish).await,
            Self::PostgresHostGone => gone(postgres, time, Proxy::vanish_all).await,
            Self::PostgresReset => met(postgres, Duration::ZERO, Proxy::reset).await,
            Self::PostgresPortClosed => gone(postgres, time, Proxy::refuse).await,
            Self::PostgresSlow => met(postgres, time, |proxy| proxy.delay(delay)).await,
            Self::CommitsCut => met(postgres, time, |proxy| proxy.cut_every(5)).await,
            Self::NatsSwallowed => met(nats, time, Proxy::swallow).await,
            Self::NatsVanished => met(nats, time, Proxy::vanish).await,
            Self::NatsHostGone => gone(nats, time, Proxy::vanish_all).await,
            Self::NatsReset => met(nats, Duration::ZERO, Proxy::reset).await,
            Self::NatsPortClosed => gone(nats, time, Proxy::refuse).await,
            Self::NatsSlow => met(nats, time, |proxy| proxy.delay(delay)).await,
        }
    }
}

/// Whether it met a connection: one that is there, or else the next.
async fn met(proxy: &Proxy, time: Duration, strike: impl Fn(&Proxy)) -> bool {
    let before = proxy.met();
    let shown = lasts(time, async || {
        strike(proxy);
        tokio::time::sleep(Duration::from_millis(100)).await;
        proxy.met() > before
    })
    .await;
    end(proxy);
    shown
}

/// Whether nobody can connect.
async fn gone(proxy: &Proxy, time: Duration, strike: impl FnOnce(&Proxy)) -> bool {
    strike(proxy);
    let shown = lasts(time, async || {
        let connected = TcpStream::connect(proxy.address());
        !matches!(timeout(Duration::from_millis(300), connected).await, Ok(Ok(_)))
    })
    .await;
    end(proxy);
    shown
}

/// The server's ends of what is in silence end in time; the processes have to notice theirs.
fn end(proxy: &Proxy) {
    proxy.pass();
    proxy.forget();
}
