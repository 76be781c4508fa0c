//! Why a command fails: a sentence for its user, and the errors behind it.

use std::{error::Error, fmt};

use amends_postgres::{Class, MigrationError, class_of};
use sqlx::migrate::MigrateError;

use crate::program_name::program_name;

/// What a process ends with that has failed, and one that was called wrongly: as the parser of its command line
/// does.
const FAILED: u8 = 1;
const MISUSED: u8 = 2;

/// Any error that may cross threads.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// Why the program does not end with 0. Its text is one sentence, with those of the errors behind it.
pub struct Failed {
    code: u8,
    what: String,
    source: Option<BoxError>,
    advice: String,
    details: String,
}

impl Failed {
    /// A failure that no error is behind.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            code: FAILED,
            what: what.into(),
            source: None,
            advice: String::new(),
            details: String::new(),
        }
    }

    /// The command line, or the environment, does not say what it has to.
    pub fn misused(what: impl Into<String>) -> Self {
        Self { code: MISUSED, ..Self::new(what) }
    }

    /// A failure by an error, with what was being done.
    pub fn caused_by(what: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self { source: Some(source.into()), ..Self::new(what) }
    }

    /// The same, its sentence with what to do about it.
    #[must_use]
    pub(crate) fn with_advice(self, advice: String) -> Self {
        Self { advice, ..self }
    }

    /// The same with more to read below the sentence, such as the ends of logs.
    #[must_use]
    pub fn with_details(mut self, details: &str) -> Self {
        self.details += details;
        self
    }

    /// The program was told to end before it was done.
    #[must_use]
    pub fn interrupted() -> Self {
        Self::new("interrupted")
    }
}

impl Failed {
    /// What the process ends with.
    pub(crate) const fn exit_code(&self) -> u8 {
        self.code
    }

    /// The sentence, with those of the errors behind it, and what to do about it.
    pub(crate) fn sentence(&self) -> String {
        let mut text = self.what.clone();
        let mut next = self.source();
        let mut first = true;
        while let Some(error) = next {
            let sentence = describe(error);
            // Some errors repeat their source's words in their own.
            if first || !text.contains(&sentence) {
                text = format!("{text}: {sentence}");
            }
            (next, first) = (cause(error), false);
        }
        if !self.advice.is_empty() {
            text = format!("{text}; {}", self.advice);
        }
        text
    }

    /// What is to be read below the sentence.
    pub(crate) fn details(&self) -> &str {
        &self.details
    }

    /// The code of the refusal by Postgres that is behind it, if one is.
    pub(crate) fn sqlstate(&self) -> Option<String> {
        self.driver_error()?.as_database_error()?.code().map(Into::into)
    }

    /// Whether what failed is a statement that Postgres, or what is between, kept from its end: it may be
    /// repeated as it is, and waiting may help.
    pub(crate) fn is_passing(&self) -> bool {
        self.driver_error()
            .is_some_and(|error| matches!(class_of(error), Class::Outage | Class::Conflict))
    }

    /// The first error of the database's driver among those behind it.
    fn driver_error(&self) -> Option<&sqlx::Error> {
        std::iter::successors(self.source(), |&error| error.source())
            .find_map(|error| error.downcast_ref())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.sentence(), self.details)
    }
}

/// As it is told: what a test says that ends with it.
impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Failed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as &(dyn Error + 'static))
    }
}

/// What is behind an error; a refusal of Postgres says all itself.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let refusal = matches!(error.downcast_ref(), Some(sqlx::Error::Database(_)));
    if refusal { None } else { error.source() }
}

/// What an error says, without what only the driver's author wants to know.
pub(crate) fn describe(error: &(dyn Error + 'static)) -> String {
    if let Some(MigrationError::Failed(failed)) = error.downcast_ref() {
        match failed {
            MigrateError::Execute(refusal) => return describe(refusal),
            MigrateError::ExecuteMigration(refusal, number) => {
                return format!("migration {number}: {}", describe(refusal));
            }
            _ => {}
        }
    }
    match error.downcast_ref::<sqlx::Error>() {
        Some(missing) if amends_orchestrator::is_not_migrated(missing) => {
            let program = program_name();
            format!(
                "the schema `amends` is not there, or too old: run `{program} migrate` against this database"
            )
        }
        Some(sqlx::Error::Database(refusal)) => refusal.message().to_owned(),
        Some(sqlx::Error::PoolTimedOut) => {
            "Postgres does not answer: is it running where DATABASE_URL says?".into()
        }
        _ => error.to_string(),
    }
}

/// Turns an error into [`Failed`], with what was being done.
pub trait During<T> {
    /// The same result, its error with this before it.
    ///
    /// # Errors
    /// When it is one.
    fn during(self, what: &str) -> Result<T, Failed>;
}

impl<T, E: Into<BoxError>> During<T> for Result<T, E> {
    fn during(self, what: &str) -> Result<T, Failed> {
        self.map_err(|error| Failed::caused_by(what, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Told {
        text: &'static str,
        source: Option<Box<Self>>,
    }

    #[test]
    fn each_cause_is_told_once() {
        let told = |text, source| Told { text, source: Option::map(source, Box::new) };
        let chain = told("no route: host down", Some(told("host down", Some(told("cut", None)))));
        let failed = Failed::caused_by("cannot connect", chain).with_details("\nlog");
        assert_eq!(failed.to_string(), "cannot connect: no route: host down: cut\nlog");
        assert_eq!(failed.source().map(ToString::to_string).unwrap(), "no route: host down");
    }
}
