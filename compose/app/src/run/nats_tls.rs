//! TLS to NATS: whom to believe, whom to be, and why a connection has none. Files are read again for each
//! connection, as whoever issues certificates renews them there.

use std::{error::Error, fmt, io, path::PathBuf};

use async_nats::{ConnectError, ConnectErrorKind, ConnectOptions, rustls};

use crate::{failed::Failed, settings::NatsSettings};

/// What a connection's TLS is made of.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    /// The authorities that are believed; the system's where no file names any.
    authorities: Option<PathBuf>,
    /// The certificate to show, and its key.
    identity: Option<(PathBuf, PathBuf)>,
    /// Whether a connection without TLS is refused, and the server's own wish does not matter.
    required: bool,
}

/// Why there is no TLS.
pub(super) struct NoTls {
    pub(super) why: String,
    pub(super) advice: &'static str,
}

impl Tls {
    /// What the settings say; `asked` is whether an address asks for TLS.
    ///
    /// # Errors
    /// A certificate without a key, or a key without a certificate.
    pub(super) fn of(settings: &NatsSettings, asked: bool) -> Result<Self, Failed> {
        let (certificate, key) = (settings.nats_cert.clone(), settings.nats_key.clone());
        if certificate.is_some() != key.is_some() {
            return Err(Failed::misused("NATS_CERT and NATS_KEY belong together: say both"));
        }
        let (authorities, identity) = (settings.nats_ca.clone(), certificate.zip(key));
        let required = asked || authorities.is_some() || identity.is_some();
        Ok(Self { authorities, identity, required })
    }

    pub(super) const fn is_required(&self) -> bool {
        self.required
    }

    pub(super) fn apply(&self, mut options: ConnectOptions) -> ConnectOptions {
        if let Some(authorities) = &self.authorities {
            options = options.add_root_certificates(authorities.clone());
        }
        if let Some((certificate, key)) = &self.identity {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        options.require_tls(self.required)
    }

    /// Why a try failed, if it did by TLS. Waiting does not mend that, as it does a broken network.
    pub(super) fn failure(&self, error: &ConnectError) -> Option<NoTls> {
        if error.kind() == ConnectErrorKind::Tls {
            let source = error.source().map(ToString::to_string).unwrap_or_default();
            return Some(self.unusable(&source));
        }
        let error = tls_error(error)?;
        let (what, advice) = match error {
            rustls::Error::InvalidCertificate(_) => (
                "the certificate of NATS cannot be trusted",
                "name its authority by NATS_CA, and the host by a name in the certificate",
            ),
            rustls::Error::InvalidMessage(_) => (
                "NATS speaks no TLS, which is asked for",
                "let the server speak it, or leave out NATS_CA, NATS_CERT and `tls://`",
            ),
            rustls::Error::AlertReceived(_) => (
                "NATS refuses the TLS connection",
                "give a certificate that it trusts by NATS_CERT and NATS_KEY",
            ),
            _ => ("the TLS connection to NATS fails", "compare the settings of both sides"),
        };
        Some(NoTls { why: format!("{what}: {error}"), advice })
    }

    /// The files, or what is in them, are at fault.
    pub(super) fn unusable(&self, why: &str) -> NoTls {
        let colon = if why.is_empty() { "" } else { ": " };
        NoTls {
            why: format!("the certificates for NATS ({self}) cannot be used{colon}{why}"),
            advice: "put valid ones into the files, which are read again at each try",
        }
    }
}

/// The files.
impl fmt::Display for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.authorities {
            Some(file) => write!(f, "authorities in {}", file.display())?,
            None => write!(f, "authorities of the system")?,
        }
        if let Some((certificate, key)) = &self.identity {
            write!(f, ", own in {} with key {}", certificate.display(), key.display())?;
        }
        Ok(())
    }
}

/// The error of TLS that an error comes from, if it does.
fn tls_error(error: &ConnectError) -> Option<&rustls::Error> {
    let mut next = error.source();
    while let Some(error) = next {
        // The source of an error of I/O is that of the error inside, which it passes over.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match inner.and_then(|inner| inner.downcast_ref()) {
            Some(tls) => return Some(tls),
            None => next = error.source(),
        }
    }
    None
}
