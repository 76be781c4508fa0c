//! Where a database is: a connection URI as libpq has it, with several hosts and what is asked of them.
//!
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>, 34.1.1.2 and 34.1.1.3.

use std::{fmt, str::FromStr};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// Hosts of one address: more are a mistake.
const HOSTS_MAX: usize = 16;

/// Parameters that are read here.
const OURS: [&str; 3] = ["host", "port", "target_session_attrs"];

/// Parameters that sqlx reads. It would log any other with its value, which may be a secret.
const THEIRS: [&str; 16] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "hostaddr",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Parameters that name a file with certificates or a key, all their names, and the variable that says the same.
const CERTIFICATES: [(&str, &[&str], &str); 3] = [
    ("sslrootcert", &["sslrootcert", "ssl-root-cert", "ssl-ca"], "PGSSLROOTCERT"),
    ("sslcert", &["sslcert", "ssl-cert"], "PGSSLCERT"),
    ("sslkey", &["sslkey", "ssl-key"], "PGSSLKEY"),
];

/// A database's address: the hosts in the order in which they are tried.
///
/// ```
/// use amends_postgres::Address;
///
/// let address: Address = "postgres://shop@db-1,db-2:5432/shop".parse()?;
/// assert_eq!(address.to_string(), "db-1:5432,db-2:5432");
/// # Ok::<(), amends_postgres::AddressError>(())
/// ```
///
/// ```no_run
/// # use amends_postgres::{Address, Database};
/// # fn database(address: Address) -> Database {
/// // On the host that takes writes; no session is made before the first is asked for.
/// Database::new(address.for_writing(), &[("lock_timeout", "10s")], 8)
/// # }
/// ```
#[derive(Clone)]
pub struct Address {
    hosts: Vec<PgConnectOptions>,
    target: Target,
    /// Names of parameters that nobody here knows.
    unknown: Vec<String>,
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It is no connection URI.
    #[error("it has the form postgres://user@host:port/name, several hosts separated by commas")]
    Form,
    /// As many ports as hosts.
    #[error("it has {hosts} hosts and {ports} ports: give one port for all, or one for each host")]
    Ports {
        /// How many hosts.
        hosts: usize,
        /// How many ports.
        ports: usize,
    },
    /// More than are meant.
    #[error("it has more than {HOSTS_MAX} hosts")]
    TooMany,
    /// `target_session_attrs` with a value that libpq does not know.
    #[error(
        "`target_session_attrs={0}` is none of any, read-write, read-only, primary, standby, prefer-standby"
    )]
    Target(String),
    /// A certificate, or its key, that is not there.
    #[error("the file of its `{parameter}`, {file}, cannot be read")]
    Certificate {
        /// The parameter.
        parameter: &'static str,
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// What sqlx says.
    #[error(transparent)]
    Url(#[from] sqlx::Error),
}

/// What is asked of a server before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
}

impl Address {
    pub(crate) fn hosts(&self) -> &[PgConnectOptions] {
        &self.hosts
    }

    /// Whether a server in this state is one that is asked for.
    pub(crate) fn accepts(&self, read_only: bool, standby: bool) -> bool {
        match self.target {
            Target::Any => true,
            Target::ReadWrite => !read_only,
            Target::ReadOnly => read_only,
            Target::Primary => !standby,
            Target::Standby => standby,
        }
    }

    /// Says which of its parameters have no effect.
    pub(crate) fn warn_of_unknown(&self) {
        for name in &self.unknown {
            tracing::warn!("the database URL has a parameter `{name}`, which is ignored");
        }
    }

