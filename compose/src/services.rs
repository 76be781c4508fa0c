//! The services of both examples, by name.

use amends::Handler;
use amends_workers::Service;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{During as _, Failed};

/// The names of all services, those of `order` first.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    order_services::NAMES.into_iter().chain(trip_services::NAMES)
}

/// Fails for a name that no service has.
pub(crate) fn check(name: &str) -> Result<(), Failed> {
    if names().any(|known| known == name) {
        return Ok(());
    }
    let all = names().collect::<Vec<_>>().join(", ");
    Err(Failed(format!("there is no service `{name}`: the services are {all}")))
}

/// What all of them handle. Needs tokio's runtime, but no database.
pub(crate) fn handlers() -> Result<Vec<Handler>, Failed> {
    let unconnected =
        PgPoolOptions::new().connect_lazy_with(PgConnectOptions::new_without_pgpass());
    let mut handlers = Vec::new();
    for name in names() {
        handlers.extend(service(name, unconnected.clone())?.handlers());
    }
    Ok(handlers)
}

/// Brings a service's database up to date.
pub(crate) async fn prepare(name: &str, pool: &PgPool) -> Result<(), Failed> {
    let what = format!("service {name}");
    if trip_services::NAMES.contains(&name) {
        trip_services::prepare(name, pool).await.during(&what)
    } else {
        order_services::prepare(name, pool).await.during(&what)
    }
}

/// The service of this name.
pub(crate) fn service(name: &str, pool: PgPool) -> Result<Service, Failed> {
    if trip_services::NAMES.contains(&name) {
        trip_services::service(name, pool).during("service")
    } else {
        order_services::service(name, pool).during("service")
    }
}
