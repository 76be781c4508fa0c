//! Ports that stay free for whom they are for.

use std::{
    io::ErrorKind,
    net::IpAddr,
    sync::atomic::{AtomicU16, Ordering::Relaxed},
};

use tokio::net::TcpListener;

/// Below the ports that the system gives to outgoing connections: one that nobody listens on for a while
/// must not be taken by a client that calls it.
const PORTS: u16 = 6_000;
const FIRST: u16 = 24_000;

/// How many ports were given away: nobody gets one that another test may listen on again.
static GIVEN: AtomicU16 = AtomicU16::new(0);

/// Listens on a port that is like no other of this process.
pub(crate) async fn listen(ip: IpAddr) -> TcpListener {
    // Processes that run side by side begin somewhere else.
    let begin = u16::try_from(std::process::id() * 97 % u32::from(PORTS)).unwrap();
    for _ in 0..PORTS {
        let port = FIRST + (begin + GIVEN.fetch_add(1, Relaxed) % PORTS) % PORTS;
        match TcpListener::bind((ip, port)).await {
            Ok(listener) => return listener,
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => panic!("nothing can listen on {ip}: {error}"),
        }
    }
    panic!("no port of {ip} is free");
}
