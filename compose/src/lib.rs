//! The place where the parts are put together: one binary with roles. The libraries know nothing of
//! it.
//!
//! | to read | start at |
//! |---|---|
//! | the commands and their flags | `cli` |
//! | a long-running role | `roles` |
//! | a private Postgres and nats-server | [`local`] |
//! | what operators do | `acts`, `many`, `cancel`, `start`, `letters`, `house`, `list`, `looks`, `top` |
//! | what is checked before a deploy | `check`, `plan`, `graph` |
//! | what is measured, and how | `bench` |
//! | what the demo does and checks | `demo`, [`audit`] |

mod acts;
mod age;
pub mod audit;
mod bench;
mod cancel;
mod check;
mod cli;
mod demo;
mod dev;
mod graph;
mod house;
mod known;
mod letters;
mod link;
mod list;
pub mod local;
mod looks;
mod many;
mod plan;
mod probes;
mod roles;
mod services;
mod start;
mod telemetry;
mod top;

use std::process::ExitCode;

/// The whole program: parses the command line, runs one role, and says how it ended. 0: done; 1: it
/// failed, with one line on stderr that says why; 2: the command line is wrong.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = local::supervise_if_asked() {
        return code;
    }
    let cli = cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => Err(Failed::new("the runtime cannot be started", &error)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(message)) => {
            telemetry::complain(&message);
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: cli::Cli) -> Result<(), Failed> {
    use cli::Command;
    let settings = cli.settings;
    match cli.command {
        Command::Demo(args) => demo::run(args).await,
        Command::Dev(args) => {
            telemetry::log(settings.log_format);
            dev::run(args).await
        }
        Command::Orchestrator(args) => {
            telemetry::log(settings.log_format);
            roles::orchestrator(&settings, args, roles::definitions()?).await
        }
        Command::Worker(args) => {
            telemetry::log(settings.log_format);
            roles::worker(&settings, args).await
        }
        Command::Bench(args) => bench::run(&settings, args).await,
        Command::BenchOrchestrator(args) => {
            telemetry::log(settings.log_format);
            let definitions = bench::saga::definitions(args.hanging)?;
            roles::orchestrator(&settings, args.orchestrator, definitions).await
        }
        Command::BenchWorkers(args) => {
            telemetry::log(settings.log_format);
            bench::workers::run(&settings, args).await
        }
        Command::Migrate(args) => {
            telemetry::log(settings.log_format);
            roles::migrate(&settings, args).await
        }
        Command::Check(args) => check::run(args),
        Command::Graph(args) => graph::run(args),
        Command::Plan(args) => plan::run(&settings, args).await,
        Command::List(args) => list::list(&settings, args).await,
        Command::Show(args) => looks::show(&settings, args).await,
        Command::Retry(args) => acts::whole(&settings, "retry", args).await,
        Command::Skip(args) => acts::skip(&settings, args).await,
        Command::Resolve(args) => acts::resolve(&settings, args).await,
        Command::Reply(args) => acts::reply(&settings, args).await,
        Command::Cancel(args) => cancel::run(&settings, args).await,
        Command::Pause(args) => acts::whole(&settings, "pause", args).await,
        Command::Resume(args) => acts::whole(&settings, "resume", args).await,
        Command::Start(args) => start::run(&settings, args).await,
        Command::Locks(args) => house::locks(&settings, args).await,
        Command::BreakLock(args) => house::break_lock(&settings, args).await,
        Command::Definitions(args) => house::definitions(&settings, args).await,
        Command::Retire(args) => house::set_version(&settings, "retire", args).await,
        Command::Reinstate(args) => house::set_version(&settings, "reinstate", args).await,
        Command::Letters(args) => letters::run(&settings, args).await,
        Command::Top(args) => top::run(&settings, args).await,
    }
}

/// Why the program ends with 1: a sentence for its user.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

impl Failed {
    pub(crate) fn new(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut text = format!("{what}: {}", words(error));
        let mut source = cause(error);
        while let Some(error) = source {
            let more = words(error);
            // Some errors repeat their source's words in their own.
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            source = cause(error);
        }
        Self(text)
    }
}

/// What is behind an error; a refusal of Postgres says all itself.
fn cause<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a (dyn std::error::Error + 'static)> {
    let refusal = matches!(error.downcast_ref(), Some(sqlx::Error::Database(_)));
    if refusal { None } else { error.source() }
}

/// What an error says, without what only the driver's author wants to know.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<sqlx::Error>() {
        Some(missing) if amends_orchestrator::is_not_migrated(missing) => {
            "the schema `amends` is not there, or too old: run `amends migrate` against this database"
                .into()
        }
        Some(sqlx::Error::Database(refusal)) => refusal.message().to_owned(),
        Some(sqlx::Error::PoolTimedOut) => {
            "Postgres does not answer: is it running where DATABASE_URL says?".into()
        }
        _ => error.to_string(),
    }
}

/// Turns an error into [`Failed`], with what was being done.
pub(crate) trait During<T> {
    fn during(self, what: &str) -> Result<T, Failed>;
}

impl<T, E: std::error::Error + 'static> During<T> for Result<T, E> {
    fn during(self, what: &str) -> Result<T, Failed> {
        self.map_err(|e| Failed::new(what, &e))
    }
}
