//! A check: what was looked at, what was found, and what to do.

use serde::Serialize;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it has to be.
    Ok,
    /// It works, and somebody should look.
    Warning,
    /// It does not work, or not for long.
    Failed,
    /// It could not be looked at, or was not asked for.
    Skipped,
}

impl Verdict {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Group {
    Servers,
    Postgres,
    Nats,
    Orchestrator,
    Definitions,
    Workers,
    Participants,
    Rights,
    Saga,
}

/// One check.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) group: Group,
    pub(super) name: String,
    pub(super) verdict: Verdict,
    pub(super) found: String,
    /// What to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) advice: String,
}

impl Group {
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Servers => "Servers",
            Self::Postgres => "Postgres",
            Self::Nats => "NATS",
            Self::Orchestrator => "Orchestrator",
            Self::Definitions => "Definitions",
            Self::Workers => "Workers",
            Self::Participants => "Participants",
            Self::Rights => "Rights",
            Self::Saga => "A saga",
        }
    }

    pub(super) fn ok(self, name: &str, found: impl Into<String>) -> Check {
        self.check(name, Verdict::Ok, found.into(), String::new())
    }

    pub(super) fn warning(
        self,
        name: &str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Check {
        self.check(name, Verdict::Warning, found.into(), advice.into())
    }

    pub(super) fn failed(
        self,
        name: &str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Check {
        self.check(name, Verdict::Failed, found.into(), advice.into())
    }

    pub(super) fn skipped(self, name: &str, why: impl Into<String>) -> Check {
        self.check(name, Verdict::Skipped, why.into(), String::new())
    }

    fn check(self, name: &str, verdict: Verdict, found: String, advice: String) -> Check {
        Check { group: self, name: name.to_owned(), verdict, found, advice }
    }
}
