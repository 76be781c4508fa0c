//! One connection through a proxy.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use socket2::{SockRef, Socket};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};

use super::{
    Seen,
    answers::Answers,
    orders::{Newcomers, Orders},
};

pub(super) struct Link {
    pub(super) number: u64,
    pub(super) server: SocketAddr,
    pub(super) speaks_postgres: bool,
    pub(super) orders: watch::Receiver<Orders>,
    pub(super) seen: Arc<Seen>,
}

/// How a connection ends.
#[derive(PartialEq, Eq)]
enum End {
    Closed,
    Reset,
    /// The server has ended it; the client is not told.
    Forgotten,
}

impl Link {
    /// Passes bytes on until both ends have closed; a fault of one end is a reset of the other.
    pub(super) async fn run(self, mut client: TcpStream) {
        if self.orders.borrow().newcomers == Newcomers::Swallow {
            return self.swallow(client).await;
        }
        let Ok(mut server) = TcpStream::connect(self.server).await else {
            return client.set_zero_linger().unwrap();
        };
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        let sockets = [&client, &server].map(|stream| SockRef::from(stream).try_clone().unwrap());
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let answers = self.speaks_postgres.then(Answers::default);
        let end = tokio::select! {
            passed = async {
                tokio::try_join!(
                    self.pump(&mut from_client, &mut to_server, None),
                    self.pump(&mut from_server, &mut to_client, answers),
                )
            } => if passed.is_ok() { End::Closed } else { End::Reset },
            end = self.obey(&sockets) => end,
        };
        let [client_socket, server_socket] = sockets;
        if end != End::Closed {
            server_socket.set_linger(Some(Duration::ZERO)).unwrap();
        }
        if end == End::Reset {
            client_socket.set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop((server, server_socket));
        if end == End::Forgotten {
            self.swallow(client).await;
        }
    }

    /// Until this connection, or its half at the server, is to be reset.
    async fn obey(&self, sockets: &[Socket; 2]) -> End {
        let (mut orders, mut silent) = (self.orders.clone(), false);
        loop {
            let now = *orders.borrow_and_update();
            if self.number < now.reset {
                self.seen.reset.fetch_add(1, Relaxed);
                return End::Reset;
            }
            if self.number < now.forgotten {
                return End::Forgotten;
            }
            if self.number < now.vanished && !silent {
                silent = true;
                self.seen.silenced.fetch_add(1, Relaxed);
                sockets.iter().for_each(|socket| drop_all(&SockRef::from(socket), true));
            }
            if orders.changed().await.is_err() {
                return End::Reset;
            }
        }
    }

    async fn pump(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        mut answers: Option<Answers>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 32 << 10];
        loop {
            let read = from.read(&mut buffer).await?;
            let orders = *self.orders.borrow();
            if self.number < orders.swallowed {
                self.seen.swallowed.fetch_add(read as u64, Relaxed);
                if read == 0 {
                    // The other end does not learn of it.
                    std::future::pending::<()>().await;
                }
                continue;
            }
            if read == 0 {
                return to.shutdown().await;
            }
            if !orders.delay.is_zero() {
                self.seen.delayed.fetch_add(1, Relaxed);
                tokio::time::sleep(orders.delay).await;
            }
            if let Some(answers) = &mut answers
                && self.cuts(answers.commits_in(&buffer[..read]), orders.cut_every)
            {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            to.write_all(&buffer[..read]).await?;
        }
    }

    /// Whether the answer to one of these commits is to be lost.
    fn cuts(&self, commits: u64, one_of: Option<u64>) -> bool {
        let Some(one_of) = one_of.filter(|_| commits > 0) else { return false };
        let before = self.seen.commits.fetch_add(commits, Relaxed);
        let cuts = before / one_of < (before + commits) / one_of;
        self.seen.cut.fetch_add(cuts.into(), Relaxed);
        cuts
    }

    /// A connection whose client is not told that nobody is there.
    async fn swallow(&self, mut client: TcpStream) {
        let mut buffer = vec![0; 32 << 10];
        let mut orders = self.orders.clone();
        loop {
            tokio::select! {
                read = client.read(&mut buffer) => match read {
                    Ok(read) if read > 0 => {
                        self.seen.swallowed.fetch_add(read as u64, Relaxed);
                    }
                    _ => return,
                },
                reset = orders.wait_for(|orders| self.number < orders.reset) => {
                    drop(reset);
                    return client.set_zero_linger().unwrap();
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn drop_all(_: &SockRef<'_>, drop: bool) {
    assert!(!drop, "only Linux drops the packets of a socket");
}

/// Has the system drop all packets that come for a socket, acknowledgements as well, or stop that.
#[cfg(target_os = "linux")]
pub(super) fn drop_all(socket: &SockRef<'_>, drop: bool) {
    /// `ret #0`: of each packet keep nothing.
    const NOTHING: socket2::SockFilter = socket2::SockFilter::new(0x06, 0, 0, 0);
    if drop {
        socket.attach_filter(&[NOTHING]).unwrap();
    } else if let Err(error) = socket.detach_filter() {
        // There was none.
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    }
}
