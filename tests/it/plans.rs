//! How Postgres carries out the orchestrator's statements where it knows least: tables that were empty
//! when they were last analyzed, as on a quiet night, and fill again. A session keeps the plans that it
//! makes then.

use std::{fs, path::Path};

use sqlx::{AssertSqlSafe, Executor, PgConnection};

use crate::support;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../orchestrator/src/store/sql");

/// Statements that read a small table whole.
const WHOLE: [&str; 2] = ["forget_leaders", "retired"];

/// Leaves each table with pages, without rows, and with statistics that say so.
const QUIET_NIGHT: &str = "
insert into amends.timer select gen_random_uuid(), now() from generate_series(1, 3000);
insert into amends.wait select gen_random_uuid(), n::text, 'm', n::text from generate_series(1, 3000) n;
delete from amends.timer;
delete from amends.wait;
analyze;
insert into amends.timer select gen_random_uuid(), now() + interval '1 day' from generate_series(1, 3000);
";

async fn session() -> (support::Fresh, PgConnection) {
    let (postgres, mut session) = support::migrated().await;
    for (setting, value) in amends_orchestrator::SESSION {
        session.execute(AssertSqlSafe(format!("set {setting} = '{value}'"))).await.unwrap();
    }
    session.execute(QUIET_NIGHT).await.unwrap();
    (postgres, session)
}

/// The plan of a statement, whatever it is given.
async fn plan(session: &mut PgConnection, name: &str, sql: &str) -> String {
    let count = (1..).take_while(|n| sql.contains(&format!("${n}"))).count();
    let given =
        if count == 0 { String::new() } else { format!("({})", ["null"].repeat(count).join(",")) };
    session.execute(AssertSqlSafe(format!("prepare {name} as {sql}"))).await.unwrap();
    let explain = format!("explain execute {name}{given}");
    let lines: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(explain)).fetch_all(session).await.unwrap();
    lines.join("\n")
}

#[tokio::test]
async fn every_statement_finds_its_rows_by_key() {
    let (_postgres, mut session) = session().await;
    let (mut seen, mut bad) = (0, Vec::new());
    for file in fs::read_dir(Path::new(FOLDER)).unwrap() {
        let file = file.unwrap().path();
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        if WHOLE.contains(&name.as_str()) {
            continue;
        }
        let plan = plan(&mut session, &name, &fs::read_to_string(&file).unwrap()).await;
        seen += 1;
        // A join filter compares each row of one side with each of the other.
        if plan.contains("Join Filter") || plan.contains("Seq Scan") {
            bad.push(format!("{name}: {plan}"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
    assert!(seen > 15, "{seen} statements in {FOLDER}");
}

#[tokio::test]
async fn timers_that_are_not_due_are_not_looked_at() {
    let (_postgres, mut session) = session().await;
    let sql = fs::read_to_string(format!("{FOLDER}/claim_timers.sql")).unwrap();
    let plan = plan(&mut session, "claim", &sql).await;
    assert!(plan.contains("Index Cond: (due_at <= "), "{plan}");
}
