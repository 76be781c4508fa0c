//! Asking Postgres, check by check, each with a bound. Once it is silent it is asked no more.

use std::time::Duration;

use amends_postgres::{Class, Database, class_of, has_code};

use super::check::{Check, Group};
use crate::failed::describe;

/// How long Postgres may take for one check.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// insufficient privilege
const DENIED: [&str; 1] = ["42501"];

/// A database that is asked, and what came of it.
pub(super) struct Asked {
    pub(super) database: Database,
    pub(super) login: String,
    /// Why it is asked no more.
    lost: Option<String>,
    pub(super) checks: Vec<Check>,
}

impl Asked {
    pub(super) fn new(database: &Database) -> Self {
        let login = database.address().user().to_owned();
        let database = database.with_limit(LIMIT);
        Self { database, login, lost: None, checks: Vec::new() }
    }

    /// It is asked no more.
    pub(super) fn lose(&mut self, why: &str) {
        self.lost = Some(why.to_owned());
    }

    pub(super) const fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// Makes a check of what a statement tells.
    pub(super) async fn ask<T>(
        &mut self,
        group: Group,
        name: &str,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
        judge: impl FnOnce(T) -> Check,
    ) {
        if let Some(why) = &self.lost {
            self.checks.push(group.skipped(name, why.clone()));
            return;
        }
        let check = match statement.await {
            Ok(found) => judge(found),
            Err(error) => self.told(group, name, &error),
        };
        self.checks.push(check);
    }

    /// What an error means for a check.
    pub(super) fn told(&mut self, group: Group, name: &str, error: &sqlx::Error) -> Check {
        if has_code(error, &DENIED) {
            let why = format!("the login `{}` may not see it", self.login);
            return group.skipped(name, why);
        }
        if amends_orchestrator::is_not_migrated(error) {
            return group.skipped(name, "the schema `amends` is not there, or too old");
        }
        let why = describe(error);
        if class_of(error) == Class::Outage {
            self.lose("Postgres does not answer any more");
        }
        group.failed(name, why, "look at Postgres and its log")
    }
}
