//! The proxy does what its faults are named after.

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use socket2::SockRef;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::support::{Proxy, eventually, postgres};

const SHORT: Duration = Duration::from_millis(300);

/// A proxy before a server that says all again that it hears.
async fn echo() -> (Proxy, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::before(&format!("nats://{}", listener.local_addr().unwrap())).await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    let address = proxy.url().trim_start_matches("nats://").to_owned();
    (proxy, address)
}

async fn say(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"ho").await?;
    stream.read_exact(&mut [0; 2]).await.map(drop)
}

#[tokio::test]
async fn what_is_swallowed_stays_open_and_new_connections_pass() {
    let (proxy, address) = echo().await;
    let mut old = TcpStream::connect(&address).await.unwrap();
    say(&mut old).await.unwrap();
    proxy.swallow();
    timeout(SHORT, say(&mut old)).await.unwrap_err();
    assert_eq!(proxy.swallowed(), 2);
    let mut new = TcpStream::connect(&address).await.unwrap();
    say(&mut new).await.unwrap();
    proxy.swallow_all();
    let mut newer = TcpStream::connect(&address).await.unwrap();
    timeout(SHORT, say(&mut newer)).await.unwrap_err();
    proxy.pass();
    timeout(SHORT, say(&mut new)).await.unwrap_err();
    say(&mut TcpStream::connect(&address).await.unwrap()).await.unwrap();
    assert_eq!(proxy.connections(), 4);
}

#[tokio::test]
async fn what_vanishes_is_not_even_acknowledged() {
    let (proxy, address) = echo().await;
    let mut old = TcpStream::connect(&address).await.unwrap();
    SockRef::from(&old).set_tcp_user_timeout(Some(SHORT)).unwrap();
    say(&mut old).await.unwrap();
    proxy.vanish_all();
    eventually("a host that is gone", async || {
        timeout(SHORT, TcpStream::connect(&address)).await.is_err().then_some(())
    })
    .await;
    let lost = say(&mut old).await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::TimedOut);
    proxy.pass();
    let mut new = eventually("the host", async || TcpStream::connect(&address).await.ok()).await;
    say(&mut new).await.unwrap();
}

#[tokio::test]
async fn resets_refusals_and_delays() {
    let (proxy, address) = echo().await;
    let mut old = TcpStream::connect(&address).await.unwrap();
    say(&mut old).await.unwrap();
    proxy.refuse();
    assert_eq!(say(&mut old).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    eventually("a port that nobody listens on", async || {
        let refused = TcpStream::connect(&address).await.err()?;
        (refused.kind() == ErrorKind::ConnectionRefused).then_some(())
    })
    .await;
    proxy.pass();
    let mut new = eventually("the port", async || TcpStream::connect(&address).await.ok()).await;
    proxy.delay(SHORT);
    let began = Instant::now();
    say(&mut new).await.unwrap();
    assert!(began.elapsed() >= 2 * SHORT);
    proxy.reset();
    assert_eq!(say(&mut new).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_commit_is_done_and_not_answered() {
    let fresh = postgres().await;
    let proxy = Proxy::before(&fresh.url).await;
    let mut direct = PgConnection::connect(&fresh.url).await.unwrap();
    direct.execute("create table t (n integer)").await.unwrap();
    let mut session = PgConnection::connect(proxy.url()).await.unwrap();
    session.execute("insert into t values (1)").await.unwrap();
    proxy.cut_every(2);
    session.execute("insert into t values (2)").await.unwrap();
    let mut transaction = session.begin().await.unwrap();
    transaction.execute("insert into t values (3)").await.unwrap();
    transaction.commit().await.unwrap_err();
    assert_eq!(proxy.cut(), 1);
    let rows = sqlx::query_scalar::<_, i64>("select count(*) from t").fetch_one(&mut direct).await;
    assert_eq!(rows.unwrap(), 3);
}
