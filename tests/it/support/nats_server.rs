//! A nats-server under a configuration of the test's own.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

use super::eventually;

/// A nats-server that runs; gone with this value.
pub(crate) struct NatsServer {
    /// Host and port.
    pub(crate) address: String,
    /// Where its monitoring is, where the configuration asks for it.
    monitoring: Option<String>,
    file: PathBuf,
    process: Child,
}

impl NatsServer {
    /// Starts it with what it writes in `folder`. Where it listens, it says there itself; it is asked to
    /// take any port by `listen: "127.0.0.1:-1"`.
    pub(crate) async fn start(
        folder: &Path,
        configuration: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        std::fs::create_dir(folder).unwrap();
        let file = folder.join("nats.conf");
        write(&file, configuration);
        let log = std::fs::File::create(folder.join("server.log")).unwrap();
        let process = Command::new(amends_app::local::nats_server().await.unwrap())
            .arg("-c")
            .arg(&file)
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (address, monitoring) = eventually("the port of a nats-server", async || {
            let files = std::fs::read_dir(folder).unwrap().flatten();
            let ports =
                files.map(|f| f.path()).find(|f| f.extension().is_some_and(|e| e == "ports"));
            let ports: serde_json::Value =
                serde_json::from_str(&std::fs::read_to_string(ports?).ok()?).ok()?;
            // With TLS the scheme is another.
            let address = ports["nats"][0].as_str()?.split_once("://")?.1.to_owned();
            Some((address, ports["monitoring"][0].as_str().map(str::to_owned)))
        })
        .await;
        Self { address, monitoring, file, process }
    }

    /// Has it read another configuration.
    pub(crate) fn reload(&self, configuration: &str) {
        write(&self.file, configuration);
        let process = Pid::from_raw(self.process.id().unwrap().try_into().unwrap());
        kill(process, Signal::SIGHUP).unwrap();
    }

    /// Ends it; its port is free when this returns.
    pub(crate) async fn stop(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// The address of its monitoring.
    pub(crate) fn monitoring(&self) -> String {
        self.monitoring.clone().unwrap()
    }

    /// Its address without a user.
    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }
}

/// The configuration, and where the server says which ports it has got.
fn write(file: &Path, configuration: &str) {
    let folder = file.parent().unwrap().display();
    std::fs::write(file, format!("{configuration}\nports_file_dir: \"{folder}\"\n")).unwrap();
}
