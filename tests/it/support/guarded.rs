//! A nats-server under a configuration with users.

use std::path::{Path, PathBuf};

use async_nats::{Client, ConnectError};

use super::{Agency, NatsServer, SERVICES, repository};

/// A nats-server that runs, and its users.
pub(crate) struct Guarded {
    server: NatsServer,
    folder: PathBuf,
}

impl Guarded {
    /// Every user of `compose/nats.conf`.
    pub(crate) fn users() -> impl Iterator<Item = &'static str> {
        let others = ["orchestrator", "shop", "agency", "admin"];
        SERVICES.into_iter().chain(Agency::SERVICES).chain(others)
    }

    /// Under `compose/nats.conf`.
    pub(crate) async fn as_shipped(folder: &Path) -> Self {
        Self::start(folder, &Self::shipped()).await
    }

    pub(crate) fn shipped() -> String {
        std::fs::read_to_string(repository().join("compose/nats.conf")).unwrap()
    }

    /// Under this configuration; only its addresses and its folder are others.
    pub(crate) async fn start(folder: &Path, conf: &str) -> Self {
        let passwords = Self::users()
            .map(|user| (format!("NATS_PASSWORD_{}", user.to_uppercase()), Self::password(user)));
        let server = NatsServer::start(folder, &here(folder, conf), passwords).await;
        Self { server, folder: folder.to_owned() }
    }

    /// Has it read another configuration.
    pub(crate) fn reload(&self, conf: &str) {
        self.server.reload(&here(&self.folder, conf));
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.server.address
    }

    pub(crate) fn password(user: &str) -> String {
        format!("secret_{user}")
    }

    /// With name and password of a user.
    pub(crate) fn url(&self, user: &str) -> String {
        format!("nats://{user}:{}@{}", Self::password(user), self.server.address)
    }

    pub(crate) async fn login(&self, user: &str) -> Client {
        self.try_login(user).await.unwrap()
    }

    pub(crate) async fn try_login(&self, user: &str) -> Result<Client, ConnectError> {
        let options = async_nats::ConnectOptions::new()
            .user_and_password(user.to_owned(), Self::password(user));
        options.connect(&self.server.address).await
    }
}

/// The same configuration with any ports of this machine, and its data in this folder.
fn here(folder: &Path, conf: &str) -> String {
    let data = format!("\"{}\"", folder.display());
    let mut conf = conf.to_owned();
    for (theirs, ours) in [
        ("\"0.0.0.0:4222\"", "\"127.0.0.1:-1\""),
        ("\"0.0.0.0:8222\"", "\"127.0.0.1:-1\""),
        ("\"/data\"", data.as_str()),
    ] {
        assert_eq!(conf.matches(theirs).count(), 1, "{theirs}");
        conf = conf.replace(theirs, ours);
    }
    conf
}
