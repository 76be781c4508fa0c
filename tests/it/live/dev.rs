//! `dev`: private servers, orchestrator and services in one process.

use std::{net::Ipv4Addr, path::Path, process::Stdio};

use tokio::process::{Child, Command};

use super::new::{Tour, publish};
use crate::support::{amends, eventually, folder, listen};

fn dev(data: &Path, ports: [u16; 2]) -> Command {
    let [postgres, nats] = ports.map(|port| port.to_string());
    let mut command = Command::new(amends());
    command.args(["dev", "--postgres-port", &postgres, "--nats-port", &nats, "--data"]).arg(data);
    command.env_remove("DATABASE_URL").env_remove("NATS_URL").kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn ended(dev: Child) {
    amends_app::ask_to_end(&dev);
    let output = dev.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The servers listen where their user says, and each start prints an example that starts a saga.
#[tokio::test]
async fn each_start_shows_something_new_on_the_ports_asked_for() {
    let data = folder();
    let (one, two) =
        (listen(Ipv4Addr::LOCALHOST.into()).await, listen(Ipv4Addr::LOCALHOST.into()).await);
    let ports = [&one, &two].map(|listener| listener.local_addr().unwrap().port());

    let refused = dev(data.path(), ports).output().await.unwrap();
    let error = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(error.contains("another program has it"), "{error}");
    drop((one, two));

    let mut first = dev(data.path(), ports).spawn().unwrap();
    let tour = Tour::of(&mut first).await;
    assert!(tour.database_url.contains(&format!("127.0.0.1:{}/", ports[0])));
    assert_eq!(tour.nats_url, format!("nats://127.0.0.1:{}", ports[1]));
    assert_eq!(tour.key, "o-1001");
    publish(&tour.nats_url, &tour.subject, &tour.body).await;
    eventually("the saga", async || {
        let args = ["show", &tour.key, "--database-url", &tour.database_url];
        let shown = Command::new(amends()).args(args).output().await.unwrap();
        shown.status.success().then_some(())
    })
    .await;
    ended(first).await;

    let mut second = dev(data.path(), ports).spawn().unwrap();
    let next = Tour::of(&mut second).await;
    assert_eq!(next.key, "o-1001-2");
    assert_eq!(next.body, tour.body.replace("o-1001", "o-1001-2"));
    ended(second).await;
}
