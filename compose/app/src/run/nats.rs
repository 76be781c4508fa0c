//! Connecting to NATS, and waiting for it.

use std::{sync::Arc, time::Duration};

use async_nats::{
    AuthError, Client, ClientError, ConnectErrorKind, ConnectOptions, Event, ServerAddr,
};
use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    connect::until_connected,
    credentials::Credentials,
    login::Login,
    nats_tls::{NoTls, Tls},
    probes::{NotReady, Readiness},
};
use crate::{
    failed::{During as _, Failed},
    plain_text,
    settings::{NatsSettings, Settings},
};

/// A connection that says nothing for twice this time is dead: a broken network is noticed in
/// seconds, not minutes.
const PING: Duration = Duration::from_secs(5);

/// Delays between tries to connect again. The first is no hurry: a server that lets in whoever it cuts off
/// at once, such as one that is about to notice that a login has expired, is not to be asked without a pause.
const RECONNECT_FIRST: Duration = Duration::from_millis(50);
const RECONNECT_CAP: Duration = Duration::from_secs(1);

/// Where NATS is, who logs in, and whether the servers let them in.
#[derive(Clone)]
pub struct Access {
    /// Without a user and a password, which the client would log.
    servers: Arc<[ServerAddr]>,
    credentials: Arc<Credentials>,
    tls: Arc<Tls>,
    /// Whether servers that a server tells of are no choice: how they are spoken to nobody has said.
    named_only: bool,
    /// The first tokens of the subjects on which servers answer, where they are not the usual.
    inbox_prefix: Option<Arc<str>>,
    /// When what was answered last expires.
    expires: Arc<watch::Sender<Option<DateTime<Utc>>>>,
    login: Login,
}

impl Access {
    /// What the settings say.
    ///
    /// # Errors
    /// No address, one that cannot be used, more than one way to log in, a certificate without its key, or a prefix
    /// that is no subject.
    pub fn of(settings: &NatsSettings) -> Result<Self, Failed> {
        let servers = settings.url()?.split(',').map(|one| one.trim().parse());
        let servers: Arc<[ServerAddr]> =
            servers.collect::<Result<_, _>>().during("the NATS address cannot be used")?;
        let asked = servers.iter().any(ServerAddr::tls_required);
        Ok(Self {
            tls: Arc::new(Tls::of(settings, asked)?),
            named_only: false,
            inbox_prefix: settings.nats_inbox_prefix.as_deref().map(subject).transpose()?,
            credentials: Arc::new(credentials(settings, &servers)?),
            servers: servers.iter().map(without_login).collect::<Result<_, _>>()?,
            expires: Arc::new(watch::Sender::new(None)),
            login: Login::new(settings.nats_login_timeout),
        })
    }

    /// What the settings say, for a process that runs. Warns of plain text to other hosts.
    ///
    /// # Errors
    /// As [`Self::of`], and plain text where that is refused.
    pub fn of_role(settings: &Settings) -> Result<Self, Failed> {
        let access = Self::of(&settings.nats)?;
        if access.tls.is_required() {
            return Ok(access);
        }
        let plain_text = access.plain_text();
        settings.permit(plain_text.clone())?;
        if let Some(sentence) = plain_text {
            tracing::warn!("{sentence}");
        }
        Ok(Self { named_only: settings.require_tls, ..access })
    }

    /// Connects and stays connected; waits until a server is there. `None` when stopped meanwhile.
    ///
    /// # Errors
    /// A login that is refused for too long.
    pub async fn connect(&self, stop: &CancellationToken) -> Result<Option<Client>, Failed> {
        let attempt = || self.options().connect(&*self.servers);
        let log_retry = |error: async_nats::ConnectError, wait: Duration| {
            if let Some(NoTls { why, advice }) = self.tls.failure(&error) {
                return self.login.refused(&why, advice);
            }
            if self.tried(error.kind()) {
                return;
            }
            let hosts = self.hosts();
            tracing::warn!(%error, hosts, "NATS does not answer; trying again in {wait:.1?}");
        };
        tokio::select! {
            client = until_connected(attempt, log_retry) => {
                self.login.accepted();
                client.map(Some).during("NATS")
            }
            failed = self.login.given_up() => Err(failed),
            () = stop.cancelled() => Ok(None),
        }
    }

