//! What the doctor says.

use std::{
    fmt,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{Agency, SERVICES, Shop, eventually};

/// The longest that it takes, whatever is broken: two waits for servers, and a slow machine.
const BOUND: Duration = Duration::from_secs(30);

/// An installation of both examples in which all is well, all services in one process.
pub(super) async fn healthy() -> Shop {
    let mut shop = Shop::closed().await;
    start(&mut shop).await;
    shop
}

/// Starts what an installation needs, and waits until the doctor finds nothing.
pub(super) async fn start(shop: &mut Shop) {
    shop.start("orchestrator", &["orchestrator"]);
    shop.listening().await;
    start_services(shop);
    eventually("health", async || {
        let findings = Findings::of(shop, &[]).await;
        (findings.code == Some(0) && findings.with("warning").is_empty()).then_some(())
    })
    .await;
}

pub(super) fn start_services(shop: &mut Shop) {
    let stock = shop.stock();
    let services = [&["worker"], &SERVICES[..], &Agency::SERVICES].concat();
    shop.start("services", &[&services[..], &["--seed-stock", &stock]].concat());
}

/// What it says, and how it ends.
pub(super) struct Findings {
    pub(super) code: Option<i32>,
    pub(super) all: Value,
    pub(super) error: String,
}

/// What is not well.
impl fmt::Debug for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exit code {:?}", self.code)?;
        for check in self.checks().filter(|check| check["verdict"] != "ok") {
            writeln!(
                f,
                "{} {}: {} → {}",
                check["verdict"],
                title(check),
                check["found"],
                check["advice"]
            )?;
        }
        write!(f, "{}", self.error)
    }
}

impl Findings {
    pub(super) async fn of(shop: &Shop, flags: &[&str]) -> Self {
        let began = Instant::now();
        let output = shop.run(&[&["doctor", "--json"], flags].concat()).await;
        assert!(began.elapsed() < BOUND, "{:?} for {flags:?}", began.elapsed());
        let error = String::from_utf8(output.stderr).unwrap();
        let all = serde_json::from_slice(&output.stdout);
        let all = all.unwrap_or_else(|_| panic!("{flags:?} says no JSON: {error}"));
        Self { code: output.status.code(), all, error }
    }

    pub(super) fn checks(&self) -> impl Iterator<Item = &Value> {
        self.all["checks"].as_array().unwrap().iter()
    }

    /// The checks that came to this, as `group: name`.
    pub(super) fn with(&self, verdict: &str) -> Vec<String> {
        let such = self.checks().filter(|check| check["verdict"] == verdict);
        such.map(title).collect()
    }

    /// What one says: what was found, and what to do.
    #[track_caller]
    pub(super) fn said(&self, name: &str) -> (String, String) {
        let check = self.checks().find(|check| title(check) == name);
        let check = check.unwrap_or_else(|| panic!("no {name} in {self:?}"));
        let text = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
        (text("found"), text("advice"))
    }

    /// Exactly these have failed, and the command says so and fails.
    #[track_caller]
    pub(super) fn fails(&self, expected: &[&str]) {
        assert_eq!(self.with("failed"), expected, "{self:?}");
        assert_eq!(self.code, Some(i32::from(!expected.is_empty())), "{self:?}");
        assert_eq!(self.all["ok"], expected.is_empty());
        for check in self.checks().filter(|check| check["verdict"] == "failed") {
            assert_ne!(check["advice"], Value::Null, "what to do: {check}");
            let name = check["name"].as_str().unwrap();
            assert!(self.error.contains(name), "{}", self.error);
        }
    }
}

fn title(check: &Value) -> String {
    format!("{}: {}", check["group"].as_str().unwrap(), check["name"].as_str().unwrap())
}
