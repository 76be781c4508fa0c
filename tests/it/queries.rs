//! The cache that queries are compiled against, compared with a database: `cargo sqlx prepare --check`
//! without its program. That no file of the cache is stale, `tidy` holds.

use sqlx::{
    AssertSqlSafe, Column as _, Connection as _, Either, Executor, PgConnection, SqlSafeStr as _,
    Statement as _, TypeInfo as _,
};

use serde_json::{Value, json};

use crate::{
    support::{self, repository},
    tidy::{File, files},
};

/// The services' schemas, each in a folder of its own.
const SERVICES: [&str; 2] = ["workers/order/migrations", "workers/trip/migrations"];

async fn migrated() -> (support::Fresh, PgConnection) {
    let postgres = support::postgres().await;
    amends_orchestrator::migrate(&support::database(&postgres.url)).await.unwrap();
    amends_workers::migrate(&support::database(&postgres.url)).await.unwrap();
    let mut connection = PgConnection::connect(&postgres.url).await.unwrap();
    for folder in SERVICES {
        for schema in std::fs::read_dir(repository().join(folder)).unwrap() {
            let schema = schema.unwrap();
            let name = schema.file_name().into_string().unwrap();
            connection.execute(AssertSqlSafe(format!("create schema {name}"))).await.unwrap();
            let mut files: Vec<_> =
                std::fs::read_dir(schema.path()).unwrap().map(|f| f.unwrap().path()).collect();
            files.sort();
            for file in files {
                let sql = std::fs::read_to_string(file).unwrap();
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            }
        }
    }
    (postgres, connection)
}

/// What the cache calls a type: the variant of the driver's enum.
fn name(info: &sqlx::postgres::PgTypeInfo) -> String {
    let said = format!("{info:?}");
    let inner = said.strip_prefix("PgTypeInfo(").and_then(|said| said.strip_suffix(')'));
    inner.unwrap_or_else(|| info.name()).to_owned()
}

#[tokio::test]
async fn every_query_has_the_types_of_the_cache() {
    let (_postgres, mut connection) = migrated().await;
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in files().into_iter().filter(File::is_cached_query) {
        let cached: Value = serde_json::from_str(&file.text).unwrap();
        let sql = AssertSqlSafe(cached["query"].as_str().unwrap().to_owned()).into_sql_str();
        seen += 1;
        let found = match connection.prepare(sql).await {
            Err(error) => json!(error.to_string()),
            Ok(statement) => {
                let columns: Vec<_> = statement.columns().iter().map(described).collect();
                let parameters: Vec<_> = match statement.parameters() {
                    Some(Either::Left(types)) => types.iter().map(name).collect(),
                    _ => Vec::new(),
                };
                json!({"columns": columns, "parameters": parameters})
            }
        };
        let column = |column: &Value| json!([column["name"], column["type_info"]]);
        let describe = &cached["describe"];
        let columns: Vec<_> = describe["columns"].as_array().unwrap().iter().map(column).collect();
        let expected = json!({"columns": columns, "parameters": describe["parameters"]["Left"]});
        if found != expected {
            wrong.push(format!("{}\n  cache:    {expected}\n  database: {found}", file.path));
        }
    }
    assert!(wrong.is_empty(), "`cargo sqlx prepare` in the packages of:\n{}", wrong.join("\n"));
    assert!(seen > 50, "{seen} queries");
}

fn described(column: &sqlx::postgres::PgColumn) -> Value {
    json!([column.name(), name(column.type_info())])
}