    /// Connects once.
    ///
    /// # Errors
    /// Why a server does not answer, or refuses.
    pub(crate) async fn once(&self) -> Result<Client, Failed> {
        let error = match self.options().connect(&*self.servers).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        if let Some(NoTls { why, advice }) = self.tls.failure(&error) {
            return Err(Failed::new(why).with_advice(advice.to_owned()));
        }
        let refused = self.tried(error.kind()).then(|| self.login.refusal()).flatten();
        Err(match refused {
            Some(why) => Failed::new(why).with_advice(self.credentials.advice().to_owned()),
            None => Failed::caused_by(format!("NATS at {} does not answer", self.hosts()), error),
        })
    }

    /// Where the servers are.
    pub(crate) fn hosts(&self) -> String {
        let host = |server: &ServerAddr| format!("{}:{}", server.host(), server.port());
        self.servers.iter().map(host).collect::<Vec<_>>().join(",")
    }

    /// Says so where other hosts are spoken to without TLS.
    pub(crate) fn plain_text(&self) -> Option<String> {
        if self.tls.is_required() { None } else { plain_text::of_nats(&self.servers) }
    }

    /// Runs a role; stops it, and fails, when the login was refused for too long.
    pub(super) async fn keep(
        &self,
        role: impl Future<Output = Result<(), Failed>>,
        stop: &CancellationToken,
    ) -> Result<(), Failed> {
        let mut role = std::pin::pin!(role);
        let refused = tokio::select! {
            ended = &mut role => return ended,
            refused = self.login.given_up() => refused,
        };
        stop.cancel();
        if let Err(error) = role.await {
            tracing::debug!(%error, "the role ended, too");
        }
        Err(refused)
    }

    /// Whether a role is ready that needs this.
    pub(super) fn readiness(&self, role: Readiness) -> Readiness {
        let login = self.login.clone();
        Arc::new(move || match login.refusal() {
            Some(why) => Err(NotReady::new(why)),
            None => role(),
        })
    }

    fn options(&self) -> ConnectOptions {
        let (this, that) = (self.clone(), self.clone());
        let options = ConnectOptions::with_auth_callback(move |nonce| {
            let this = this.clone();
            async move { this.authorize(&nonce).await }
        })
        .name("amends")
        .ping_interval(PING)
        .reconnect_delay_callback(delay)
        .event_callback(move |event| {
            that.hear(&event);
            std::future::ready(())
        });
        let options = self.tls.apply(options);
        let options = if self.named_only { options.ignore_discovered_servers() } else { options };
        match &self.inbox_prefix {
            Some(prefix) => options.custom_inbox_prefix(prefix),
            None => options,
        }
    }

    /// What to answer to a server's nonce; asked before each connection.
    async fn authorize(&self, nonce: &[u8]) -> Result<async_nats::Auth, AuthError> {
        match self.credentials.secret(nonce).await {
            Ok(secret) => {
                self.expires.send_replace(secret.expires);
                Ok(secret.auth)
            }
            Err(error) => {
                let why = Failed::caused_by("cannot log in to NATS", error).to_string();
                self.login.refused(&why, self.credentials.advice());
                Err(AuthError::new(why))
            }
        }
    }

    /// Takes note of what the client says of its connection.
    fn hear(&self, event: &Event) {
        match event {
            Event::Connected => self.login.accepted(),
            // Of a try that failed the client tells the kind only, and that by its text.
            Event::ClientError(ClientError::Other(text)) => {
                let refusals = [
                    ConnectErrorKind::AuthorizationViolation,
                    ConnectErrorKind::Authentication,
                    ConnectErrorKind::Tls,
                ];
                let refusal = refusals.into_iter().find(|kind| kind.to_string() == *text);
                if self.tried(refusal.unwrap_or(ConnectErrorKind::Io)) {
                    return;
                }
            }
            Event::ServerError(error) => return tracing::warn!("NATS refuses: {error}"),
            _ => {}
        }
        tracing::info!("NATS: {event}");
    }

    /// Notes why a try failed; whether the login was refused.
    fn tried(&self, failed: ConnectErrorKind) -> bool {
        match failed {
            ConnectErrorKind::AuthorizationViolation => {
                let expired = self.expires.borrow().filter(|at| *at <= chrono::Utc::now());
                let expired = expired.map(|at| format!(", which expired at {at:?}"));
                let (who, expired) = (self.credentials.describe(), expired.unwrap_or_default());
                let why = format!("NATS refuses the login {who}{expired}");
                self.login.refused(&why, self.credentials.advice());
                true
            }
            // `authorize` has said why.
            ConnectErrorKind::Authentication => true,
            ConnectErrorKind::Tls => {
                let NoTls { why, advice } = self.tls.unusable("");
                self.login.refused(&why, advice);
                true
            }
            _ => {
                self.login.unanswered();
                false
            }
        }
    }
}