    pub(crate) fn target(&self) -> &'static str {
        match self.target {
            Target::Any => "any",
            Target::ReadWrite => "read-write",
            Target::ReadOnly => "read-only",
            Target::Primary => "primary",
            Target::Standby => "standby",
        }
    }

    /// Those of its hosts to which a connection may be in plain text, beside this one: where nobody asks for TLS,
    /// whoever is in between can keep it out.
    #[must_use]
    pub fn in_plain_text(&self) -> Option<Self> {
        let may_be = |options: &&PgConnectOptions| {
            let mode = options.get_ssl_mode();
            let open = matches!(mode, PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer);
            open && options.get_socket().is_none() && !is_loopback(options.get_host())
        };
        let hosts: Vec<_> = self.hosts.iter().filter(may_be).cloned().collect();
        (!hosts.is_empty()).then(|| Self { hosts, ..self.clone() })
    }

    /// Who logs in.
    #[must_use]
    pub fn user(&self) -> &str {
        self.hosts.first().map_or("", PgConnectOptions::get_username)
    }

    /// The same for whoever has to write: a server that takes no writes is not used.
    #[must_use]
    pub fn for_writing(mut self) -> Self {
        if self.target == Target::Any {
            self.target = Target::ReadWrite;
        }
        self
    }

    /// The same, with another name for the sessions in `pg_stat_activity`.
    #[must_use]
    pub fn application_name(self, name: &str) -> Self {
        let named = |options: PgConnectOptions| options.application_name(name);
        Self { hosts: self.hosts.into_iter().map(named).collect(), ..self }
    }
}

/// Host and port of each, without user and password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, options) in self.hosts.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match options.get_socket() {
                Some(socket) => write!(f, "{comma}{}", socket.display())?,
                None if options.get_host().contains(':') => {
                    write!(f, "{comma}[{}]:{}", options.get_host(), options.get_port())?;
                }
                None => write!(f, "{comma}{}:{}", options.get_host(), options.get_port())?,
            }
        }
        Ok(())
    }
}

/// Without the password.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Address");
        shown.field("hosts", &format_args!("{self}")).field("user", &self.user());
        shown.field("target", &self.target).finish()
    }
}

impl From<PgConnectOptions> for Address {
    fn from(options: PgConnectOptions) -> Self {
        Self { hosts: vec![options], target: Target::Any, unknown: Vec::new() }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(uri: &str) -> Result<Self, AddressError> {
        let parts = Parts::of(uri).ok_or(AddressError::Form)?;
        let options = |(host, port): &(String, Option<u16>)| {
            PgConnectOptions::from_str(&parts.with_host(host, *port))
        };
        let mut hosts = Vec::new();
        let verified = parts.certificates()?;
        for host in parts.hosts()? {
            let options = options(&host)?;
            hosts.push(match options.get_ssl_mode() {
                // As in libpq: whoever names authorities wants them asked. sqlx would not ask them.
                PgSslMode::Require if verified => options.ssl_mode(PgSslMode::VerifyCa),
                _ => options,
            });
        }
        Ok(Self { hosts, target: parts.target()?, unknown: parts.unknown() })
    }
}

/// A URI, taken apart where sqlx does not follow libpq.
struct Parts<'a> {
    scheme: &'a str,
    user: &'a str,
    hosts: &'a str,
    path: &'a str,
    query: Vec<(&'a str, &'a str)>,
}

