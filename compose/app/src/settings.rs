//! What every command may be told: where the servers are, and how to log.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::failed::Failed;

/// What every command has comes after what it has for itself.
const LAST: usize = 900;

/// The flags of every command.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Postgres of the orchestrator, and of services that have none of their own
    #[arg(long, env = "DATABASE_URL", global = true, display_order = LAST, hide_env_values = true)]
    pub database_url: Option<String>,
    /// NATS servers, separated by commas
    #[arg(long, env = "NATS_URL", global = true, display_order = LAST, hide_env_values = true)]
    pub nats_url: Option<String>,
    /// File with the NATS user's credentials
    #[arg(long, env = "NATS_CREDS", global = true, display_order = LAST, value_name = "FILE")]
    pub nats_creds: Option<PathBuf>,
    /// How log lines look
    #[arg(long, env = "AMENDS_LOG_FORMAT", global = true, display_order = LAST, default_value = "text")]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Settings {
    /// The URL of the orchestrator's database.
    ///
    /// # Errors
    /// When nobody said which it is.
    pub fn database(&self) -> Result<&str, Failed> {
        self.database_url.as_deref().ok_or_else(|| {
            Failed::new(
                "say which database with --database-url or DATABASE_URL, e.g. postgres://user@host/db",
            )
        })
    }

    /// The addresses of the NATS servers.
    ///
    /// # Errors
    /// When nobody said where they are.
    pub fn nats(&self) -> Result<&str, Failed> {
        self.nats_url.as_deref().ok_or_else(|| {
            Failed::new("say where NATS is with --nats-url or NATS_URL, e.g. nats://host:4222")
        })
    }

    /// A service's own database, or the common one.
    pub(crate) fn database_of(&self, service: &str) -> Result<String, Failed> {
        match std::env::var(database_variable(service)) {
            Ok(url) if !url.is_empty() => Ok(url),
            _ => self.database().map(str::to_owned),
        }
    }
}

/// The variable that names a service's own database.
#[must_use]
pub fn database_variable(service: &str) -> String {
    format!("{}_DATABASE_URL", service.to_uppercase().replace('-', "_"))
}
