//! Why JetStream cannot be used.

use std::error::Error;

/// Why the streams or consumers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// One is there with other settings.
    #[error(
        "the {what} `{name}` has {setting} {found}, but Amends needs {needed}: change it (`nats {what} edit {name}`), or remove it and let Amends create it"
    )]
    Wrong {
        /// `stream` or `consumer`.
        what: &'static str,
        /// Its name.
        name: String,
        /// The setting.
        setting: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        needed: String,
    },
    /// NATS is not there, or has no JetStream, or refused.
    #[error("JetStream does not answer: {0}")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

pub(super) fn unavailable(error: impl Into<Box<dyn Error + Send + Sync>>) -> TopologyError {
    TopologyError::Unavailable(error.into())
}
