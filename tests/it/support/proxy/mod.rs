//! A TCP proxy before Postgres or NATS, whose faults a test switches while it runs.

mod answers;
mod link;
mod orders;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use self::{
    link::{Link, drop_all},
    orders::{Newcomers, Orders},
};
use super::port::listen;

/// What a proxy has seen, and done.
#[derive(Debug, Default)]
struct Seen {
    connections: AtomicU64,
    swallowed: AtomicU64,
    silenced: AtomicU64,
    reset: AtomicU64,
    delayed: AtomicU64,
    commits: AtomicU64,
    cut: AtomicU64,
}

/// Passes everything until it is told otherwise; gone with this value.
pub(crate) struct Proxy {
    url: String,
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before the server of this address.
    pub(crate) async fn before(url: &str) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), url).await
    }

    /// As [`Self::before`], at an address of IPv6.
    pub(crate) async fn on_ipv6_before(url: &str) -> Self {
        Self::at(Ipv6Addr::LOCALHOST.into(), url).await
    }

    async fn at(ip: IpAddr, url: &str) -> Self {
        let server = server_of(url);
        let listener = listen(ip).await;
        let address = listener.local_addr().unwrap();
        let (orders, ordered) = watch::channel(Orders::default());
        let seen = Arc::new(Seen::default());
        let door = Door {
            address,
            server,
            speaks_postgres: url.starts_with("postgres"),
            orders: ordered,
            seen: Arc::clone(&seen),
        };
        let accepting = tokio::spawn(door.stand(listener));
        let url = url.replacen(&server.to_string(), &address.to_string(), 1);
        Self { url, address, orders, seen, accepting }
    }

    /// The server's address by way of this proxy.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets new connections through, at once; silence and resets of older ones are for ever.
    pub(crate) fn pass(&self) {
        self.order(|orders, _| {
            orders.newcomers = Newcomers::Pass;
            orders.delay = Duration::ZERO;
            orders.cut_every = None;
        });
    }

    /// A hung middlebox: the connections that are there stay, and all bytes vanish, but their receipt is
    /// acknowledged. New ones pass.
    pub(crate) fn swallow(&self) {
        self.order(|orders, connections| orders.swallowed = connections);
    }

    /// As [`Self::swallow`], and new connections as well.
    pub(crate) fn swallow_all(&self) {
        self.order(|orders, connections| {
            orders.swallowed = connections;
            orders.newcomers = Newcomers::Swallow;
        });
    }

    /// A firewall that forgot the connections that are there: no packet passes, so that nothing is
    /// acknowledged either. New ones pass.
    pub(crate) fn vanish(&self) {
        self.order(|orders, connections| orders.vanished = connections);
    }

    /// A host that is gone: no packet passes, of whatever connection.
    pub(crate) fn vanish_all(&self) {
        self.order(|orders, connections| {
            orders.vanished = connections;
            orders.newcomers = Newcomers::Vanish;
        });
    }

    /// Resets the connections that are there.
    pub(crate) fn reset(&self) {
        self.order(|orders, connections| orders.reset = connections);
    }

    /// Resets what is there, and refuses new connections: nobody listens.
    pub(crate) fn refuse(&self) {
        self.order(|orders, connections| {
            orders.reset = connections;
            orders.newcomers = Newcomers::Refuse;
        });
    }

    /// The server notices that the connections in silence are dead, and ends them; their clients do not.
    pub(crate) fn forget(&self) {
        self.order(|orders, _| orders.forgotten = orders.swallowed.max(orders.vanished));
    }

    /// Everything takes so much longer, each way.
    pub(crate) fn delay(&self, delay: Duration) {
        self.order(|orders, _| orders.delay = delay);
    }

    /// Of each so many commits of Postgres one is not answered: its connection is reset instead.
    pub(crate) fn cut_every(&self, commits: u64) {
        self.order(|orders, _| orders.cut_every = Some(commits));
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> u64 {
        self.seen.connections.load(Relaxed)
    }

    /// How many bytes were swallowed.
    pub(crate) fn swallowed(&self) -> u64 {
        self.seen.swallowed.load(Relaxed)
    }

    /// How often a fault met a connection, or bytes of one.
    pub(crate) fn met(&self) -> u64 {
        let Seen { swallowed, silenced, reset, delayed, cut, .. } = &*self.seen;
        [swallowed, silenced, reset, delayed, cut].iter().map(|times| times.load(Relaxed)).sum()
    }

    /// How many commits were not answered.
    pub(crate) fn cut(&self) -> u64 {
        self.seen.cut.load(Relaxed)
    }

    fn order(&self, change: impl FnOnce(&mut Orders, u64)) {
        self.orders.send_modify(|orders| change(orders, self.connections()));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Where connections come in.
struct Door {
    address: SocketAddr,
    server: SocketAddr,
    speaks_postgres: bool,
    orders: watch::Receiver<Orders>,
    seen: Arc<Seen>,
}

impl Door {
    async fn stand(mut self, listener: TcpListener) {
        let (mut listener, mut links) = (Some(listener), JoinSet::new());
        loop {
            let newcomers = self.orders.borrow_and_update().newcomers;
            if newcomers == Newcomers::Refuse {
                listener = None;
            }
            let Some(door) = &listener else {
                if newcomers != Newcomers::Refuse {
                    listener = Some(self.listen_again().await);
                } else if self.orders.changed().await.is_err() {
                    return;
                }
                continue;
            };
            drop_all(&SockRef::from(door), newcomers == Newcomers::Vanish);
            tokio::select! {
                accepted = door.accept() => {
                    let (client, _) = accepted.unwrap();
                    links.spawn(self.link().run(client));
                }
                changed = self.orders.changed() => if changed.is_err() { return },
                Some(_) = links.join_next() => {}
            }
        }
    }

    async fn listen_again(&self) -> TcpListener {
        loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => return listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    fn link(&self) -> Link {
        Link {
            number: self.seen.connections.fetch_add(1, Relaxed),
            server: self.server,
            speaks_postgres: self.speaks_postgres,
            orders: self.orders.clone(),
            seen: Arc::clone(&self.seen),
        }
    }
}

/// Host and port of a URL.
fn server_of(url: &str) -> SocketAddr {
    let rest = url.split_once("://").unwrap().1;
    let authority = rest.split(['/', '?']).next().unwrap();
    let address = authority.rsplit('@').next().unwrap();
    address.parse().unwrap()
}
