//! The place where the parts are put together: the examples as a program, with a demo and a benchmark
//! beside what every program can do. The libraries know nothing of it.

mod cli;
mod examples;
mod new;

use std::process::ExitCode;

use amends_app::{App, Failed, log_lines};

use cli::{Cli, Command};

/// The whole program, until its process ends.
#[must_use]
pub fn main() -> ExitCode {
    let app = examples::app();
    amends_app::main(app.name(), || cli::parse(&app), async |cli| run(cli, &app).await)
}

async fn run(cli: Cli, app: &App) -> Result<(), Failed> {
    let Cli { settings, command } = cli;
    match command {
        Command::New(args) => args.run(),
        Command::Demo(args) => amends_demo::run(args, app).await,
        Command::Bench(args) => amends_bench::run(&settings, args).await,
        Command::BenchOrchestrator(args) => {
            log_lines(settings.log_format);
            amends_bench::orchestrator(&settings, args).await
        }
        Command::BenchWorkers(args) => {
            log_lines(settings.log_format);
            amends_bench::workers(&settings, args).await
        }
        Command::Every(command) => command.run(&settings, app, || cli::command(app)).await,
    }
}