impl<'a> Parts<'a> {
    fn of(uri: &'a str) -> Option<Self> {
        let (scheme, rest) = uri.split_once("://")?;
        if !matches!(scheme, "postgres" | "postgresql") {
            return None;
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (user, hosts),
            None => ("", authority),
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        Some(Self { scheme, user, hosts, path, query })
    }

    /// Hosts with their ports: of the authority, or else of the parameters `host` and `port`.
    fn hosts(&self) -> Result<Vec<(String, Option<u16>)>, AddressError> {
        let given = |name| self.parameter(name).unwrap_or_default();
        let hosts = if self.hosts.is_empty() { given("host") } else { decoded(self.hosts) };
        let mut all = Vec::new();
        for one in hosts.split(',') {
            all.push(host_and_port(one).ok_or(AddressError::Form)?);
        }
        if all.len() > HOSTS_MAX {
            return Err(AddressError::TooMany);
        }
        let ports = given("port");
        let ports: Vec<_> = ports.split(',').filter(|port| !port.is_empty()).collect();
        if ports.len() > 1 && ports.len() != all.len() {
            return Err(AddressError::Ports { hosts: all.len(), ports: ports.len() });
        }
        for (at, (_, port)) in all.iter_mut().enumerate() {
            if let (None, Some(text)) = (&port, ports.get(at).or(ports.first())) {
                *port = Some(text.parse().map_err(|_| AddressError::Form)?);
            }
        }
        Ok(all)
    }

    fn target(&self) -> Result<Target, AddressError> {
        match self.parameter("target_session_attrs").as_deref() {
            None | Some("any" | "prefer-standby") => Ok(Target::Any),
            Some("read-write") => Ok(Target::ReadWrite),
            Some("read-only") => Ok(Target::ReadOnly),
            Some("primary") => Ok(Target::Primary),
            Some("standby") => Ok(Target::Standby),
            Some(other) => Err(AddressError::Target(other.to_owned())),
        }
    }

    /// Whether authorities are named. A file that is not there is told here, by its name.
    fn certificates(&self) -> Result<bool, AddressError> {
        let mut authorities = false;
        for (parameter, aliases, variable) in CERTIFICATES {
            let given = aliases.iter().find_map(|name| self.parameter(name));
            let Some(file) = given.or_else(|| std::env::var(variable).ok()) else { continue };
            authorities |= parameter == CERTIFICATES[0].0;
            // Itself, in place of the name of a file.
            if file.trim_start().starts_with("-----BEGIN") {
                continue;
            }
            std::fs::File::open(&file).map_err(|source| AddressError::Certificate {
                parameter,
                file,
                source,
            })?;
        }
        Ok(authorities)
    }

    fn parameter(&self, name: &str) -> Option<String> {
        self.query.iter().find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
    }

    /// For sqlx, to which a list of hosts is no URL. It looks the password of this host up in the password
    /// file, as libpq does.
    fn with_host(&self, host: &str, port: Option<u16>) -> String {
        let theirs = self.query.iter().filter(|(key, _)| is_theirs(&decoded(key)));
        let mut query: Vec<_> = theirs.map(|(key, value)| format!("{key}={value}")).collect();
        if !host.is_empty() {
            query.push(format!("host={}", utf8_percent_encode(host, NON_ALPHANUMERIC)));
        }
        query.extend(port.map(|port| format!("port={port}")));
        let at = if self.user.is_empty() { "" } else { "@" };
        format!("{}://{}{at}localhost/{}?{}", self.scheme, self.user, self.path, query.join("&"))
    }

    fn unknown(&self) -> Vec<String> {
        let names = self.query.iter().map(|(key, _)| decoded(key));
        names.filter(|name| !is_theirs(name) && !OURS.contains(&&**name)).collect()
    }
}

fn is_theirs(name: &str) -> bool {
    THEIRS.contains(&name) || name.starts_with("options[")
}

/// One of the list: `host`, `host:port`, `[v6]`, `[v6]:port`, or a folder of sockets.
fn host_and_port(one: &str) -> Option<(String, Option<u16>)> {
    if let Some(rest) = one.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = if port.is_empty() { None } else { Some(port.strip_prefix(':')?.parse().ok()?) };
        return Some((host.to_owned(), port));
    }
    match one.rsplit_once(':') {
        _ if one.starts_with('/') => Some((one.to_owned(), None)),
        // An address of version 6 without brackets, as the parameter `host` has it.
        Some((host, _)) if host.contains(':') => Some((one.to_owned(), None)),
        Some((host, port)) => Some((host.to_owned(), Some(port.parse().ok()?))),
        None => Some((one.to_owned(), None)),
    }
}

