//! Who issues logins to NATS: an operator, an account, and JWTs of users that may expire.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// An operator with the account that all users belong to, and the account of the system.
pub(crate) struct Issuer {
    operator: KeyPair,
    account: KeyPair,
    system: KeyPair,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        Self {
            operator: KeyPair::new_operator(),
            account: KeyPair::new_account(),
            system: KeyPair::new_account(),
        }
    }

    /// What a server has to know, to let in whoever has a JWT of this issuer.
    pub(crate) fn configuration(&self) -> String {
        let (account, system) = (self.account.public_key(), self.system.public_key());
        let operator = json!({"type": "operator", "version": 2, "system_account": system.as_str()});
        let operator = signed(&self.operator, &self.operator, "operator", operator, None);
        let limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
            "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1,
            "consumer": -1, "max_ack_pending": -1,
        });
        let accounts = [(&self.account, limits), (&self.system, json!({"subs": -1, "conn": -1}))];
        let [users, own] = accounts.map(|(account, limits)| {
            let claims = json!({"type": "account", "version": 2, "limits": limits});
            signed(&self.operator, account, "account", claims, None)
        });
        format!(
            "operator: {operator}\nsystem_account: {system}\nresolver: MEMORY\n\
             resolver_preload: {{ {account}: {users}\n {system}: {own} }}\n"
        )
    }

    /// The file of a new user, who may do everything: for so long, or for ever.
    pub(crate) fn credentials(&self, lasts: Option<Duration>) -> String {
        let user = KeyPair::new_user();
        let claims = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
        let jwt = signed(&self.account, &user, "user", claims, lasts);
        let seed = user.seed().unwrap();
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

fn signed(
    issuer: &KeyPair,
    subject: &KeyPair,
    name: &str,
    nats: Value,
    lasts: Option<Duration>,
) -> String {
    let mut claims = json!({
        "jti": subject.public_key(), "iat": Utc::now().timestamp(), "iss": issuer.public_key(),
        "name": name, "sub": subject.public_key(), "nats": nats,
    });
    if let Some(lasts) = lasts {
        claims["exp"] = (Utc::now() + lasts).timestamp().into();
    }
    let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let text =
        format!("{}.{}", encoded(&json!({"typ": "JWT", "alg": "ed25519-nkey"})), encoded(&claims));
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(issuer.sign(text.as_bytes()).unwrap()))
}
