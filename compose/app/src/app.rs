//! A program of sagas and services: what its author registers.

use std::{fmt, future::Future, pin::Pin};

use amends::{Definition, DefinitionError, Handler, NameError, Saga, check_operation};
use amends_postgres::Database;
use amends_workers::Service;
use serde::Serialize;
use sqlx::{migrate::Migrator, postgres::PgConnectOptions};

use crate::{
    example::{Example, ExampleEvent},
    failed::{BoxError, During as _, Failed},
};

/// The sagas and the services of a program. With [`main`](Self::main) it is a whole program, which has every
/// role and every operator's command: `dev`, `orchestrator`, `worker`, `migrate`, `check`, `list`, `show`
/// and so on; `--help` names them.
///
/// ```no_run
/// # use std::process::ExitCode;
/// # use amends_app::App;
/// # mod place_order {
/// #     use std::convert::Infallible;
/// #     use amends::{BeforePivot, Finished, Given, Plan, Saga, Step, Trigger};
/// #     pub struct Charge;
/// #     impl Step for Charge {
/// #         const NAME: &'static str = "payment.charge";
/// #         type Input = u64;
/// #         type Output = ();
/// #         type Rejection = Infallible;
/// #     }
/// #     pub struct PlaceOrder;
/// #     impl Saga for PlaceOrder {
/// #         const NAME: &'static str = "order";
/// #         const VERSION: u32 = 1;
/// #         type Input = u64;
/// #         type Output = ();
/// #         fn trigger() -> Trigger<u64> { Trigger::on("orders.placed").key(u64::to_string) }
/// #         fn plan(p: Plan<BeforePivot>, order: Given<u64>) -> Finished<()> {
/// #             let (p, charged) = p.pivot(Charge::with(order));
/// #             p.finish(charged)
/// #         }
/// #     }
/// # }
/// # mod payment {
/// #     use std::convert::Infallible;
/// #     use amends_workers::{Act, Attempt, Database, Halt, Service, ServiceError};
/// #     use super::place_order::Charge;
/// #     pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate::Migrator::DEFAULT;
/// #     struct Payment;
/// #     impl Act<Charge> for Payment {
/// #         async fn act(&self, _: &mut Attempt<'_>, _: u64) -> Result<(), Halt<Infallible>> { Ok(()) }
/// #     }
/// #     pub fn service(database: Database) -> Result<Service, ServiceError> {
/// #         Service::new("payment", database, Payment).forward::<Charge>().build()
/// #     }
/// # }
/// # use place_order::PlaceOrder;
/// fn main() -> ExitCode {
///     App::new("shop")
///         .saga::<PlaceOrder>()
///         .service("payment", payment::service, &payment::MIGRATIONS)
///         .main()
/// }
/// ```
pub struct App {
    name: &'static str,
    sagas: Vec<fn() -> Result<Definition, DefinitionError>>,
    services: Vec<AppService>,
    elsewhere: Vec<Handler>,
    examples: Vec<Example>,
    example_events: Vec<ExampleEvent>,
    first_data: Vec<FirstData>,
    hints: &'static str,
}