/// Whether a host is this machine, by its name alone.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn decoded(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(uri: &str) -> String {
        uri.parse::<Address>().map_or_else(|error| error.to_string(), |address| address.to_string())
    }

    #[test]
    fn hosts_are_as_libpq_has_them() {
        for (uri, expected) in [
            ("postgres://u@h:5433/d", "h:5433"),
            ("postgresql://h/d", "h:5432"),
            ("postgres://u:p%40s@a:1,b:2,c/d?application_name=x", "a:1,b:2,c:5432"),
            ("postgres://u@[::1]:5433/d", "[::1]:5433"),
            ("postgres://u@[::1],[fe80::1]:7/d", "[::1]:5432,[fe80::1]:7"),
            ("postgres:///d?host=a,b&port=1,2", "a:1,b:2"),
            ("postgres://a,b/d?port=7", "a:7,b:7"),
            ("postgres:///d?host=/run/postgres", "/run/postgres"),
            ("postgres://u@%2Frun%2Fpostgres/d", "/run/postgres"),
            ("postgres://a:x/d", &AddressError::Form.to_string()),
            ("postgres://[::1/d", &AddressError::Form.to_string()),
            ("mysql://a/d", &AddressError::Form.to_string()),
            ("a", &AddressError::Form.to_string()),
            (
                "postgres://a,b,c/d?port=1,2",
                &AddressError::Ports { hosts: 3, ports: 2 }.to_string(),
            ),
        ] {
            assert_eq!(hosts(uri), expected, "{uri}");
        }
    }

    #[test]
    fn a_server_has_to_be_what_is_asked_for() {
        for (target, writable, read_only_primary, standby) in [
            ("", true, true, true),
            ("target_session_attrs=read-write", true, false, false),
            ("target_session_attrs=any", true, true, true),
            ("target_session_attrs=read-only", false, true, true),
            ("target_session_attrs=primary", true, true, false),
            ("target_session_attrs=standby", false, false, true),
        ] {
            let address: Address = format!("postgres://h/d?{target}").parse().unwrap();
            let accepts = |read_only, standby| address.accepts(read_only, standby);
            let found = (accepts(false, false), accepts(true, false), accepts(true, true));
            assert_eq!(found, (writable, read_only_primary, standby), "{target}");
        }
        let writes: Address = "postgres://h/d".parse().unwrap();
        assert!(!writes.for_writing().accepts(true, false));
        let error = "postgres://h/d?target_session_attrs=master".parse::<Address>().unwrap_err();
        assert!(
            error.to_string().starts_with("`target_session_attrs=master` is none of"),
            "{error}"
        );
    }

    #[test]
    fn nothing_shows_the_password() {
        let uri = "postgres://me:hush@a,b/shop?password=hush&sslpassword=hush";
        let address: Address = uri.parse().unwrap();
        let shown = format!("{address:?} {address}");
        assert!(shown.contains("a:5432,b:5432") && !shown.contains("hush"), "{shown}");
        assert!(shown.contains("\"me\""), "{shown}");
        let parts = Parts::of(uri).unwrap().with_host("a", None);
        assert!(!parts.contains("sslpassword"), "{parts}");
        assert_eq!(address.unknown, ["sslpassword"]);
    }

    #[test]
    fn authorities_that_are_named_are_asked() {
        let there = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        for (query, verified) in [
            (format!("sslmode=require&sslrootcert={there}"), true),
            (format!("sslmode=require&ssl-ca={there}"), true),
            ("sslmode=require".to_owned(), false),
        ] {
            let address: Address = format!("postgres://a,b/d?{query}").parse().unwrap();
            for options in address.hosts() {
                let mode = options.get_ssl_mode();
                assert_eq!(matches!(mode, PgSslMode::VerifyCa), verified, "{query}: {mode:?}");
            }
        }
        let gone = "postgres://a/d?sslkey=/nowhere".parse::<Address>().unwrap_err();
        assert_eq!(gone.to_string(), "the file of its `sslkey`, /nowhere, cannot be read");
    }

    #[test]
    fn plain_text_to_others_is_told() {
        for (uri, hosts) in [
            ("postgres://a,localhost,127.0.0.1:7,[::1],b/d", Some("a:5432,b:5432")),
            ("postgres://a/d?sslmode=disable", Some("a:5432")),
            ("postgres://a/d?sslmode=allow", Some("a:5432")),
            ("postgres://a/d?sslmode=require", None),
            ("postgres://a,b/d?sslmode=verify-full", None),
            ("postgres:///d?host=/run/postgres", None),
            ("postgres://localhost/d", None),
        ] {
            let address: Address = uri.parse().unwrap();
            let open = address.in_plain_text().map(|address| address.to_string());
            assert_eq!(open.as_deref(), hosts, "{uri}");
        }
    }

    #[test]
    fn the_rest_is_left_to_the_client() {
        let uri = "postgres://us%40er:pw@a:1,b:2/shop?sslmode=disable&application_name=me";
        let address: Address = uri.parse().unwrap();
        for options in address.hosts() {
            assert_eq!(options.get_username(), "us@er");
            assert_eq!(options.get_database(), Some("shop"));
            assert_eq!(options.get_application_name(), Some("me"));
        }
    }
}
