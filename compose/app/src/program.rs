//! What a program consists of: the one place where the rest of this package learns of sagas and
//! services.

use std::{fmt, future::Future, pin::Pin};

use amends::{Definition, DefinitionError, Handler};
use amends_postgres::Database;
use amends_workers::Service;
use sqlx::postgres::PgConnectOptions;

use crate::failed::{BoxError, During as _, Failed};

/// The sagas and the services of a program.
pub struct Program {
    /// Makes the definitions of the sagas that its orchestrator runs.
    pub define: fn() -> Result<Vec<Definition>, DefinitionError>,
    /// Its services, in the order in which they are listed.
    pub services: Vec<ProgramService>,
    /// Puts first data into the databases of all services, for `dev`.
    pub first_data: FirstData,
    /// Commands to try while `dev` runs, as its user types them.
    pub tour: &'static str,
}

/// Flags that a program adds to `worker`, about data which its services need before they serve.
pub trait WorkerFlags: clap::Args + fmt::Debug {
    /// Warns of flags that none of these services reads.
    fn warn(&self, services: &[&str]);

    /// Puts first data into the database of a service, whose schema is up to date.
    ///
    /// # Errors
    /// Data that cannot be read or written.
    fn seed(
        &self,
        service: &str,
        database: &Database,
    ) -> impl Future<Output = Result<(), Failed>> + Send;
}

type Pending<E> = Pin<Box<dyn Future<Output = Result<(), E>> + Send>>;
type FirstData = Box<dyn Fn(Database) -> Pending<Failed> + Send + Sync>;
type Migrate = Box<dyn Fn(Database) -> Pending<BoxError> + Send + Sync>;
type Build = Box<dyn Fn(Database) -> Result<Service, BoxError> + Send + Sync>;

/// A service by its name: how it is built, and how its database is prepared.
pub struct ProgramService {
    name: &'static str,
    build: Build,
    migrate: Migrate,
}

impl ProgramService {
    /// `build` makes the service over its database, which `migrate` has brought up to date.
    pub fn new<B, M, F>(name: &'static str, build: B, migrate: M) -> Self
    where
        B: Fn(Database) -> Result<Service, BoxError> + Send + Sync + 'static,
        M: Fn(Database) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let migrate = move |database| -> Pending<BoxError> { Box::pin(migrate(database)) };
        Self { name, build: Box::new(build), migrate: Box::new(migrate) }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The service over its database.
    pub(crate) fn build(&self, database: Database) -> Result<Service, Failed> {
        (self.build)(database).during("service")
    }

    /// Brings its database up to date.
    pub(crate) async fn migrate(&self, database: &Database) -> Result<(), Failed> {
        (self.migrate)(database.clone()).await.during(&format!("service {}", self.name))
    }
}

impl Program {
    /// The definitions of its sagas.
    pub(crate) fn definitions(&self) -> Result<Vec<Definition>, Failed> {
        (self.define)().during("definition")
    }

    /// The names of its services.
    pub fn service_names(&self) -> impl Iterator<Item = &'static str> {
        self.services.iter().map(|service| service.name)
    }

    /// The services of these names, each once; fails for a name that no service has.
    pub(crate) fn named(&self, names: &[String]) -> Result<Vec<&ProgramService>, Failed> {
        let mut found: Vec<&ProgramService> = Vec::new();
        for name in names {
            let Some(service) = self.services.iter().find(|service| service.name == name) else {
                let all = self.service_names().collect::<Vec<_>>().join(", ");
                return Err(Failed::new(format!(
                    "there is no service `{name}`: the services are {all}"
                )));
            };
            if found.iter().all(|other| other.name != service.name) {
                found.push(service);
            }
        }
        Ok(found)
    }

    /// What all services handle. Needs tokio's runtime, but no database.
    pub(crate) fn handlers(&self) -> Result<Vec<Handler>, Failed> {
        let unconnected = Database::new(PgConnectOptions::new_without_pgpass().into(), &[], 1);
        let mut handlers = Vec::new();
        for service in &self.services {
            handlers.extend(service.build(unconnected.clone())?.handlers());
        }
        Ok(handlers)
    }
}
