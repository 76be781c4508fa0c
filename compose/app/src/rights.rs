//! What a login lacks that Postgres refuses something, and the command that grants it.

use amends_postgres::{Address, Role};

use crate::{failed::Failed, program_name::program_name};

/// insufficient privilege
const DENIED: &str = "42501";

/// In place of a login that is not known.
const LOGIN: &str = "LOGIN";

/// What the login of a command has to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need<'a> {
    /// A role of the schema `amends`.
    Role(Role),
    /// What the worker of this service needs.
    Service(&'a str),
    /// The schemas, or the right to make them.
    Ownership,
}

/// The word of the command line for a role.
pub(crate) const fn word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::PayloadReader => "payload-reader",
        Role::Gateway => "gateway",
        Role::Orchestrator => "orchestrator",
    }
}

impl Need<'_> {
    /// The failure, with what to do about it if it is that the login of this database lacks a right.
    pub(crate) fn explain(self, failed: Failed, database_url: Option<&str>) -> Failed {
        if failed.sqlstate().as_deref() != Some(DENIED) {
            return failed;
        }
        let user = database_url.and_then(|url| url.parse::<Address>().ok());
        let login = user.as_ref().map_or(LOGIN, Address::user);
        failed.with_advice(self.advice(login, program_name()))
    }

    fn advice(self, login: &str, program: &str) -> String {
        let (what, owner, grant) = match self {
            Self::Role(role) => (format!("the role `{}`", role.name()), "the schema", word(role)),
            Self::Service(service) => {
                (format!("the rights of the service `{service}`"), "its database", service)
            }
            Self::Ownership => {
                return format!(
                    "migrate as the owner of the schema, or as a login that may create it, not as `{login}`"
                );
            }
        };
        format!(
            "the login `{login}` needs {what}, which the owner of {owner} grants by `{program} migrate --grant {grant}={login}`"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_need_has_its_command() {
        let viewer = Need::Role(Role::Viewer).advice("alice", "shop");
        assert_eq!(
            viewer,
            "the login `alice` needs the role `amends_viewer`, which the owner of the schema grants by \
             `shop migrate --grant viewer=alice`"
        );
        let service = Need::Service("inventory").advice("inv", "shop");
        assert!(service.ends_with("by `shop migrate --grant inventory=inv`"), "{service}");
    }

    #[test]
    fn only_a_lack_of_rights_is_explained() {
        let failed =
            Need::Ownership.explain(Failed::caused_by("no", sqlx::Error::RowNotFound), None);
        assert!(!failed.sentence().contains("owner"), "{failed}");
    }
}
