//! What every command may be told: where the servers are, and how to log.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, builder::FalseyValueParser};
use tokio::process::Command;

use crate::{age::parse_age, failed::Failed, plain_text};

/// What every command has comes after what it has for itself.
const LAST: usize = 900;

/// The flags of every command.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Postgres of the orchestrator, and of services that have none of their own
    #[arg(long, env = "DATABASE_URL", global = true, display_order = LAST, hide_env_values = true)]
    pub database_url: Option<String>,
    /// NATS, and who logs in there.
    #[command(flatten)]
    pub nats: NatsSettings,
    /// Refuse addresses on other hosts that do not ask for TLS
    #[arg(long, env = "AMENDS_REQUIRE_TLS", global = true, display_order = LAST, value_parser = FalseyValueParser::new())]
    pub require_tls: bool,
    /// How log lines look
    #[arg(long, env = "AMENDS_LOG_FORMAT", global = true, display_order = LAST, default_value = "text")]
    pub log_format: LogFormat,
}

/// Where NATS is, and who logs in. Files are read again for each connection.
#[derive(Debug, Clone, Args)]
pub struct NatsSettings {
    /// NATS servers, separated by commas
    #[arg(long, env = "NATS_URL", global = true, display_order = LAST, hide_env_values = true)]
    pub nats_url: Option<String>,
    /// File with the NATS user's credentials, a JWT and its seed
    #[arg(long, env = "NATS_CREDS", global = true, display_order = LAST, value_name = "FILE")]
    pub nats_creds: Option<PathBuf>,
    /// NATS user whose password is in a file
    #[arg(long, env = "NATS_USER", global = true, display_order = LAST, value_name = "NAME")]
    pub nats_user: Option<String>,
    /// File with the password of the NATS user
    #[arg(long, env = "NATS_PASSWORD_FILE", global = true, display_order = LAST, value_name = "FILE")]
    pub nats_password_file: Option<PathBuf>,
    /// File with a NATS token
    #[arg(long, env = "NATS_TOKEN_FILE", global = true, display_order = LAST, value_name = "FILE")]
    pub nats_token_file: Option<PathBuf>,
    /// File with the seed of an nkey that NATS knows
    #[arg(long, env = "NATS_NKEY", global = true, display_order = LAST, value_name = "FILE")]
    pub nats_nkey: Option<PathBuf>,
    /// File with the authorities whose certificates NATS may have, in place of the system's
    #[arg(long, env = "NATS_CA", global = true, display_order = LAST, value_name = "FILE")]
    pub nats_ca: Option<PathBuf>,
    /// File with the certificate to show to NATS
    #[arg(long, env = "NATS_CERT", global = true, display_order = LAST, value_name = "FILE")]
    pub nats_cert: Option<PathBuf>,
    /// File with the key of that certificate
    #[arg(long, env = "NATS_KEY", global = true, display_order = LAST, value_name = "FILE")]
    pub nats_key: Option<PathBuf>,
    /// First tokens of the subjects on which NATS answers; default `_INBOX`
    #[arg(long, env = "NATS_INBOX_PREFIX", global = true, display_order = LAST, value_name = "PREFIX")]
    pub nats_inbox_prefix: Option<String>,
    /// How long NATS may refuse the login before the process ends
    #[arg(long, env = "NATS_LOGIN_TIMEOUT", global = true, display_order = LAST, value_name = "AGE", default_value = "1m", value_parser = parse_age)]
    pub nats_login_timeout: Duration,
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
    /// When nobody said which it is, or it may be spoken to in plain text where that is refused.
    pub fn database(&self) -> Result<&str, Failed> {
        let url = self.database_url.as_deref().ok_or_else(|| {
            Failed::misused(
                "say which database with --database-url or DATABASE_URL, e.g. postgres://user@host/db",
            )
        })?;
        self.permit(plain_text::of_database(url)).map(|()| url)
    }

    /// A service's own database, or the common one.
    pub(crate) fn database_of(&self, service: &str) -> Result<String, Failed> {
        match std::env::var(database_variable(service)) {
            Ok(url) if !url.is_empty() => self.permit(plain_text::of_database(&url)).map(|()| url),
            _ => self.database().map(str::to_owned),
        }
    }

    /// Refuses what this says of plain text, where TLS is required.
    pub(crate) fn permit(&self, plain_text: Option<String>) -> Result<(), Failed> {
        match plain_text {
            Some(sentence) if self.require_tls => {
                Err(Failed::misused(format!("{sentence}, as TLS is required")))
            }
            _ => Ok(()),
        }
    }
}

impl NatsSettings {
    /// Servers that need no login.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self {
            nats_url: Some(url.to_owned()),
            nats_creds: None,
            nats_user: None,
            nats_password_file: None,
            nats_token_file: None,
            nats_nkey: None,
            nats_ca: None,
            nats_cert: None,
            nats_key: None,
            nats_inbox_prefix: None,
            nats_login_timeout: Duration::from_secs(60),
        }
    }

    /// The addresses of the servers.
    ///
    /// # Errors
    /// When nobody said where they are.
    pub fn url(&self) -> Result<&str, Failed> {
        self.nats_url.as_deref().ok_or_else(|| {
            Failed::misused("say where NATS is with --nats-url or NATS_URL, e.g. nats://host:4222")
        })
    }

    /// Tells another process of this program the same, by its environment.
    pub fn pass_on(&self, command: &mut Command) {
        let text = |value: &Option<String>| value.as_ref().map(OsString::from);
        let path = |value: &Option<PathBuf>| value.as_ref().map(OsString::from);
        let timeout = format!("{}s", self.nats_login_timeout.as_secs());
        for (variable, value) in [
            ("NATS_URL", text(&self.nats_url)),
            ("NATS_CREDS", path(&self.nats_creds)),
            ("NATS_USER", text(&self.nats_user)),
            ("NATS_PASSWORD_FILE", path(&self.nats_password_file)),
            ("NATS_TOKEN_FILE", path(&self.nats_token_file)),
            ("NATS_NKEY", path(&self.nats_nkey)),
            ("NATS_CA", path(&self.nats_ca)),
            ("NATS_CERT", path(&self.nats_cert)),
            ("NATS_KEY", path(&self.nats_key)),
            ("NATS_INBOX_PREFIX", text(&self.nats_inbox_prefix)),
            ("NATS_LOGIN_TIMEOUT", Some(timeout.into())),
        ] {
            match value {
                Some(value) => command.env(variable, value),
                None => command.env_remove(variable),
            };
        }
    }
}

/// The variable that names a service's own database.
#[must_use]
pub fn database_variable(service: &str) -> String {
    format!("{}_DATABASE_URL", service.to_uppercase().replace('-', "_"))
}
