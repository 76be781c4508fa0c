//! Makes a program of sagas and services. You register them in an [`App`]; its [`main`](App::main) gives the
//! program every role (`orchestrator`, `worker`, `all`), private servers to try it (`dev`), and every command of
//! operators (`list`, `show`, `cancel`, `retry` and so on).
//!
//! A whole program, with a saga that holds money and takes it:
//!
//! ```no_run
//! use std::{convert::Infallible, process::ExitCode};
//!
//! use amends::{
//!     BeforePivot, Compensatable, Finished, Given, Plan, Rejection, Saga, Step, Trigger, wire::Undo,
//! };
//! use amends_app::App;
//! use amends_workers::{Act, Attempt, Compensate, Database, Halt, Service, ServiceError, reject};
//! use serde::{Deserialize, Serialize};
//! use sqlx::migrate::Migrator;
//!
//! // The contract of the steps.
//! #[derive(Clone, Serialize, Deserialize)]
//! pub struct Order { pub id: String, pub account: i32, pub amount: i64 }
//! pub struct NoMoney;
//! impl Rejection for NoMoney {
//!     fn code(&self) -> &str { "no_money" }
//! }
//! pub struct HoldMoney;
//! impl Step for HoldMoney {
//!     const NAME: &'static str = "bank.hold"; // service.operation
//!     type Input = Order;
//!     type Output = ();
//!     type Rejection = NoMoney;
//! }
//! impl Compensatable for HoldMoney {}
//! pub struct TakeMoney;
//! impl Step for TakeMoney {
//!     const NAME: &'static str = "bank.take";
//!     type Input = Order;
//!     type Output = ();
//!     type Rejection = Infallible; // cannot be refused
//! }
//!
//! // The saga.
//! pub struct PlaceOrder;
//! impl Saga for PlaceOrder {
//!     const NAME: &'static str = "order";
//!     const VERSION: u32 = 1;
//!     type Input = Order;
//!     type Output = ();
//!
//!     fn trigger() -> Trigger<Order> {
//!         Trigger::on("orders.placed").key(|order| order.id.clone())
//!     }
//!     fn plan(mut p: Plan<BeforePivot>, order: Given<Order>) -> Finished<()> {
//!         p.step(HoldMoney::with(order.clone()));
//!         let (p, taken) = p.pivot(TakeMoney::with(order)); // no way back from here
//!         p.finish(taken)
//!     }
//! }
//!
//! // The service. Its handlers write in a transaction that commits together with the reply.
//! struct Bank;
//! const MOVE: &str = "update bank.account set free = free - $2, held = held + $2
//!     where id = $1 and free >= $2";
//!
//! impl Act<HoldMoney> for Bank {
//!     async fn act(&self, cx: &mut Attempt<'_>, order: Order) -> Result<(), Halt<NoMoney>> {
//!         let held = sqlx::query(MOVE).bind(order.account).bind(order.amount);
//!         match held.execute(&mut *cx.tx).await?.rows_affected() {
//!             0 => reject(NoMoney),
//!             _ => Ok(()),
//!         }
//!     }
//! }
//! impl Compensate<HoldMoney> for Bank {
//!     async fn compensate(
//!         &self,
//!         cx: &mut Attempt<'_>,
//!         undo: Undo<Order, ()>,
//!     ) -> Result<(), Halt<Infallible>> {
//!         let back = sqlx::query(MOVE).bind(undo.input.account).bind(-undo.input.amount);
//!         back.execute(&mut *cx.tx).await?;
//!         Ok(())
//!     }
//! }
//! impl Act<TakeMoney> for Bank {
//!     async fn act(&self, cx: &mut Attempt<'_>, order: Order) -> Result<(), Halt<Infallible>> {
//!         let take = "update bank.account set held = held - $2 where id = $1";
//!         sqlx::query(take).bind(order.account).bind(order.amount).execute(&mut *cx.tx).await?;
//!         Ok(())
//!     }
//! }
//!
//! // In a package: `sqlx::migrate!("./migrations")`, which makes the table `bank.account`.
//! static MIGRATIONS: Migrator = Migrator::DEFAULT;
//!
//! fn bank(database: Database) -> Result<Service, ServiceError> {
//!     Service::new("bank", database, Bank).step::<HoldMoney>().forward::<TakeMoney>().build()
//! }
//!
//! fn main() -> ExitCode {
//!     App::new("shop").saga::<PlaceOrder>().service("bank", bank, &MIGRATIONS).main()
//! }
//! ```
//!
//! | to | start at |
//! |---|---|
//! | make a program of sagas and services | [`App`] |
//! | test it on real servers, started for the test | [`testing::Live`] |
//! | tell why something fails, and with which exit code | [`Failed`] |
//! | have private servers without a program | [`local::Local`] |
//! | add flags to `worker` | [`WorkerFlags`] |
//! | let `doctor` run a saga | [`RoundTrip`] |
//! | read the code | `cli` for commands and flags, `run` for roles, `operate` for operators' commands, `deploy` for checks before a deploy, `doctor` for those of an installation |

mod age;
mod app;
mod assignment;
mod cli;
mod complaint;
mod deploy;
mod doctor;
mod example;
mod failed;
pub mod local;
mod operate;
mod plain_text;
mod print;
mod process;
mod program;
mod program_name;
mod rights;
mod round_trip;
mod run;
mod settings;
mod terminal;
pub mod testing;
mod tour;

pub use app::{App, NoFlags, WorkerFlags};
pub use cli::{
    Commands, ENVIRONMENT, GROUPS, OrchestratorArgs, matches, with_groups, with_services,
};
pub use failed::{BoxError, During, Failed};
pub use operate::transcript;
pub use print::print;
pub use process::{Workspace, ask_to_end, log_ends, main};
pub use round_trip::{RoundTrip, RoundTripCalled};
pub use run::{
    SERVICE_CONNECTIONS, connect, log_lines, nats, orchestrator, prepare, stop_on_signal,
};
pub use settings::{LogFormat, NatsSettings, Settings, database_variable};