/// Flags that a program adds to `worker`, about data which its services need before they serve.
///
/// ```
/// use amends_app::{Failed, WorkerFlags};
/// use amends_workers::Database;
///
/// #[derive(Debug, clap::Args)]
/// struct Stock {
///     /// Fill the shelves of `store` first.
///     #[arg(long)]
///     seed_stock: bool,
/// }
///
/// impl WorkerFlags for Stock {
///     fn warn(&self, services: &[&str]) {
///         if self.seed_stock && !services.contains(&"store") {
///             tracing::warn!("--seed-stock is for the service `store`, which this worker does not run");
///         }
///     }
///
///     async fn seed(&self, service: &str, database: &Database) -> Result<(), Failed> {
///         if self.seed_stock && service == "store" {
///             let fill = "insert into store.stock values ('tea', 100) on conflict do nothing";
///             let filled = sqlx::query(fill).execute(database).await;
///             filled.map_err(|error| Failed::new(format!("the stock: {error}")))?;
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait WorkerFlags: clap::Args + fmt::Debug + Sync {
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

/// No flags beside the usual.
#[derive(Debug, Default, clap::Args)]
pub struct NoFlags {}

impl WorkerFlags for NoFlags {
    fn warn(&self, _: &[&str]) {}

    async fn seed(&self, _: &str, _: &Database) -> Result<(), Failed> {
        Ok(())
    }
}

type FirstData =
    Box<dyn Fn(Database) -> Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>> + Send + Sync>;
type Build = Box<dyn Fn(Database) -> Result<Service, BoxError> + Send + Sync>;

/// A service by its name: how it is built, and what makes its schema.
pub(crate) struct AppService {
    name: &'static str,
    build: Build,
    migrations: &'static Migrator,
}

impl App {
    /// A program of this name: the name of its executable, and of the folder where `dev` keeps its data.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            sagas: Vec::new(),
            services: Vec::new(),
            elsewhere: Vec::new(),
            examples: Vec::new(),
            example_events: Vec::new(),
            first_data: Vec::new(),
            hints: "",
        }
    }

    /// Registers a version of a saga's definition. A saga ends under the version that it began with: register
    /// the old one beside the new one until its sagas have ended.
    #[must_use]
    pub fn saga<S: Saga>(mut self) -> Self {
        self.sagas.push(Definition::of::<S>);
        self
    }

    /// Registers a service. `build` makes it over its database, where the schema of the same name (with `_`
    /// for `-`) and, in it, what `migrations` say were made before. Several services may share a database.
    #[must_use]
    pub fn service<B, E>(
        mut self,
        name: &'static str,
        build: B,
        migrations: &'static Migrator,
    ) -> Self
    where
        B: Fn(Database) -> Result<Service, E> + Send + Sync + 'static,
        E: Into<BoxError>,
    {
        let build: Build = Box::new(move |database| build(database).map_err(Into::into));
        self.services.push(AppService { name, build, migrations });
        self
    }

    /// Names the handlers of services outside this program, such as one in another language, so that `check` does
    /// not miss them.
    ///
    /// ```
    /// use amends::Handler;
    /// use amends_app::App;
    ///
    /// let app = App::new("shop").elsewhere([
    ///     Handler::with_compensation("hotel.book"),
    ///     Handler::action("mail.tickets"), // without compensation: the pivot, or behind it
    /// ]);
    /// # drop(app);
    /// ```
    #[must_use]
    pub fn elsewhere(mut self, handlers: impl IntoIterator<Item = Handler>) -> Self {
        self.elsewhere.extend(handlers);
        self
    }

    /// Names an input with which a saga goes well: `dev` prints the commands that start it and look at it.
    #[must_use]
    pub fn example<S: Saga<Input: Serialize>>(mut self, input: &S::Input) -> Self {
        self.examples.extend(Example::of::<S>(input));
        self
    }

    /// Names an event that a step of an [example](Self::example) waits for: `dev` prints the command that publishes it,
    /// with the key that the example has there.
    ///
    /// ```
    /// use amends_app::App;
    ///
    /// #[derive(serde::Serialize)]
    /// struct Settled { order_id: String }
    ///
    /// let app = App::new("shop")
    ///     // .example::<PlaceOrder>(…) of the order o-1
    ///     .example_event("payments.settled", &Settled { order_id: "o-1".into() });
    /// # drop(app);
    /// ```
    #[must_use]
    pub fn example_event<E: Serialize>(mut self, subject: &str, event: &E) -> Self {
        self.example_events.extend(ExampleEvent::of(subject, event));
        self
    }

    /// Puts first data into the database of `dev`, each time that it starts. Rows that are there
    /// already should stay as they are.
    ///
    /// ```
    /// use amends_app::App;
    ///
    /// let app = App::new("shop").first_data(|database| async move {
    ///     let fill = "insert into store.stock values ('tea', 100) on conflict do nothing";
    ///     sqlx::query(fill).execute(&database).await?;
    ///     Ok(())
    /// });
    /// # drop(app);
    /// ```
    #[must_use]
    pub fn first_data<F>(mut self, fill: impl Fn(Database) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.first_data.push(Box::new(move |database| {
            let filled = fill(database);
            Box::pin(async { filled.await.during("the first data") })
        }));
        self
    }

    /// A text that `dev` prints below its examples.
    #[must_use]
    pub const fn hints(mut self, hints: &'static str) -> Self {
        self.hints = hints;
        self
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn examples(&self) -> &[Example] {
        &self.examples
    }

    pub(crate) fn example_events(&self) -> &[ExampleEvent] {
        &self.example_events
    }

    pub(crate) const fn further_hints(&self) -> &'static str {
        self.hints
    }

    pub(crate) fn services(&self) -> &[AppService] {
        &self.services
    }

    /// The definitions of its sagas.
    pub(crate) fn definitions(&self) -> Result<Vec<Definition>, Failed> {
        let definitions: Result<Vec<_>, _> = self.sagas.iter().map(|define| define()).collect();
        definitions.during("definition")
    }

    /// The names of its services.
    pub fn service_names(&self) -> impl Iterator<Item = &'static str> {
        self.services.iter().map(|service| service.name)
    }

    /// The names of services that are no part of it; one for each of their handlers.
    pub(crate) fn services_elsewhere(&self) -> impl Iterator<Item = &str> {
        self.elsewhere.iter().map(Handler::service)
    }

    /// The services of these names, each once; fails for a name that no service has.
    pub(crate) fn named(&self, names: &[String]) -> Result<Vec<&AppService>, Failed> {
        let mut found: Vec<&AppService> = Vec::new();
        for name in names {
            let Some(service) = self.services.iter().find(|service| service.name == name) else {
                let all = self.service_names().collect::<Vec<_>>().join(", ");
                return Err(Failed::misused(format!(
                    "there is no service `{name}`: the services are {all}"
                )));
            };
            if found.iter().all(|other| other.name != service.name) {
                found.push(service);
            }
        }
        Ok(found)
    }

    /// What all services handle, here and elsewhere. Needs tokio's runtime, but no database.
    pub(crate) fn handlers(&self) -> Result<Vec<Handler>, Failed> {
        self.elsewhere.iter().try_for_each(check_name).during("App::elsewhere")?;
        let unconnected = Database::new(PgConnectOptions::new_without_pgpass().into(), &[], 1);
        let mut handlers = self.elsewhere.clone();
        for service in &self.services {
            handlers.extend(service.build(unconnected.clone())?.handlers());
        }
        Ok(handlers)
    }

    pub(crate) async fn fill(&self, database: &Database) -> Result<(), Failed> {
        for fill in &self.first_data {
            fill(database.clone()).await?;
        }
        Ok(())
    }
}

