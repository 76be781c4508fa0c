//! A service: its name, its database and what it can do.

use std::{collections::HashMap, marker::PhantomData, num::NonZeroU32, sync::Arc};

use amends::{Compensatable, Handler, NameError, Step, check_name, check_operation};
use amends_postgres::Database;
use tokio::sync::watch;

use crate::{
    Act, Compensate, Health, Hint,
    execution::Sharing,
    handler::{ActionOnly, Operation, WithCompensation},
};

/// How many attempts of a service run at once, unless [`Builder::concurrency`] says otherwise.
const CONCURRENCY: usize = 64;

/// A service, ready to serve.
///
/// ```no_run
/// # use amends::{wire::Undo, Compensatable, Step};
/// # use amends_workers::{Act, Address, Attempt, Compensate, Database, Halt, SESSION, Service};
/// # use std::convert::Infallible;
/// # #[derive(serde::Serialize, serde::Deserialize)] pub struct Room { pub number: i32 }
/// # pub struct BookRoom;
/// # impl Step for BookRoom {
/// #     const NAME: &'static str = "hotel.book";
/// #     type Input = Room; type Output = (); type Rejection = Infallible;
/// # }
/// # impl Compensatable for BookRoom {}
/// struct Hotel;
///
/// impl Act<BookRoom> for Hotel {
///     async fn act(&self, cx: &mut Attempt<'_>, room: Room) -> Result<(), Halt<Infallible>> {
///         let book = "insert into hotel.booking (room) values ($1)";
///         sqlx::query(book).bind(room.number).execute(&mut *cx.tx).await?;
///         Ok(())
///     }
/// }
///
/// impl Compensate<BookRoom> for Hotel {
///     async fn compensate(
///         &self,
///         cx: &mut Attempt<'_>,
///         undo: Undo<Room, ()>,
///     ) -> Result<(), Halt<Infallible>> {
///         let cancel = "insert into hotel.cancellation (room) values ($1)";
///         sqlx::query(cancel).bind(undo.input.number).execute(&mut *cx.tx).await?;
///         Ok(())
///     }
/// }
///
/// # async fn run(nats: async_nats::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let address = "postgres://hotel@db.example/hotel".parse::<Address>()?.for_writing();
/// let database = Database::new(address, &SESSION, 16);
/// amends_workers::migrate(&database).await?;
/// let stop = tokio_util::sync::CancellationToken::new();
/// let hotel = Service::new("hotel", database, Hotel).step::<BookRoom>().build()?;
/// hotel.serve(nats, stop).await;
/// # Ok(()) }
/// ```
pub struct Service {
    pub(crate) name: String,
    pub(crate) database: Database,
    pub(crate) operations: HashMap<&'static str, Arc<dyn Operation>>,
    pub(crate) concurrency: usize,
    pub(crate) sharing: Option<Sharing>,
    pub(crate) per_second: Option<NonZeroU32>,
    pub(crate) failures_to_open: Option<u32>,
    pub(crate) health: watch::Sender<Health>,
    pub(crate) hint: Hint,
}

impl Service {
    /// Begins a service. Its handlers are methods of one value; they run in transactions of
    /// `database`.
    ///
    /// Let its sessions have the settings [`SESSION`](crate::SESSION) or like ones: an attempt whose worker
    /// is gone would block every other attempt at its effect. Let `idle_in_transaction_session_timeout` be
    /// 10 s or more, as the relay of events waits for JetStream within a transaction.
    #[expect(clippy::new_ret_no_self, reason = "the one way to a service is its builder")]
    pub fn new<H>(name: &str, database: Database, handlers: H) -> Builder<H> {
        Builder {
            name: name.to_owned(),
            database,
            handlers: Arc::new(handlers),
            operations: Vec::new(),
            concurrency: CONCURRENCY,
            sharing: None,
            per_second: None,
            failures_to_open: None,
        }
    }

    /// The service's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the service handles, in order of the operations' names: for [`amends::check`].
    #[must_use]
    pub fn handlers(&self) -> Vec<Handler> {
        let mut handlers: Vec<_> = self.operations.values().map(|o| o.handler()).collect();
        handlers.sort_unstable();
        handlers
    }

    /// Follows the service's health while it serves.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Tells the service's relay of events that were emitted outside of its handlers.
    #[must_use]
    pub fn hint(&self) -> Hint {
        self.hint.clone()
    }
}

