//! A private nats-server with JetStream.

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::binaries;
use super::error::LocalError;
use super::folder::Folder;
use super::recipe::{Answer, Recipe};
use super::server::Server;
use super::supervise::Kind;

/// A nats-server of our own, with JetStream, on 127.0.0.1 only.
#[derive(Debug)]
pub struct Nats {
    server: Server<Transport>,
    url: String,
}

impl Nats {
    /// Starts it with its data in `data/nats`, and `exe` as the supervisor: see
    /// [`Local::start_with`](super::Local::start_with).
    pub async fn start_with(exe: &Path, data: &Path) -> Result<Self, LocalError> {
        Self::start_at(exe, data, None).await
    }

    /// The same on this port.
    pub(super) async fn start_at(
        exe: &Path,
        data: &Path,
        port: Option<u16>,
    ) -> Result<Self, LocalError> {
        let folder = Folder::take(data, "nats").await?;
        let recipe = Transport::new(&folder);
        let program = binaries::nats_server().await?;
        let server = Server::start(exe, folder, program, None, recipe, port).await?;
        let url = format!("nats://127.0.0.1:{}", server.port());
        Ok(Self { server, url })
    }

    /// The URL to connect to, the same after every restart.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server's process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Ends it by SIGKILL, as a crash would; it is gone when this returns.
    pub async fn kill(&mut self) -> Result<(), LocalError> {
        self.server.kill().await
    }

    /// Starts it again on the same port and data, stopping it in good order if it still runs;
    /// it answers when this returns.
    pub async fn restart(&mut self) -> Result<(), LocalError> {
        self.server.restart().await
    }

    /// Loses everything it has stored, streams and consumers as well: kills it, deletes its store,
    /// and starts it again on the same port.
    pub async fn wipe(&mut self) -> Result<(), LocalError> {
        self.server.kill().await?;
        let store = &self.server.recipe.store;
        match tokio::fs::remove_dir_all(store).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(LocalError::file("delete", store)(error));
            }
            _ => {}
        }
        self.server.restart().await
    }

    /// Stops it in good order, and waits till it is gone.
    pub async fn stop(mut self) -> Result<(), LocalError> {
        self.server.halt().await
    }
}

#[derive(Debug)]
struct Transport {
    name: String,
    config: PathBuf,
    store: PathBuf,
    pid_file: PathBuf,
}

/// As much as the probe needs of the line with which every nats-server greets.
#[derive(Deserialize)]
struct Info {
    server_name: String,
    #[serde(default)]
    jetstream: bool,
}

impl Transport {
    fn new(folder: &Folder) -> Self {
        let config = folder.join("nats.conf");
        let mut hash = DefaultHasher::new();
        config.hash(&mut hash);
        Self {
            // Known by its folder: see `probe`.
            name: format!("amends-{:016x}", hash.finish()),
            store: folder.join("jetstream"),
            pid_file: folder.join("nats.pid"),
            config,
        }
    }

    fn text(&self, port: u16) -> String {
        format!(
            "# Written at every start.\n\
             server_name: {}\n\
             listen: \"127.0.0.1:{port}\"\n\
             pid_file: {}\n\
             write_deadline: \"10s\"\n\
             jetstream {{\n\
             \x20 store_dir: {}\n\
             \x20 # Streams reserve their max_bytes of it; nothing is taken until they fill.\n\
             \x20 max_file_store: 16GB\n\
             \x20 max_memory_store: 256MB\n\
             }}\n",
            self.name,
            quoted(&self.pid_file),
            quoted(&self.store),
        )
    }

    async fn greeting(port: u16) -> std::io::Result<Info> {
        let connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let mut line = String::new();
        BufReader::new(connection).read_line(&mut line).await?;
        let info = line.strip_prefix("INFO ").unwrap_or_default();
        serde_json::from_str(info).map_err(std::io::Error::from)
    }
}

fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}

impl Recipe for Transport {
    const NAME: &'static str = "nats-server";
    const KIND: Kind = Kind::Nats;

    fn arguments(&self, port: u16) -> Result<Vec<OsString>, LocalError> {
        std::fs::write(&self.config, self.text(port))
            .map_err(LocalError::file("write", &self.config))?;
        Ok(vec!["-c".into(), self.config.clone().into()])
    }

    async fn probe(&self, port: u16) -> Answer {
        match timeout(Duration::from_secs(5), Self::greeting(port)).await {
            Ok(Ok(info)) if info.server_name == self.name && info.jetstream => Answer::Ready,
            _ => Answer::Nothing,
        }
    }

    fn pid_file(&self) -> PathBuf {
        self.pid_file.clone()
    }

    fn mark(&self) -> &Path {
        &self.config
    }
}
