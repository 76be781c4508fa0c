//! What a role's readiness probe says.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{Shop, eventually};

/// As a kubelet does: who is silent for so long is not ready.
const SILENCE: Duration = Duration::from_secs(1);

/// The longest that a start may take, on a slow machine with every test at once.
const PATIENCE: Duration = Duration::from_secs(180);

/// The probe of a role that was started with `--http`.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    pub(crate) role: String,
    address: String,
}

impl Probe {
    /// Until the role of this name serves its probes.
    pub(crate) async fn of(shop: &Shop, role: &str) -> Self {
        let address = eventually("the address of the probes", async || {
            let log = shop.log_of(role);
            // A role that was started again says it again.
            let (_, rest) = log.rsplit_once("probes and metrics on http://")?;
            Some(rest.split_once('/')?.0.to_owned())
        })
        .await;
        Self { role: role.to_owned(), address }
    }

    /// The probe of a role that serves it at an address of the test's choice.
    pub(crate) fn at(role: &str, address: String) -> Self {
        Self { role: role.to_owned(), address }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// # Errors
    /// Why it is not ready.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        match timeout(SILENCE, self.ask()).await {
            Ok(Ok(answer)) if answer.starts_with("HTTP/1.1 200 ") => Ok(()),
            Ok(Ok(answer)) => Err(answer.lines().last().unwrap_or_default().to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("silent for {SILENCE:?}")),
        }
    }

    async fn ask(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let request = "GET /readyz HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// Until it says that the role is ready.
    pub(crate) async fn is_ready(&self) {
        self.is_ready_within(PATIENCE).await;
    }

    /// As [`Self::is_ready`], where a time is promised.
    pub(crate) async fn is_ready_within(&self, bound: Duration) {
        let began = Instant::now();
        let mut beat = tokio::time::interval(Duration::from_millis(50));
        loop {
            beat.tick().await;
            let Err(why) = self.ready().await else { return };
            assert!(began.elapsed() < bound, "{} is not ready in {bound:?}: {why}", self.role);
        }
    }
}