/// Puts a [`Service`] together.
///
/// ```
/// # use amends::{Compensatable, Step};
/// # use amends_workers::{Act, Compensate, Database, Service, ServiceError};
/// fn service<BookRoom, SendKey, Hotel>(
///     database: Database,
///     hotel: Hotel,
/// ) -> Result<Service, ServiceError>
/// where
///     BookRoom: Compensatable,
///     SendKey: Step,
///     Hotel: Act<BookRoom> + Compensate<BookRoom> + Act<SendKey>,
/// {
///     Service::new("hotel", database, hotel)
///         .step::<BookRoom>() // before the pivot
///         .forward::<SendKey>() // the pivot, or behind it
///         .concurrency(16)
///         .rate_limit(50)
///         .circuit_breaker(20)
///         .build()
/// }
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct Builder<H> {
    name: String,
    database: Database,
    handlers: Arc<H>,
    operations: Vec<(&'static str, Arc<dyn Operation>)>,
    concurrency: usize,
    sharing: Option<Sharing>,
    per_second: Option<NonZeroU32>,
    failures_to_open: Option<u32>,
}

impl<H: Send + Sync + 'static> Builder<H> {
    /// A step with action and compensation.
    pub fn step<S>(mut self) -> Self
    where
        S: Compensatable,
        H: Act<S> + Compensate<S>,
    {
        let operation = WithCompensation::<S, H>(Arc::clone(&self.handlers), PhantomData);
        self.operations.push((S::NAME, Arc::new(operation)));
        self
    }

    /// A step with an action only: a pivot, or one after the pivot.
    pub fn forward<S>(mut self) -> Self
    where
        S: Step,
        H: Act<S>,
    {
        let operation = ActionOnly::<S, H>(Arc::clone(&self.handlers), PhantomData);
        self.operations.push((S::NAME, Arc::new(operation)));
        self
    }

    /// How many attempts run at once; 64 by default, never more than the database has sessions, as
    /// each holds one.
    pub fn concurrency(mut self, attempts: usize) -> Self {
        self.concurrency = attempts;
        self
    }

    /// Commands that wait at the same time share a transaction: at most `transactions` at once, each
    /// of at most `commands`, one after the other (1 to 64: as many subtransactions Postgres keeps at
    /// hand). Takes the place of [`Builder::concurrency`]. For handlers whose whole work is short SQL:
    /// under load a command then costs a fraction of its round trips and of its commit, and one that
    /// comes alone runs alone, as fast as before.
    ///
    /// The promises are the same. Each attempt's writes commit together with its remembered reply; a
    /// rejection takes back its own writes only. Any other error of a handler rolls all back; that
    /// command is repeated in a transaction of its own, and the others together. Whatever else goes
    /// wrong (a panic, a deadlock, a lost connection) leaves all of them to repeat apart.
    ///
    /// What changes: rows that a handler has written stay locked until the last command of its
    /// transaction is done, and transactions that lock the same rows in different orders can deadlock
    /// where single attempts could not. `now()` is the same for all. Not for handlers that wait for
    /// anything but the database.
    pub fn shared_transactions(mut self, transactions: usize, commands: usize) -> Self {
        self.sharing = Some(Sharing { transactions, commands });
        self
    }

    /// At most so many attempts begin in a second, with as many at once after a quiet time; 0 counts
    /// as 1. For what handlers call and may not press, such as a card network. Commands beyond it stay
    /// in the stream, and a limit counts for one process: divide it among the replicas. A command that
    /// waits longer than its step's `attempt_timeout` is sent again, so plan that and the retry policy
    /// for the longest queue.
    pub fn rate_limit(mut self, per_second: u32) -> Self {
        self.per_second = Some(NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN));
        self
    }

    /// A circuit breaker: stops taking commands when so many attempts in a row fail (any error of a handler, a panic,
    /// [`Halt::RetryAfter`](crate::Halt::RetryAfter)); 0 counts as 1. After a pause one command is
    /// tried: if it succeeds or is rejected all are taken again, if it fails a longer pause follows,
    /// up to 30 s. [`Service::health`] and the metric `amends_worker_breaker_open` show it. Without
    /// this nothing but an outage of the service's own database stops it.
    ///
    /// One command that always fails also fails in a row where nothing else runs: let the number be
    /// larger than the attempts of one step.
    pub fn circuit_breaker(mut self, failures: u32) -> Self {
        self.failures_to_open = Some(failures.max(1));
        self
    }

    /// Checks the names.
    ///
    /// # Errors
    /// [`ServiceError`] with the first thing that is wrong.
    pub fn build(self) -> Result<Service, ServiceError> {
        check_name("service", &self.name)?;
        let connections = self.database.connections();
        let mut operations = HashMap::new();
        for (step, handler) in self.operations {
            check_operation(step)?;
            let own = step.split_once('.').filter(|(service, _)| *service == self.name);
            let Some((_, operation)) = own else {
                return Err(ServiceError::Foreign { service: self.name, step });
            };
            if operations.insert(operation, handler).is_some() {
                return Err(ServiceError::Twice(step));
            }
        }
        if operations.is_empty() {
            return Err(ServiceError::Idle(self.name));
        }
        let sharing = self.sharing.map(|sharing| sharing.within(connections));
        let concurrency = match sharing {
            Some(sharing) => sharing.at_once(),
            None => self.concurrency.clamp(1, connections),
        };
        Ok(Service {
            name: self.name,
            database: self.database,
            operations,
            concurrency,
            sharing,
            per_second: self.per_second,
            failures_to_open: self.failures_to_open,
            health: watch::Sender::new(Health::default()),
            hint: Hint::default(),
        })
    }
}

