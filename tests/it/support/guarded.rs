//! A nats-server under a configuration with users.

use std::path::Path;

use async_nats::Client;

use super::{Agency, NatsServer, SERVICES, repository};

/// A nats-server that runs, and its users.
pub(crate) struct Guarded(NatsServer);

impl Guarded {
    /// Every user of `compose/nats.conf`.
    pub(crate) fn users() -> impl Iterator<Item = &'static str> {
        let others = ["orchestrator", "shop", "agency", "admin"];
        SERVICES.into_iter().chain(Agency::SERVICES).chain(others)
    }

    /// Under `compose/nats.conf`; only its addresses and its folder are others.
    pub(crate) async fn as_shipped(folder: &Path) -> Self {
        let mut conf = std::fs::read_to_string(repository().join("compose/nats.conf")).unwrap();
        for (theirs, ours) in
            [("\"0.0.0.0:4222\"", "\"127.0.0.1:-1\""), ("\"0.0.0.0:8222\"", "\"127.0.0.1:-1\"")]
        {
            assert_eq!(conf.matches(theirs).count(), 1, "{theirs}");
            conf = conf.replace(theirs, ours);
        }
        Self::start(folder, &conf).await
    }

    /// Under this configuration, with its data in the folder in place of `/data`.
    pub(crate) async fn start(folder: &Path, conf: &str) -> Self {
        assert_eq!(conf.matches("\"/data\"").count(), 1);
        let conf = conf.replace("\"/data\"", &format!("\"{}\"", folder.display()));
        let passwords = Self::users()
            .map(|user| (format!("NATS_PASSWORD_{}", user.to_uppercase()), Self::password(user)));
        Self(NatsServer::start(folder, &conf, passwords).await)
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.0.address
    }

    pub(crate) fn password(user: &str) -> String {
        format!("secret_{user}")
    }

    /// With name and password of a user.
    pub(crate) fn url(&self, user: &str) -> String {
        format!("nats://{user}:{}@{}", Self::password(user), self.0.address)
    }

    pub(crate) async fn login(&self, user: &str) -> Client {
        let options = async_nats::ConnectOptions::new()
            .user_and_password(user.to_owned(), Self::password(user));
        options.connect(&self.0.address).await.unwrap()
    }
}
