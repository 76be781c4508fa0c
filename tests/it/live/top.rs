//! `top`: for scripts, and on a terminal.

use std::{
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    process::Stdio,
};

use serde_json::Value;

use crate::support::{Shop, eventually, order};

#[tokio::test]
async fn one_frame() {
    let shop = Shop::open(&["payment", "shipping", "notification"]).await;
    let empty = shop.done(&["top"]).await;
    assert!(empty.contains("none is open"), "{empty}");
    assert!(!empty.contains('\x1b'), "colours are for terminals: {empty:?}");
    shop.publish_order(&order("o-1")).await;
    shop.publish("no json").await;
    shop.at_least("select count(*) from amends.dead_letters", 1).await;
    shop.at_least(
        "select count(*) from amends.steps where step = 'shipping.book' and status = 'done'",
        1,
    )
    .await;
    let text = shop.done(&["top", "--once"]).await;
    for words in ["open 1", "dead letters 1", "o-1", "inventory.reserve", "EFFECTS AT"] {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }
    let top: Value = serde_json::from_str(&shop.done(&["top", "--json"]).await).unwrap();
    assert_eq!(top["sagas"][0]["definition"], "order");
    assert_eq!(top["sagas"][0]["sagas"], 1);
    assert_eq!(top["dead_letters"], 1);
    assert_eq!(top["oldest"][0]["key"], "o-1");
    let exposed: Vec<_> = top["exposed"].as_array().unwrap().iter().collect();
    assert_eq!(exposed.len(), 3, "{exposed:?}");
    assert!(top["rates"]["started_per_second"].is_f64());
}

#[tokio::test]
async fn on_a_terminal() {
    let shop = Shop::open(&["payment"]).await;
    shop.publish_order(&order("o-1")).await;
    shop.at_least(
        "select count(*) from amends.steps where service = 'inventory' and attempts > 0",
        1,
    )
    .await;
    let terminal = nix::pty::openpty(None, None).unwrap();
    let before = nix::sys::termios::tcgetattr(&terminal.slave).unwrap();
    let side = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
    let mut child = shop
        .command(&["top"])
        .stdin(side(&terminal.slave))
        .stdout(side(&terminal.slave))
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut master = std::fs::File::from(terminal.master.try_clone().unwrap());
    let shown = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let written = std::sync::Arc::clone(&shown);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(read) = master.read(&mut bytes) {
            written.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    });
    let frames = |text: &str| text.matches("q leaves").count();
    eventually("two frames", async || (frames(&shown.lock().unwrap()) > 1).then_some(())).await;
    assert!(shown.lock().unwrap().contains("o-1"));
    std::fs::File::from(terminal.master.try_clone().unwrap()).write_all(b"q").unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    // Everything is as it was: the screen, the cursor, the echo.
    let after = nix::sys::termios::tcgetattr(&terminal.slave).unwrap();
    assert_eq!(after.local_flags, before.local_flags);
    eventually("the screen as it was", async || {
        shown.lock().unwrap().ends_with("\x1b[?25h\x1b[?1049l").then_some(())
    })
    .await;
}
