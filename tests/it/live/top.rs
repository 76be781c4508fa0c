//! `top`: for scripts, and on a terminal.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    process::Stdio,
    sync::{Arc, Mutex},
};

use nix::{
    pty::{OpenptyResult, openpty},
    sys::termios::tcgetattr,
};
use serde_json::Value;
use tokio::process::Child;

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
    // Postgres may report what was done up to ten seconds later: no rate can be told by one look.
    assert_eq!(top["rates"], Value::Null);
    assert!(!text.contains("/s"), "{text}");
}

/// A `top` that runs on a terminal.
struct Watched {
    top: Child,
    terminal: OpenptyResult,
    shown: Arc<Mutex<String>>,
}

impl Watched {
    fn new(shop: &Shop, term: &str, no_color: &str) -> Self {
        let terminal = openpty(None, None).unwrap();
        let side = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        let mut command = shop.command(&["top"]);
        command.env("TERM", term).env("NO_COLOR", no_color).stderr(Stdio::inherit());
        command.stdin(side(&terminal.slave)).stdout(side(&terminal.slave));
        let top = command.spawn().unwrap();
        let mut master = File::from(terminal.master.try_clone().unwrap());
        let shown = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read) = master.read(&mut bytes) {
                written.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        Self { top, terminal, shown }
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    async fn frames(&self, count: usize) {
        let frames = || self.shown().matches("q leaves").count();
        eventually("the frames", async || (frames() >= count).then_some(())).await;
    }

    async fn ends(&mut self) {
        assert_eq!(self.top.wait().await.unwrap().code(), Some(0));
    }

    async fn quit(&mut self) {
        File::from(self.terminal.master.try_clone().unwrap()).write_all(b"q").unwrap();
        self.ends().await;
    }
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
    let mut top = Watched::new(&shop, "xterm", "");
    let before = tcgetattr(&top.terminal.slave).unwrap();
    top.frames(2).await;
    assert!(top.shown().contains("o-1"));
    top.quit().await;
    // Everything is as it was: the screen, the cursor, the echo.
    let after = tcgetattr(&top.terminal.slave).unwrap();
    assert_eq!(after.local_flags, before.local_flags);
    eventually("the screen as it was", async || {
        top.shown().ends_with("\x1b[?25h\x1b[?1049l").then_some(())
    })
    .await;
}

/// An alarm is red, and bold where colours are not wanted.
#[tokio::test]
async fn colours_are_left_out_where_nobody_wants_them() {
    const RED: &str = "\x1b[31m";
    let shop = Shop::open(&[]).await;
    shop.publish("no json").await;
    shop.at_least("select count(*) from amends.dead_letters", 1).await;
    for (no_color, red) in [("", true), ("1", false)] {
        let mut top = Watched::new(&shop, "xterm", no_color);
        top.frames(1).await;
        let shown = top.shown();
        assert_eq!(shown.contains(RED), red, "{shown:?}");
        assert_eq!(shown.contains("\x1b[1mamends"), !red, "{shown:?}");
        top.quit().await;
    }
}

/// What cannot be drawn over is written once.
#[tokio::test]
async fn a_dumb_terminal_gets_one_frame_of_plain_text() {
    let shop = Shop::open(&[]).await;
    shop.publish("no json").await;
    shop.at_least("select count(*) from amends.dead_letters", 1).await;
    let mut top = Watched::new(&shop, "dumb", "");
    top.ends().await;
    eventually("the frame", async || top.shown().contains("none is open").then_some(())).await;
    let shown = top.shown();
    assert!(shown.contains("dead letters 1") && !shown.contains('\x1b'), "{shown:?}");
}