/// Why a service cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// A name that cannot enter a subject.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A step of another service.
    #[error(
        "the step `{step}` does not belong to the service `{service}`: a step is called `<service>.<operation>`"
    )]
    Foreign {
        /// The service.
        service: String,
        /// The step.
        step: &'static str,
    },
    /// One step given twice.
    #[error("the step `{0}` is given twice")]
    Twice(&'static str),
    /// No step at all.
    #[error("the service `{0}` has no step")]
    Idle(String),
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use amends::{Rejection, wire::Undo};

    use super::*;
    use crate::{Attempt, Halt};

    struct Nothing;

    struct Book;
    impl Step for Book {
        const NAME: &'static str = "hotel.book";
        type Input = ();
        type Output = ();
        type Rejection = Infallible;
    }

    impl Compensatable for Book {}

    impl Compensate<Book> for Nothing {
        async fn compensate(
            &self,
            _: &mut Attempt<'_>,
            _: Undo<(), ()>,
        ) -> Result<(), Halt<Infallible>> {
            Ok(())
        }
    }

    struct Tidy;
    impl Step for Tidy {
        const NAME: &'static str = "hotel.tidy";
        type Input = ();
        type Output = ();
        type Rejection = Infallible;
    }

    struct Dotless;
    impl Step for Dotless {
        const NAME: &'static str = "book";
        type Input = ();
        type Output = ();
        type Rejection = Infallible;
    }

    struct Nameless;
    impl Rejection for Nameless {
        fn code(&self) -> &str {
            ""
        }
    }

    struct Pay;
    impl Step for Pay {
        const NAME: &'static str = "bank.pay";
        type Input = ();
        type Output = ();
        type Rejection = Nameless;
    }

    impl<S: Step<Output = ()>> Act<S> for Nothing {
        async fn act(&self, _: &mut Attempt<'_>, _: S::Input) -> Result<(), Halt<S::Rejection>> {
            Ok(())
        }
    }

    fn builder(name: &str) -> Builder<Nothing> {
        Service::new(name, Database::new("postgres://nowhere".parse().unwrap(), &[], 7), Nothing)
    }

    #[tokio::test]
    async fn names_have_to_fit() {
        let built = |builder: Builder<Nothing>| builder.build().map(drop);
        assert_eq!(built(builder("hotel").forward::<Book>()), Ok(()));
        assert_eq!(built(builder("hotel")), Err(ServiceError::Idle("hotel".into())));
        let twice = builder("hotel").forward::<Book>().forward::<Book>();
        assert_eq!(built(twice), Err(ServiceError::Twice("hotel.book")));
        let foreign = ServiceError::Foreign { service: "hotel".into(), step: "bank.pay" };
        assert_eq!(built(builder("hotel").forward::<Book>().forward::<Pay>()), Err(foreign));
        assert!(matches!(built(builder("ho.tel").forward::<Book>()), Err(ServiceError::Name(_))));
        let dotless = built(builder("hotel").forward::<Dotless>()).unwrap_err().to_string();
        assert!(dotless.contains("use `<service>.<operation>`"), "{dotless}");
    }

    #[tokio::test]
    async fn it_says_what_it_handles() {
        let hotel = builder("hotel").step::<Book>().forward::<Tidy>().build().unwrap();
        let book = Handler::with_compensation("hotel.book");
        assert_eq!(hotel.handlers(), [book, Handler::action("hotel.tidy")]);
    }

    #[tokio::test]
    async fn shared_transactions_fill_the_pool_at_most() {
        for (wanted, at_once) in [((0, 0), 2), ((2, 8), 32), ((64, 1000), 7 * 64 * 2)] {
            let hotel = builder("hotel").forward::<Book>();
            let service = hotel.shared_transactions(wanted.0, wanted.1).build().unwrap();
            assert_eq!(service.concurrency, at_once);
        }
    }

    #[tokio::test]
    async fn no_more_attempts_than_connections() {
        for (wanted, got) in [(0, 1), (3, 3), (64, 7)] {
            let service = builder("hotel").forward::<Book>().concurrency(wanted).build().unwrap();
            assert_eq!(service.concurrency, got);
        }
    }
}
