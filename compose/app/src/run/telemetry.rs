//! Logs and metrics.

use std::io::IsTerminal as _;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::Metadata;
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    complaint::write_line,
    failed::{During as _, Failed},
    program_name::program_name,
    settings::LogFormat,
};

/// Seconds; from a fast commit to a slow handler.
const SECONDS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0];

/// Facts in one batch.
const FACTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// What is printed unless `RUST_LOG` says otherwise. The client of NATS would say at each try why it
/// cannot connect.
const LINES: &str = "info,async_nats=warn,async_nats::connector=off,sqlx=warn";

/// Where the client of Postgres logs a secret, and the field that holds it: a line of a password file that is not
/// in its form, such as the bare password. At `trace`, the client of NATS hides its login by itself.
const SECRET: (&str, &str) = ("sqlx_postgres::options::pgpass", "line");

/// Prints log lines to stderr, as `RUST_LOG` says, but none with a secret.
pub fn log_lines(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LINES));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let open = filter_fn(|metadata| !holds_secret(metadata));
    let installed = tracing_subscriber::registry().with(filter).with(open).with(lines).try_init();
    if let Err(error) = installed {
        write_line(&format!("{}: log lines go elsewhere already: {error}", program_name()));
    }
}

fn holds_secret(metadata: &Metadata<'_>) -> bool {
    let (target, field) = SECRET;
    metadata.target() == target && metadata.fields().field(field).is_some()
}

/// Collects metrics from now on, to be read by `/metrics`.
pub(crate) fn metrics() -> Result<PrometheusHandle, Failed> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_facts".into()), &FACTS))
        .during("metrics cannot be set up")?;
    let handle = builder.install_recorder().during("metrics cannot be collected")?;
    describe();
    Ok(handle)
}

fn describe() {
    use metrics::{
        describe_counter as counter, describe_gauge as gauge, describe_histogram as histogram,
    };
    counter!("amends_sagas_started_total", "Sagas started, by definition");
    counter!("amends_saga_status_total", "Changes of status, by definition and new status");
    counter!("amends_facts_total", "Facts recorded, by definition and kind");
    counter!("amends_dead_letters_total", "Messages kept as dead letters");
    counter!("amends_dead_letters_dropped_total", "Messages only counted: too many such letters");
    counter!("amends_timers_fired_total", "Timers that came due");
    counter!("amends_publish_failures_total", "Messages that JetStream did not store in time");
    counter!("amends_commands_withheld_total", "Commands not sent to a service that reads nothing");
    gauge!("amends_service_share_full", "1 while a service's share of the stream lies unread");
    counter!("amends_store_defects_total", "Statements of ours that Postgres refuses, by SQLSTATE");
    histogram!("amends_commit_seconds", "Time of one batch's commit");
    histogram!("amends_batch_facts", "Facts written by one statement");
    counter!("amends_worker_attempts_total", "Attempts by service, operation, half and outcome");
    histogram!("amends_worker_attempt_seconds", "Time of an attempt, waiting for the database too");
    gauge!("amends_leads", "1 while this replica takes the messages");
    gauge!(
        "amends_clock_behind_seconds",
        "How far the database's clock is behind what it said before"
    );
    gauge!("amends_worker_in_flight", "Attempts under way");
    gauge!("amends_worker_database_away", "1 while a service waits for its database");
    gauge!("amends_worker_breaker_open", "1 while a service takes no commands as they break");
}