/// The schema with a service's tables.
pub(crate) fn schema_of(service: &str) -> String {
    service.replace('-', "_")
}

fn check_name(handler: &Handler) -> Result<(), NameError> {
    match (handler.service(), handler.operation()) {
        // Without a dot all of a name is the service's.
        (service, "") => check_operation(service),
        (service, operation) => check_operation(&format!("{service}.{operation}")),
    }
}

impl AppService {
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// The schema with its tables.
    pub(crate) fn schema(&self) -> String {
        schema_of(self.name)
    }

    /// The service over its database.
    pub(crate) fn build(&self, database: Database) -> Result<Service, Failed> {
        (self.build)(database).during(&format!("service {}", self.name))
    }

    /// Brings its database up to date: the barrier, and its own schema.
    pub(crate) async fn migrate(&self, database: &Database) -> Result<(), Failed> {
        let barrier = amends_workers::migrate(database).await;
        let migrated = match barrier {
            Ok(()) => {
                amends_workers::migrate_schema(database, &self.schema(), self.migrations).await
            }
            failed => failed,
        };
        let what = "the service's database could not be brought up to date";
        migrated.during(&format!("service {}: {what}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_handler_elsewhere_has_the_name_of_an_operation() {
        let app = |name| App::new("shop").elsewhere([Handler::action(name)]);
        assert!(app("hotel.book").handlers().is_ok());
        let refused = app("no-dot").handlers().unwrap_err().to_string();
        let says =
            "App::elsewhere: step name \"no-dot\" is not allowed: use `<service>.<operation>`";
        assert!(refused.starts_with(says), "{refused}");
        for wrong in ["hotel.", ".book", "Hotel.book", "hotel.book.now"] {
            assert!(app(wrong).handlers().is_err(), "{wrong}");
        }
    }
}