/// Before the n-th try to connect again, from 1 on.
fn delay(n: usize) -> Duration {
    let doubled = u32::try_from(n.saturating_sub(1)).map_or(u32::MAX, |n| 2_u32.saturating_pow(n));
    RECONNECT_FIRST.saturating_mul(doubled).min(RECONNECT_CAP)
}

/// Who is to log in: whom a file names, else whom an address names.
fn credentials(settings: &NatsSettings, servers: &[ServerAddr]) -> Result<Credentials, Failed> {
    let (user, password) = (settings.nats_user.clone(), settings.nats_password_file.clone());
    if user.is_some() != password.is_some() {
        return Err(Failed::misused("NATS_USER and NATS_PASSWORD_FILE belong together: say both"));
    }
    let file = settings.nats_creds.clone().map(Credentials::File);
    let user = user.zip(password).map(|(user, password)| Credentials::User { user, password });
    let token = settings.nats_token_file.clone().map(Credentials::Token);
    let seed = settings.nats_nkey.clone().map(Credentials::Seed);
    let mut ways = [file, seed, user, token].into_iter().flatten();
    match (ways.next(), ways.next()) {
        (None, _) => Ok(servers.iter().find_map(named).unwrap_or(Credentials::Nobody)),
        (Some(way), None) => Ok(way),
        (Some(_), Some(_)) => Err(Failed::misused(
            "say one of NATS_CREDS, NATS_NKEY, NATS_USER and NATS_TOKEN_FILE: a process logs in by one of them",
        )),
    }
}

/// The beginning of subjects.
fn subject(prefix: &str) -> Result<Arc<str>, Failed> {
    let is_token = |token: &str| {
        !token.is_empty() && !token.contains(|c: char| c.is_whitespace() || "*>".contains(c))
    };
    if prefix.split('.').all(is_token) {
        return Ok(prefix.into());
    }
    Err(Failed::misused(format!(
        "NATS_INBOX_PREFIX is {prefix:?}, and has to be the beginning of a subject, e.g. _INBOX_shop"
    )))
}

/// The same server.
fn without_login(address: &ServerAddr) -> Result<ServerAddr, Failed> {
    let no_host = || Failed::new("the NATS address cannot be used: it has no host");
    let mut url = address.clone().into_inner();
    url.set_password(None).and_then(|()| url.set_username("")).map_err(|()| no_host())?;
    ServerAddr::from_url(url).during("the NATS address cannot be used")
}

/// The user whom an address names; a name without a password is a token.
fn named(address: &ServerAddr) -> Option<Credentials> {
    let decoded =
        |part| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
    let user = decoded(address.username()?);
    Some(match address.password().map(decoded) {
        Some(password) => Credentials::Named { user, password },
        None => Credentials::NamedToken(user),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_second() {
        let delays = [0, 1, 2, 3, 6, 7, usize::MAX].map(|n| delay(n).as_millis());
        assert_eq!(delays, [50, 50, 100, 200, 1000, 1000, 1000]);
    }

    #[test]
    fn one_way_to_log_in_is_said() {
        let at = |url| NatsSettings {
            nats_user: Some("ada".into()),
            nats_password_file: Some("/p".into()),
            ..NatsSettings::at(url)
        };
        let user = Access::of(&at("nats://eve:secret@a:1, b:2")).unwrap();
        assert_eq!(user.credentials.describe(), "as `ada`, with the password in /p");
        let address = Access::of(&NatsSettings::at("b:2,nats://e%40e:secret@a:1")).unwrap();
        assert_eq!(address.credentials.describe(), "as `e@e`, with the password of its address");
        let token = Access::of(&NatsSettings::at("nats://s%40cret@a:1")).unwrap();
        assert_eq!(token.credentials.describe(), "with the token of its address");
        let both = NatsSettings { nats_token_file: Some("/t".into()), ..at("a:1") };
        let half = NatsSettings { nats_user: None, ..at("a:1") };
        let keyless = NatsSettings { nats_cert: Some("/c".into()), ..at("a:1") };
        let inboxes = ["", "a.", "a.>", "*", "a b"].map(|prefix| {
            (
                NatsSettings { nats_inbox_prefix: Some(prefix.into()), ..at("a:1") },
                "NATS_INBOX_PREFIX",
            )
        });
        let cases = [(both, "say one of"), (half, "say both"), (keyless, "say both")];
        for (settings, words) in cases.into_iter().chain(inboxes) {
            let failed = Access::of(&settings).err().unwrap().to_string();
            assert!(failed.contains(words), "{failed}");
        }
    }
}
