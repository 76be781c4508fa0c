//! Flags of what operators do to sagas.

use std::time::Duration;

use amends::{
    Json,
    wire::{CODE_BYTES_MAX, Reply},
};
use clap::Args;

use super::json::json;
use crate::{
    failed::{During as _, Failed},
    operate::{
        act::{self, Act},
        bulk, cancel,
        list::Selection,
        start::{self, Start, Wait},
        verb::Verb,
    },
    settings::Settings,
};

/// Acting on all sagas that a query finds.
#[derive(Debug, Args)]
pub(super) struct BulkArgs {
    /// Act on every saga that this is for, oldest first
    #[arg(long)]
    pub(super) all: bool,
    /// With --all: only sagas of this definition
    #[arg(long, requires = "all", value_name = "NAME")]
    pub(super) definition: Option<String>,
    /// With --all: only sagas at this step
    #[arg(long = "step", id = "at", requires = "all", value_name = "STEP")]
    pub(super) step: Option<String>,
    /// With --all: only sagas with an error whose code or message is like this: SQL's LIKE, % is any
    /// text
    #[arg(long, requires = "all", value_name = "PATTERN")]
    pub(super) error: Option<String>,
    /// With --all: at most this many sagas
    #[arg(long, requires = "all", default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub(super) limit: i32,
    /// With --all: list the sagas, and do nothing
    #[arg(long, requires = "all")]
    pub(super) dry_run: bool,
    /// Print the decision as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// An act on all of a saga.
#[derive(Debug, Args)]
pub(super) struct WholeSagaArgs {
    /// The saga's id, or its business key
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub(super) saga: Option<String>,
    /// The reason; the audit keeps it with your login
    #[arg(long, required_unless_present = "dry_run")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) bulk: BulkArgs,
}

#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    /// The saga's id, or its business key
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub(super) saga: Option<String>,
    /// Show what would be undone, in which order, and do nothing
    #[arg(long, conflicts_with_all = ["all", "apply", "reason"])]
    pub(super) plan: bool,
    /// Only if this is still the plan that --plan showed
    #[arg(long, value_name = "HASH", conflicts_with = "all")]
    pub(super) apply: Option<String>,
    /// The reason; the audit keeps it with your login
    #[arg(long, required_unless_present_any = ["dry_run", "plan"])]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) bulk: BulkArgs,
}

#[derive(Debug, Args)]
pub(super) struct SkipArgs {
    /// The saga's id, or its business key
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub(super) saga: Option<String>,
    /// The step's name
    #[arg(required_unless_present_any = ["all", "output"])]
    pub(super) step: Option<String>,
    /// In place of a step: the saga's output, where it cannot be computed; it is null then
    #[arg(long, conflicts_with_all = ["step", "all"])]
    pub(super) output: bool,
    /// The reason; the audit keeps it with your login
    #[arg(long, required_unless_present = "dry_run")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) bulk: BulkArgs,
}

/// How a step ended.
#[derive(Debug, Args)]
pub(super) struct EndingArgs {
    /// The step was done, with this output: JSON, @FILE with JSON in it, or - for standard input
    #[arg(long, value_name = "OUTPUT", value_parser = json, required_unless_present_any = ["rejected", "dry_run"], conflicts_with = "rejected")]
    pub(super) ok: Option<Json>,
    /// The step was rejected, with this code: nothing changed and nothing will
    #[arg(long, value_name = "CODE")]
    pub(super) rejected: Option<String>,
    /// A sentence for people, beside the code
    #[arg(long, requires = "rejected")]
    pub(super) message: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ResolveArgs {
    /// The saga's id, or its business key
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub(super) saga: Option<String>,
    /// The step's name
    #[arg(required_unless_present_any = ["all", "output"])]
    pub(super) step: Option<String>,
    /// In place of a step: the saga's output, where it cannot be computed
    #[arg(long, conflicts_with_all = ["step", "all", "rejected"])]
    pub(super) output: bool,
    #[command(flatten)]
    pub(super) ending: EndingArgs,
    /// The reason; the audit keeps it with your login
    #[arg(long, required_unless_present = "dry_run")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) bulk: BulkArgs,
}

#[derive(Debug, Args)]
pub(super) struct ReplyArgs {
    /// The saga's id, or its business key
    #[arg(value_name = "ID")]
    pub(super) saga: String,
    /// The step's name
    pub(super) step: String,
    /// The step was done, with this output: JSON, @FILE with JSON in it, or - for standard input
    #[arg(
        long,
        value_name = "OUTPUT",
        value_parser = json,
        required_unless_present = "rejected",
        conflicts_with = "rejected"
    )]
    pub(super) ok: Option<Json>,
    /// The step was rejected, with this code: nothing changed and nothing will
    #[arg(long, value_name = "CODE")]
    pub(super) rejected: Option<String>,
    /// A sentence for people, beside the code
    #[arg(long, requires = "rejected")]
    pub(super) message: Option<String>,
    /// The reason; the audit keeps it with your login
    #[arg(long, default_value = "the deferred answer, given by hand")]
    pub(super) reason: String,
    /// Print the decision as a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct StartArgs {
    /// The definition's name
    pub(super) definition: String,
    /// The saga's input, which is the body of its trigger: JSON, @FILE with JSON in it, or - for standard input
    #[arg(long, value_name = "JSON", value_parser = json)]
    pub(super) input: Json,
    /// The saga's business key, where the input does not hold it
    #[arg(long)]
    pub(super) key: Option<String>,
    /// Wait until the saga has ended or is stuck, at most this long; exit 0 only if it completed
    #[arg(long, value_name = "SECONDS", num_args = 0..=1)]
    pub(super) wait: Option<Option<u32>>,
    /// The saga as a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

