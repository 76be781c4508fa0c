//! `compose.yaml` without containers: the logins, the schemas and the roles of the example with orders, as it has them.

use std::{collections::BTreeMap, process::Stdio};

use serde::Deserialize;
use serde_yaml_ng::Value;
use sqlx::{Connection as _, PgConnection};
use tokio::process::Command;

use crate::support::{Guarded, SERVICES, Shop, eventually, folder, order, repository};

/// What is started of it here.
#[derive(Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
}

#[derive(Deserialize)]
struct Service {
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

impl Compose {
    fn read() -> Self {
        let text = std::fs::read_to_string(repository().join("compose/compose.yaml")).unwrap();
        let mut value: Value = serde_yaml_ng::from_str(&text).unwrap();
        value.apply_merge().unwrap();
        serde_yaml_ng::from_value(value).unwrap()
    }

    /// The variables of a service, with the defaults of those that it takes from elsewhere.
    fn variables(&self, service: &str) -> BTreeMap<&str, String> {
        let environment = &self.services[service].environment;
        environment.iter().map(|(name, value)| (name.as_str(), with_defaults(value))).collect()
    }

    fn arguments(&self, service: &str) -> Vec<String> {
        let stock = repository().join("compose/stock.json").display().to_string();
        let arguments = self.services[service].command.iter();
        arguments.map(|one| one.replace("/etc/amends/stock.json", &stock)).collect()
    }
}

/// `${NAME:-default}` is `default`.
fn with_defaults(value: &str) -> String {
    let mut parts = value.split("${");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (variable, rest) = part.split_once('}').unwrap();
        text + variable.split_once(":-").unwrap().1 + rest
    })
}

/// The servers of this test in place of those of the file.
struct Here<'a> {
    shop: &'a Shop,
    nats: &'a Guarded,
}

impl Here<'_> {
    fn variables(&self, compose: &Compose, service: &str) -> Vec<(String, String)> {
        let database = self.shop.local.database_url();
        let host = database.split(['@', '/']).nth(3).unwrap();
        let mut variables = Vec::new();
        for (name, value) in compose.variables(service) {
            match name {
                name if name.ends_with("DATABASE_URL") => {
                    variables.push((name.to_owned(), value.replace("postgres:5432", host)));
                }
                "NATS_URL" => {
                    let user = value.split(['/', ':']).nth(3).unwrap();
                    variables.push((name.to_owned(), self.nats.url(user)));
                }
                _ => {}
            }
        }
        variables
    }

    /// What Postgres' image does with `logins.sh`.
    async fn make_logins(&self, compose: &Compose) {
        let database = self.shop.local.database_url();
        let (host, port) = database.split(['@', '/']).nth(3).unwrap().split_once(':').unwrap();
        let mut script = Command::new("sh");
        script.arg(repository().join("compose/logins.sh"));
        script.envs(compose.variables("postgres")).env("PGHOST", host).env("PGPORT", port);
        let output = script.stdin(Stdio::null()).output().await.unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.is_empty(), "{told}");
    }
}

#[tokio::test]
async fn its_roles_run_with_logins_of_their_own() {
    let compose = Compose::read();
    let (mut shop, nats_folder) = (Shop::closed().await, folder());
    let nats = Guarded::as_shipped(&nats_folder.path().join("nats")).await;
    let here = Here { shop: &shop, nats: &nats };
    here.make_logins(&compose).await;
    let roles: Vec<_> = ["orchestrator"].into_iter().chain(SERVICES).collect();
    let started: Vec<_> =
        roles.iter().map(|role| (*role, here.variables(&compose, role))).collect();

    let mut migrate = Command::new(crate::support::amends());
    migrate.args(compose.arguments("migrate")).envs(here.variables(&compose, "migrate"));
    let output = migrate.stdin(Stdio::null()).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    for (role, variables) in &started {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let arguments = compose.arguments(role);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        shop.start_with(role, &arguments, &variables);
    }
    let publisher = async_nats::jetstream::new(nats.login("shop").await);
    eventually("a stream of events", async || {
        let event = order("o-1").to_string();
        publisher.publish("orders.placed", event.into()).await.ok()?.await.ok()
    })
    .await;
    assert_eq!(shop.fate("o-1").await, "completed");
    for role in &roles {
        let log = shop.log_of(role);
        assert!(!log.contains("ermission"), "{role}: {log}");
    }
    logins_own_nothing(&shop, &roles).await;
}

/// Each works in one database, where it makes nothing; none has a power over others.
async fn logins_own_nothing(shop: &Shop, roles: &[&str]) {
    const POWERS: &str = "select count(*) from pg_roles
        where rolname = $1 and (rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls)";
    const DATABASES: &str = "select datname::text from pg_database
        where datallowconn and not datistemplate and datname <> 'postgres'
            and has_database_privilege($1, oid, $2)";
    const SCHEMAS: &str =
        "select count(*) from pg_namespace where has_schema_privilege($1, oid, 'create')";
    let owners = shop.local.database_url();
    let mut owner = PgConnection::connect(owners).await.unwrap();
    for role in roles {
        let own = if *role == "orchestrator" { "amends" } else { role };
        let count = sqlx::query_scalar::<_, i64>(POWERS).bind(role);
        assert_eq!(count.fetch_one(&mut owner).await.unwrap(), 0, "{role}");
        for (right, databases) in [("connect", vec![own.to_owned()]), ("create", vec![])] {
            let found = sqlx::query_scalar::<_, String>(DATABASES).bind(role).bind(right);
            assert_eq!(found.fetch_all(&mut owner).await.unwrap(), databases, "{role}: {right}");
        }
        let url = owners.replace("/amends", &format!("/{own}"));
        let mut in_own = PgConnection::connect(&url).await.unwrap();
        let count = sqlx::query_scalar::<_, i64>(SCHEMAS).bind(role);
        assert_eq!(count.fetch_one(&mut in_own).await.unwrap(), 0, "{role}");
    }
}
