//! What is measured on, and that nobody else is there.

use amends_app::{During as _, Failed};
use amends_postgres::Database;

use crate::report::Machine;

/// Refuses to disturb others: in their database, their sagas would be measured too.
pub(crate) async fn alone(database: &Database) -> Result<(), Failed> {
    let sql = "select from amends.definition where name not in ('bench', 'bench-other') limit 1";
    match sqlx::query(sql).fetch_optional(database).await.during("the definitions")? {
        None => Ok(()),
        Some(_) => Err(Failed::new(
            "there are sagas of others in this database: measure with servers of your own",
        )),
    }
}

pub(crate) async fn machine(
    database: &Database,
    client: &async_nats::Client,
) -> Result<Machine, Failed> {
    let version = sqlx::query_scalar::<_, String>("show server_version").fetch_one(database).await;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Ok(Machine {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        load_before: load.split(' ').next().and_then(|l| l.parse().ok()).unwrap_or(0.0),
        postgres: version.during("Postgres' version")?,
        nats: client.server_info().version,
    })
}
