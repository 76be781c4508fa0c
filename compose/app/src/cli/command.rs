//! The commands: what each is for, and where it leads.

use amends_postgres::Role;
use clap::{ArgMatches, FromArgMatches, Subcommand};

use super::{
    act::{CancelArgs, ReplyArgs, ResolveArgs, SkipArgs, StartArgs, WholeSagaArgs},
    deploy::{CheckArgs, GraphArgs, NatsConfigArgs, PlanArgs},
    doctor::DoctorArgs,
    roles::{AllArgs, DevArgs, MigrateArgs, OrchestratorArgs, WorkerArgs},
    shell::{CompletionsArgs, ManArgs},
    upkeep::{AuditArgs, BreakLockArgs, DefinitionsArgs, LettersArgs, LocksArgs, VersionArgs},
    view::{ListArgs, ShowArgs, TopArgs},
};
use crate::{
    app::{App, WorkerFlags},
    failed::Failed,
    operate::{verb::Verb, versions::VersionVerb},
    rights::Need,
    run::log_lines,
    settings::Settings,
};

/// All commands that every program has, for `#[command(flatten)]` beside its own.
#[derive(Debug)]
pub struct Commands<F: WorkerFlags>(Command<F>);

#[derive(Debug, Subcommand)]
enum Command<F: WorkerFlags> {
    /// Keep private servers, orchestrator and services running, with data in a folder
    Dev(DevArgs),
    /// Run an orchestrator; any number of replicas may run
    Orchestrator(OrchestratorArgs),
    /// Run one or several of the services in one process
    Worker(WorkerArgs<F>),
    /// Run an orchestrator and all services in one process, for a small installation
    All(AllArgs<F>),
    /// Create or update the schema `amends`, and those of services
    Migrate(MigrateArgs),
    /// Check that the definitions are sound and every step has a handler; print their plans
    Check(CheckArgs),
    /// Draw a definition's plan
    Graph(GraphArgs),
    /// Compare this program's definitions with the database: is it safe to deploy?
    Plan(PlanArgs),
    /// Write a nats-server's configuration, with an account for each service and each publisher
    NatsConfig(NatsConfigArgs),
    /// Check an installation: servers, streams, definitions, workers, rights
    Doctor(DoctorArgs),
    /// List sagas, newest first
    List(ListArgs),
    /// Show one saga's history from its start
    Show(ShowArgs),
    /// Watch open sagas, rates, stuck sagas, and effects that are not settled
    Top(TopArgs),
    /// Start a saga without a message
    Start(StartArgs),
    /// Retry now the steps that were given up or wait for a retry; their attempts are counted anew
    Retry(WholeSagaArgs),
    /// Go on without this compensation, or without this step after the pivot
    Skip(SkipArgs),
    /// Decide the outcome of a step that no service can report
    Resolve(ResolveArgs),
    /// Give the answer that a service deferred
    Reply(ReplyArgs),
    /// Turn a saga back: undo what was done
    Cancel(CancelArgs),
    /// Send nothing more for a saga until it is resumed
    Pause(WholeSagaArgs),
    /// Let a paused saga go on
    Resume(WholeSagaArgs),
    /// List messages that could not be used; show, replay or discard one
    Letters(LettersArgs),
    /// List who holds which lock, and who waits for it
    Locks(LocksArgs),
    /// Take a lock from the saga that holds it, which goes on without
    BreakLock(BreakLockArgs),
    /// List the versions of all definitions that ever ran here
    Definitions(DefinitionsArgs),
    /// Let a version of a definition start no more sagas; those that it began end under it
    Retire(VersionArgs),
    /// Let a retired version start sagas again
    Reinstate(VersionArgs),
    /// List what people did, and why
    Audit(AuditArgs),
    /// Print the script by which a shell completes commands and flags
    Completions(CompletionsArgs),
    /// Write pages for `man`
    Man(ManArgs),
}

impl<F: WorkerFlags> Commands<F> {
    /// Runs the command that was parsed; `command` makes the whole command line, where it is asked for.
    ///
    /// # Errors
    /// Whatever the command fails by.
    pub async fn run(
        self,
        settings: &Settings,
        app: &App,
        command: impl FnOnce() -> clap::Command,
    ) -> Result<(), Failed> {
        if self.0.logs() {
            log_lines(settings.log_format);
        }
        let need = self.0.need();
        let ended = self.0.run(settings, app, command).await;
        ended.map_err(|failed| match need {
            Some(need) => need.explain(failed, settings.database_url.as_deref()),
            None => failed,
        })
    }
}

