//! The configuration that the program writes: the shipped one is it, and a party is added by a reload.

use std::process::Command;

use crate::support::{Guarded, amends, eventually, folder};

const AGENCY: [&str; 4] = [
    "--publisher",
    "agency=trips.wanted,rentals.wanted,visas.granted",
    "--follower",
    "agency=trip,rental",
];
const SHOP: [&str; 4] = ["--publisher", "shop=orders.placed", "--follower", "shop=order"];

fn written(grants: &[&str]) -> String {
    let output = Command::new(amends()).arg("nats-config").args(grants).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// But for the line that says how it was written: the order of grants there is as they were given.
fn rights(conf: &str) -> &str {
    &conf[conf.find("server_name").unwrap()..]
}

#[test]
fn the_shipped_configuration_is_written_by_the_program() {
    let written = written(&[AGENCY, SHOP].concat());
    assert_eq!(
        rights(&Guarded::shipped()).replace("amends-under-test", "amends"),
        rights(&written)
    );
}

#[tokio::test]
async fn a_party_is_added_while_the_server_runs() {
    let folder = folder();
    let server = Guarded::start(&folder.path().join("nats"), &written(&AGENCY)).await;
    let admin = server.login("admin").await;
    let mut orders = admin.subscribe("orders.placed").await.unwrap();
    assert!(server.try_login("shop").await.is_err());
    server.reload(&Guarded::shipped());
    let shop = eventually("the new user", async || server.try_login("shop").await.ok()).await;
    // What a new account imports works from the next time on.
    server.reload(&Guarded::shipped());
    // Whoever was connected goes on.
    eventually("an order of the new user", async || {
        shop.publish("orders.placed", "{}".into()).await.unwrap();
        let order = futures_util::StreamExt::next(&mut orders);
        tokio::time::timeout(std::time::Duration::from_millis(200), order).await.ok()?
    })
    .await;
}
