//! What hangs is told within seconds, by each replica and each service, at work or idle; and so is its end.

use std::{
    fmt,
    time::{Duration, Instant},
};

use amends_app::local::{Local, Nats, Postgres};

use super::roles::{Open, orchestrator, worker};
use crate::support::{
    Probe, SERVICES, Shop, SmallDisk, Stopped, amends, eventually, folder, spell,
};

/// From the beginning of a fault until a probe tells.
const TOLD: Duration = Duration::from_secs(5);

/// From its end until a probe says that all is well.
const WELL: Duration = Duration::from_secs(10);

/// How long a fault lasts.
const FAULT: Duration = Duration::from_secs(8);

/// What one probe said of a fault.
#[derive(Debug)]
struct Answer {
    role: String,
    /// When it said for the last time that all is well, before the fault ended.
    last_ready: Duration,
    /// When it said so again, after the end.
    ready_again: Option<Duration>,
    why: String,
}

impl Answer {
    async fn of(probe: Probe, began: Instant) -> Self {
        let (mut last_ready, mut why) = (Duration::ZERO, String::new());
        let mut beat = tokio::time::interval(Duration::from_millis(100));
        while began.elapsed() < FAULT {
            beat.tick().await;
            match probe.ready().await {
                Ok(()) => last_ready = began.elapsed(),
                Err(reason) => why = reason,
            }
        }
        Self { role: probe.role, last_ready, ready_again: None, why }
    }

    fn is_right(&self) -> bool {
        self.last_ready <= TOLD && self.ready_again.is_some_and(|again| again <= WELL)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, last_ready, ready_again, why } = self;
        let again = ready_again.map_or("not".to_owned(), |again| format!("after {again:.1?}"));
        write!(f, "{role}: ready for {last_ready:.1?}, {again} ready again ({why})")
    }
}

/// Two orchestrators, of which the first leads, a service at work, and one that has nothing to do.
async fn open(mut shop: Shop) -> Open {
    let database = shop.local.database_url().to_owned();
    let mut probes = Vec::new();
    for (name, says) in [("leader", "this replica leads"), ("standby", "orchestrator runs")] {
        probes.push(orchestrator(&mut shop, name, &database).await);
        shop.says(name, says).await;
    }
    for service in SERVICES.into_iter().chain(["hotel"]) {
        let probe = worker(&mut shop, service, &database).await;
        if service == "payment" || service == "hotel" {
            probes.push(probe);
        }
    }
    Open::at(shop, probes).await
}

/// What these probes say of a fault that goes away with what `strike` returns.
#[allow(clippy::print_stdout, reason = "a fault tells what it did")]
async fn answers<T>(
    probes: &[Probe],
    strike: impl AsyncFnOnce() -> T,
    end: impl AsyncFnOnce(T),
) -> Vec<Answer> {
    let began = Instant::now();
    let asked: Vec<_> =
        probes.iter().map(|probe| tokio::spawn(Answer::of(probe.clone(), began))).collect();
    let fault = strike().await;
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.unwrap());
    }
    let ended = Instant::now();
    end(fault).await;
    while ended.elapsed() <= WELL && answers.iter().any(|answer| answer.ready_again.is_none()) {
        for (answer, probe) in answers.iter_mut().zip(probes) {
            if answer.ready_again.is_none() && probe.ready().await.is_ok() {
                answer.ready_again = Some(ended.elapsed());
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for answer in &answers {
        println!("{answer}");
    }
    answers
}

fn assert_right(fault: &str, answers: &[Answer]) {
    let wrong: Vec<_> =
        answers.iter().filter(|answer| !answer.is_right()).map(ToString::to_string).collect();
    assert!(wrong.is_empty(), "{fault}: told within {TOLD:?}, well within {WELL:?}: {wrong:#?}");
}

#[tokio::test]
async fn a_stopped_postgres_is_told() {
    let open = open(Shop::closed().await).await;
    let postmaster = open.shop.local.postgres.pid().unwrap();
    let strike = async || Stopped::with_children(postmaster);
    let answers = answers(&open.probes, strike, async |stopped| drop(stopped)).await;
    assert_right("Postgres is stopped", &answers);
    open.closes().await;
}

/// What is read is answered, and no commit is.
#[tokio::test]
async fn commits_that_wait_for_a_lost_standby_are_told() {
    let open = open(Shop::closed().await).await;
    let strike = async || spell::lose_standby(open.shop.local.database_url()).await;
    let end = async |()| spell::need_no_standby(open.shop.local.database_url()).await;
    let answers = answers(&open.probes, strike, end).await;
    assert_right("the synchronous standby is lost", &answers);
    open.closes().await;
}

#[tokio::test]
async fn a_stopped_nats_server_is_told() {
    let open = open(Shop::closed().await).await;
    let server = open.shop.local.nats.pid().unwrap();
    let strike = async || Stopped::with_children(server);
    let answers = answers(&open.probes, strike, async |stopped| drop(stopped)).await;
    assert_right("nats-server is stopped", &answers);
    open.closes().await;
}

/// JetStream stores nothing any more, and goes on when its server is started again with room.
#[tokio::test]
async fn a_full_disk_of_nats_is_told() {
    let folder = folder();
    let disk = SmallDisk::at(&folder.path().join("nats/jetstream"));
    let postgres = Postgres::start_with(amends(), folder.path()).await.unwrap();
    let nats = Nats::start_with(amends(), folder.path()).await.unwrap();
    let mut open = open(Shop::closed_on(folder, Local { postgres, nats }).await).await;
    // It goes before the folder that it is in.
    let disk = disk;
    let server = open.shop.local.nats.pid().unwrap();
    let jetstream = open.shop.jetstream.clone();
    let strike = async || {
        match &disk {
            Some(disk) => disk.fill(),
            // The limit gives an error of the same kind.
            None => limit_files(server, "1"),
        }
        eventually("a refusal to store", async || {
            let visa = r#"{"trip_id": "none", "visa": "v"}"#;
            let stored = jetstream.publish("visas.granted", visa.into()).await.unwrap();
            stored.await.is_err().then_some(())
        })
        .await;
    };
    let nats = &mut open.shop.local.nats;
    let end = async |()| {
        if let Some(disk) = &disk {
            disk.empty();
        }
        nats.restart().await.unwrap();
    };
    let answers = answers(&open.probes[..2], strike, end).await;
    assert_right("the disk of nats-server is full", &answers);
    open.closes().await;
}

/// The most that a process may write to one file.
fn limit_files(pid: u32, bytes: &str) {
    let limit = std::process::Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--fsize={bytes}:")])
        .status();
    assert!(limit.is_ok_and(|status| status.success()), "`prlimit` cannot limit process {pid}");
}
