//! Who logs in to NATS, and by what secret. A secret in a file is read again for each connection, as
//! whoever issues it renews it there.

use std::{
    io,
    path::{Path, PathBuf},
};

use async_nats::Auth;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use nkeys::KeyPair;
use serde::Deserialize;

/// Who logs in.
#[derive(Clone)]
pub(super) enum Credentials {
    /// Nobody: the server asks for no login, or refuses it.
    Nobody,
    /// A user whom an address names, with the password there.
    Named {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// Whoever has the token that an address names.
    NamedToken(String),
    /// A user, with the password in a file.
    User {
        /// The user.
        user: String,
        /// The file.
        password: PathBuf,
    },
    /// Whoever has the token in a file.
    Token(PathBuf),
    /// The user who has the nkey whose seed is in a file.
    Seed(PathBuf),
    /// The user of the JWT in a file, which also holds the seed that signs for it.
    File(PathBuf),
}

/// Why a login cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    #[error("the {what} {} cannot be read", file.display())]
    Unreadable { what: &'static str, file: PathBuf, source: io::Error },
    #[error("the {what} {} is empty", file.display())]
    Empty { what: &'static str, file: PathBuf },
    #[error("the credentials {} hold no user JWT and seed", .0.display())]
    NoCredentials(PathBuf),
    #[error("the seed in {} cannot be used", file.display())]
    Seed { file: PathBuf, source: nkeys::error::Error },
}

/// What a connection logs in by.
pub(super) struct Secret {
    pub(super) auth: Auth,
    /// Until when it is good, as far as it says so.
    pub(super) expires: Option<DateTime<Utc>>,
}

impl Credentials {
    /// What to answer to a server that greets with this nonce.
    pub(super) async fn secret(&self, nonce: &[u8]) -> Result<Secret, CredentialsError> {
        let mut auth = Auth::new();
        match self {
            Self::Nobody => {}
            Self::Named { user, password } => {
                (auth.username, auth.password) = (Some(user.clone()), Some(password.clone()));
            }
            Self::NamedToken(token) => auth.token = Some(token.clone()),
            Self::User { user, password } => {
                auth.username = Some(user.clone());
                auth.password = Some(read("password", password).await?);
            }
            Self::Token(file) => auth.token = Some(read("token", file).await?),
            Self::Seed(file) => {
                let (key, signature) = sign(&read("seed", file).await?, file, nonce)?;
                (auth.nkey, auth.signature) = (Some(key), Some(signature));
            }
            Self::File(file) => return signed(file, nonce).await,
        }
        Ok(Secret { auth, expires: None })
    }

    /// The user by a name for people, for a sentence about the login.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Nobody => "without credentials".into(),
            Self::Named { user, .. } => format!("as `{user}`, with the password of its address"),
            Self::NamedToken(_) => "with the token of its address".into(),
            Self::User { user, password } => {
                format!("as `{user}`, with the password in {}", password.display())
            }
            Self::Token(file) => format!("with the token in {}", file.display()),
            Self::Seed(file) => format!("with the seed in {}", file.display()),
            Self::File(file) => format!("with the credentials in {}", file.display()),
        }
    }

    /// What a person can do when the login is refused.
    pub(super) const fn advice(&self) -> &'static str {
        match self {
            Self::Nobody => {
                "name a user in NATS_URL, or files by NATS_CREDS, NATS_NKEY, NATS_USER and \
                 NATS_PASSWORD_FILE, or NATS_TOKEN_FILE"
            }
            Self::Named { .. } => "correct user and password in NATS_URL",
            Self::NamedToken(_) => "correct the token in NATS_URL",
            Self::User { .. } | Self::Token(_) | Self::Seed(_) | Self::File(_) => {
                "put a valid secret into the file, which is read again at each try"
            }
        }
    }
}

/// The secret in a file. A line break at its end is not part of it.
async fn read(what: &'static str, file: &Path) -> Result<String, CredentialsError> {
    let text = tokio::fs::read_to_string(file)
        .await
        .map_err(|source| CredentialsError::Unreadable { what, file: file.to_owned(), source })?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(CredentialsError::Empty { what, file: file.to_owned() }),
        secret => Ok(secret.to_owned()),
    }
}