impl WholeSagaArgs {
    pub(super) async fn run(self, settings: &Settings, verb: Verb) -> Result<(), Failed> {
        let reason = self.reason.unwrap_or_default();
        let act = Act { verb, step: None, outcome: None, reason };
        self.bulk.run(settings, self.saga.as_deref(), act).await
    }
}

impl CancelArgs {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failed> {
        match (self.saga, self.apply) {
            (Some(saga), _) if self.plan => cancel::show(settings, &saga, self.bulk.json).await,
            (Some(saga), Some(hash)) => {
                let reason = self.reason.unwrap_or_default();
                cancel::apply(settings, &saga, &hash, &reason, self.bulk.json).await
            }
            (saga, _) => {
                let args = WholeSagaArgs { saga, reason: self.reason, bulk: self.bulk };
                args.run(settings, Verb::Cancel).await
            }
        }
    }
}

impl SkipArgs {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failed> {
        let reason = self.reason.unwrap_or_default();
        let act = Act { verb: Verb::Skip, step: self.step, outcome: None, reason };
        self.bulk.run(settings, self.saga.as_deref(), act).await
    }
}

impl ResolveArgs {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failed> {
        let EndingArgs { ok, rejected, message } = self.ending;
        let outcome = match self.bulk.dry_run {
            true => None,
            false => Some(outcome(ok, rejected, message)?),
        };
        let reason = self.reason.unwrap_or_default();
        let act = Act { verb: Verb::Resolve, step: self.step, outcome, reason };
        self.bulk.run(settings, self.saga.as_deref(), act).await
    }
}

impl ReplyArgs {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failed> {
        let outcome = Some(outcome(self.ok, self.rejected, self.message)?);
        let (step, reason) = (Some(self.step), self.reason);
        let act = Act { verb: Verb::Reply, step, outcome, reason };
        act::run(settings, &self.saga, &act, self.json).await
    }
}

impl StartArgs {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failed> {
        let wait = match self.wait {
            None => Wait::Begun,
            Some(None) => Wait::Ended,
            Some(Some(seconds)) => Wait::AtMost(Duration::from_secs(seconds.into())),
        };
        let start = Start { definition: self.definition, input: self.input, key: self.key, wait };
        start::run(settings, &start, self.json).await
    }
}

impl BulkArgs {
    /// Acts on the saga that is named, or else on all that these flags select.
    async fn run(self, settings: &Settings, saga: Option<&str>, act: Act) -> Result<(), Failed> {
        if let Some(saga) = saga {
            return act::run(settings, saga, &act, self.json).await;
        }
        let act = Act { step: self.step, ..act };
        let selection =
            Selection { definition: self.definition, error: self.error, limit: self.limit };
        if self.dry_run {
            bulk::dry_run(settings, &act, &selection, self.json).await
        } else {
            bulk::run(settings, &act, &selection, self.json).await
        }
    }
}

/// The body of a reply that says how a step ended.
fn outcome(
    ok: Option<Json>,
    rejected: Option<String>,
    message: Option<String>,
) -> Result<Json, Failed> {
    let reply = match (ok, rejected) {
        (Some(output), _) => Reply::Ok(output),
        (None, Some(code)) if code.is_empty() || code.len() > CODE_BYTES_MAX => {
            return Err(Failed::misused(format!(
                "--rejected takes a code of 1 to {CODE_BYTES_MAX} bytes"
            )));
        }
        (None, Some(code)) => Reply::Rejected { code, message: message.unwrap_or_default() },
        (None, None) => {
            return Err(Failed::misused("say how it ended: --ok OUTPUT or --rejected CODE"));
        }
    };
    reply.to_json().during("the outcome")
}
