//! `amends dev`: everything in one place, with its data in a folder.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use amends_orchestrator::{Config, Health};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    During as _, Failed,
    cli::DevArgs,
    link,
    local::Local,
    looks::print,
    probes,
    roles::{SERVICE_SESSION, definitions, stop_on_signal},
    services,
};

/// Connections for the services together, and for the orchestrator.
const CONNECTIONS: u32 = 24;

/// What the shop has when it opens for the first time.
pub(crate) fn stock() -> BTreeMap<String, i64> {
    [("tea", 100_000), ("cup", 100_000), ("kettle", 1_000), ("moon-lamp", 10)]
        .map(|(sku, quantity)| (sku.to_owned(), quantity))
        .into()
}

/// Runs until SIGINT or SIGTERM.
pub(crate) async fn run(args: DevArgs) -> Result<(), Failed> {
    let stop = stop_on_signal()?;
    let data = match args.data {
        Some(data) => data,
        None => default_data()?,
    };
    let local = Local::start(&data).await.during("the private servers cannot be started")?;
    let ended = serve(&local, args.http, args.retain, &stop).await;
    let stopped = local.stop().await.during("the private servers cannot be stopped");
    ended.and(stopped)
}

async fn serve(
    local: &Local,
    http: Option<std::net::SocketAddr>,
    retain: Option<std::time::Duration>,
    stop: &CancellationToken,
) -> Result<(), Failed> {
    let health = Arc::new(Health::default());
    let ready = {
        let health = Arc::clone(&health);
        Arc::new(move || health.ready().map_err(str::to_owned))
    };
    let probes = probes::serve(http, ready, stop.clone()).await?;
    let url = local.database_url();
    let own = link::postgres(url, CONNECTIONS, &SERVICE_SESSION, None, stop).await?;
    let lanes = link::postgres(url, CONNECTIONS, &amends_orchestrator::SESSION, None, stop).await?;
    let client = link::nats(local.nats_url(), None, stop).await?;
    let (Some(pool), Some(lanes), Some(client)) = (own, lanes, client) else { return Ok(()) };
    prepare(&pool).await?;
    let mut services = JoinSet::new();
    for name in services::names() {
        let service = services::service(name, pool.clone())?;
        services.spawn(service.serve(client.clone(), stop.clone()));
    }
    let orchestrator = tokio::spawn(amends_orchestrator::run(
        Config { retain, ..Config::default() },
        lanes.clone(),
        client,
        definitions()?,
        Arc::clone(&health),
        stop.clone(),
    ));
    print(&welcome(local))?;
    let result = orchestrator.await.during("the orchestrator failed")?;
    stop.cancel();
    while services.join_next().await.is_some() {}
    if let Some(probes) = probes {
        let _ = probes.await;
    }
    pool.close().await;
    lanes.close().await;
    result.during("the orchestrator cannot run")
}

/// Brings all schemas up to date and fills the shelves of a new shop.
pub(crate) async fn prepare(pool: &sqlx::PgPool) -> Result<(), Failed> {
    amends_orchestrator::migrate(pool).await.during("the schema cannot be migrated")?;
    for name in services::names() {
        services::prepare(name, pool).await?;
    }
    let seeded = order_services::inventory::seed_stock(pool, &stock()).await;
    seeded.during("the stock cannot be seeded")
}

fn default_data() -> Result<PathBuf, Failed> {
    if nix::unistd::geteuid().is_root() {
        return Ok("/var/lib/amends/dev".into());
    }
    let folder = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")));
    let home = home.ok_or_else(|| Failed("say where the data is to be kept with --data".into()))?;
    Ok(home.join("amends/dev"))
}

fn welcome(local: &Local) -> String {
    let (database, nats) = (local.database_url(), local.nats_url());
    format!(
        r#"
  export DATABASE_URL={database}
  export NATS_URL={nats}

Paste the two lines above into a second shell; then:

  nats --server "$NATS_URL" pub orders.placed '{{"order_id":"o-1001","customer":"c-17","currency":"EUR","items":[{{"sku":"tea","quantity":2,"unit_price":450}}],"card":"tok_visa","country":"DE"}}'
  psql "$DATABASE_URL" -c 'select * from amends.sagas'
  amends show o-1001

Other fates: "card":"tok_declined", "country":"AQ", "sku":"moon-lamp" with a large quantity.
And a trip, which waits for its visa:

  nats --server "$NATS_URL" pub trips.wanted '{{"trip_id":"t-1","traveller":"ada","card":"tok_visa","stays":[{{"hotel":"grand","nights":2}}],"car":{{"class":"compact","days":2,"age":40}},"visa":true}}'
  nats --server "$NATS_URL" pub visas.granted '{{"trip_id":"t-1","visa":"v-1"}}'

Ctrl-C stops everything; the data stays.
"#
    )
}