/// The JWT in a file, and the nonce signed by the seed there.
async fn signed(file: &Path, nonce: &[u8]) -> Result<Secret, CredentialsError> {
    let text = read("credentials", file).await?;
    let mut blocks = blocks(&text);
    let (Some(jwt), Some(seed)) = (blocks.next(), blocks.next()) else {
        return Err(CredentialsError::NoCredentials(file.to_owned()));
    };
    let (_, signature) = sign(seed, file, nonce)?;
    let mut auth = Auth::new();
    (auth.jwt, auth.signature) = (Some(jwt.to_owned()), Some(signature));
    Ok(Secret { auth, expires: expiry(jwt) })
}

/// The public key of a seed, which a file holds, and the nonce signed by it.
fn sign(seed: &str, file: &Path, nonce: &[u8]) -> Result<(String, Vec<u8>), CredentialsError> {
    let unusable = |source| CredentialsError::Seed { file: file.to_owned(), source };
    let key = KeyPair::from_seed(seed.trim()).map_err(unusable)?;
    Ok((key.public_key(), key.sign(nonce).map_err(unusable)?))
}

/// What stands between lines of hyphens that begin and end something: first the JWT, then the seed.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    std::iter::from_fn(move || {
        lines.find(|line| line.starts_with("---") && line.contains("BEGIN"))?;
        lines.next().filter(|line| !line.starts_with("---"))
    })
}

/// When a JWT expires, if it says so and can be read: whether it is valid the server decides.
fn expiry(jwt: &str) -> Option<DateTime<Utc>> {
    #[derive(Deserialize)]
    struct Claims {
        exp: Option<i64>,
    }
    let claims = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    DateTime::from_timestamp(claims.exp?, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::TempPath {
        let file = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        std::fs::write(&file, text).unwrap();
        file
    }

    #[tokio::test]
    async fn a_line_break_is_no_part_of_a_secret() {
        for text in ["s3 cret", "s3 cret\n", "s3 cret\r\n"] {
            let file = file(text);
            let token = Credentials::Token(file.to_path_buf()).secret(b"").await.unwrap();
            assert_eq!(token.auth.token.as_deref(), Some("s3 cret"));
            let user = Credentials::User { user: "ada".into(), password: file.to_path_buf() };
            let auth = user.secret(b"").await.unwrap().auth;
            assert_eq!(auth.username.as_deref(), Some("ada"));
            assert_eq!(auth.password.as_deref(), Some("s3 cret"));
        }
    }

    #[tokio::test]
    async fn the_seed_of_a_file_signs_for_its_jwt() {
        let key = KeyPair::new_user();
        let claims = URL_SAFE_NO_PAD.encode(r#"{"exp":1900000000}"#);
        let (jwt, seed) = (format!("e30.{claims}.c2ln"), key.seed().unwrap());
        let file = file(&format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\nNKEY Seed below.\n\n\
             -----BEGIN USER NKEY SEED-----\r\n{seed}\r\n------END USER NKEY SEED------\r\n"
        ));
        let secret = Credentials::File(file.to_path_buf()).secret(b"nonce").await.unwrap();
        assert_eq!(secret.auth.jwt, Some(jwt));
        key.verify(b"nonce", &secret.auth.signature.unwrap()).unwrap();
        assert_eq!(secret.expires.unwrap().timestamp(), 1_900_000_000);
    }

    #[tokio::test]
    async fn what_is_no_secret_is_refused_with_its_file() {
        let jwt = "-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n";
        let seed = "-----BEGIN USER NKEY SEED-----\nSU\n------END USER NKEY SEED------\n";
        for (text, words) in [
            ("", "is empty"),
            ("\n", "is empty"),
            ("a.b.c", "hold no user JWT and seed"),
            (jwt, "hold no user JWT and seed"),
            (&format!("{jwt}{seed}"), "cannot be used"),
        ] {
            let file = file(text);
            let error = Credentials::File(file.to_path_buf()).secret(b"").await.err().unwrap();
            let error = error.to_string();
            assert!(error.contains(words), "{error}");
            assert!(error.contains(file.to_str().unwrap()), "{error}");
        }
        let gone = Credentials::Token("/nowhere/token".into()).secret(b"").await.err().unwrap();
        assert_eq!(gone.to_string(), "the token /nowhere/token cannot be read");
    }
}