impl<F: WorkerFlags> Command<F> {
    /// Whether it tells what it does in log lines.
    fn logs(&self) -> bool {
        matches!(
            self,
            Self::Dev(_)
                | Self::Orchestrator(_)
                | Self::Worker(_)
                | Self::All(_)
                | Self::Migrate(_)
        )
    }

    /// What its login has to have; `None` where the role that runs says so itself, or no database is used.
    fn need(&self) -> Option<Need<'static>> {
        let looks = match self {
            Self::Migrate(_) => return Some(Need::Ownership),
            Self::Plan(_)
            | Self::Graph(_)
            | Self::List(_)
            | Self::Show(_)
            | Self::Top(_)
            | Self::Locks(_)
            | Self::Definitions(_)
            | Self::Audit(_) => true,
            Self::Letters(args) => !args.acts(),
            Self::Retry(args) | Self::Pause(args) | Self::Resume(args) => args.bulk.dry_run,
            Self::Skip(args) => args.bulk.dry_run,
            Self::Resolve(args) => args.bulk.dry_run,
            Self::Cancel(args) => args.plan || args.bulk.dry_run,
            Self::Start(_)
            | Self::Reply(_)
            | Self::BreakLock(_)
            | Self::Retire(_)
            | Self::Reinstate(_) => false,
            Self::Dev(_)
            | Self::Orchestrator(_)
            | Self::Worker(_)
            | Self::All(_)
            | Self::Check(_)
            | Self::NatsConfig(_)
            | Self::Doctor(_)
            | Self::Completions(_)
            | Self::Man(_) => return None,
        };
        Some(Need::Role(if looks { Role::Viewer } else { Role::Operator }))
    }

    async fn run(
        self,
        settings: &Settings,
        app: &App,
        command: impl FnOnce() -> clap::Command,
    ) -> Result<(), Failed> {
        match self {
            Self::Dev(args) => args.run(settings, app).await,
            Self::Orchestrator(args) => args.run(settings, app).await,
            Self::Worker(args) => args.run(settings, app).await,
            Self::All(args) => args.run(settings, app).await,
            Self::Migrate(args) => args.run(settings, app).await,
            Self::Check(args) => args.run(app),
            Self::Graph(args) => args.run(settings, app).await,
            Self::Plan(args) => args.run(settings, app).await,
            Self::NatsConfig(args) => args.run(app),
            Self::Doctor(args) => args.run(settings, app).await,
            Self::List(args) => args.run(settings).await,
            Self::Show(args) => args.run(settings).await,
            Self::Top(args) => args.run(settings).await,
            Self::Start(args) => args.run(settings).await,
            Self::Retry(args) => args.run(settings, Verb::Retry).await,
            Self::Skip(args) => args.run(settings).await,
            Self::Resolve(args) => args.run(settings).await,
            Self::Reply(args) => args.run(settings).await,
            Self::Cancel(args) => args.run(settings).await,
            Self::Pause(args) => args.run(settings, Verb::Pause).await,
            Self::Resume(args) => args.run(settings, Verb::Resume).await,
            Self::Letters(args) => args.run(settings).await,
            Self::Locks(args) => args.run(settings).await,
            Self::BreakLock(args) => args.run(settings).await,
            Self::Definitions(args) => args.run(settings).await,
            Self::Retire(args) => args.run(settings, VersionVerb::Retire).await,
            Self::Reinstate(args) => args.run(settings, VersionVerb::Reinstate).await,
            Self::Audit(args) => args.run(settings).await,
            Self::Completions(args) => args.run(&command()),
            Self::Man(args) => args.run(command()),
        }
    }
}

impl<F: WorkerFlags> FromArgMatches for Commands<F> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Command::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<F: WorkerFlags> Subcommand for Commands<F> {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        Command::<F>::augment_subcommands(command)
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Command::<F>::augment_subcommands_for_update(command)
    }

    fn has_subcommand(name: &str) -> bool {
        Command::<F>::has_subcommand(name)
    }
}
