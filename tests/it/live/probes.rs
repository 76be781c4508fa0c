//! The probes among clients that do not behave: what a role needs for its work is not used up.

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::traces::{address, get};
use crate::support::{Shop, eventually};

/// Connections to the probes at once.
const CONNECTIONS_MAX: usize = 64;

/// What else a role may open meanwhile.
const SOME: usize = 16;

/// Requests whose heads never end.
async fn half_sent(addr: &str, count: usize) -> Vec<TcpStream> {
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        // It may be cut already.
        let _ = stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: amends\r\n").await;
        open.push(stream);
    }
    open
}

#[tokio::test]
async fn half_sent_requests_leave_the_probes_and_the_role_alone() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let mut shop = Shop::closed().await;
    shop.start("orchestrator", &["orchestrator", "--http", "127.0.0.1:0"]);
    let addr = address(&shop, "orchestrator").await;
    let ready = async || get(&addr, "/readyz").await.0 == 200;
    eventually("readiness", async || ready().await.then_some(())).await;
    let descriptors = format!("/proc/{}/fd", shop.pid("orchestrator"));
    let descriptors = || std::fs::read_dir(&descriptors).unwrap().count();
    let before = descriptors();

    let held = half_sent(&addr, 1_100).await;
    let now = descriptors();
    assert!(now <= before + CONNECTIONS_MAX + SOME, "{before} before, {now} now");
    let began = Instant::now();
    assert!(timeout(Duration::from_secs(2), ready()).await.expect("an answer in time"));
    println!("{before} descriptors before, {now} with 1,100; ready after {:?}", began.elapsed());
    // Whoever goes on sending nothing is cut.
    eventually("the end of all connections", async || {
        (descriptors() <= before + SOME).then_some(())
    })
    .await;
    drop(held);

    // Nor do they hold up an end.
    let held = half_sent(&addr, CONNECTIONS_MAX).await;
    let ended = timeout(Duration::from_secs(4), shop.terminate("orchestrator")).await;
    assert_eq!(ended.expect("an end in seconds"), Some(0));
    drop(held);
}

/// A body is not read, and answered at once.
#[tokio::test]
async fn an_endless_body_is_not_waited_for() {
    let mut shop = Shop::closed().await;
    shop.start("orchestrator", &["orchestrator", "--http", "127.0.0.1:0"]);
    let addr = address(&shop, "orchestrator").await;
    let head = "POST /readyz HTTP/1.1\r\nHost: amends\r\nContent-Length: 1000000000\r\n\r\n";
    let mut stream = TcpStream::connect(&addr).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await;
    read.expect("the end of the connection").unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    let mut long = TcpStream::connect(&addr).await.unwrap();
    let _ = long.write_all(&[b'a'; 1 << 20]).await;
    let read = timeout(Duration::from_secs(10), long.read_to_string(&mut answer)).await;
    let _ = read.expect("the end of the connection");
}
