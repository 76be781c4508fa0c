//! What `amends plan` says before a deploy, against databases in each state; and `check` and `graph`,
//! which need no server.

use serde_json::Value;

use crate::support::{Shop, amends, order};

/// The exit code, what it says as JSON, and its complaint.
async fn planned(shop: &Shop) -> (Option<i32>, Value, String) {
    let output = shop.run(&["plan", "--json"]).await;
    let error = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap(), error)
}

async fn execute(shop: &Shop, sql: &'static str) {
    sqlx::query(sql).execute(&shop.pool).await.unwrap();
}

/// Nobody does the first step: the saga stays open.
async fn with_an_open_saga() -> Shop {
    let shop = Shop::open(&[]).await;
    shop.publish_order(&order("o-1")).await;
    shop.at_least("select count(*) from amends.sagas", 1).await;
    shop
}

#[tokio::test]
async fn a_first_deploy_is_safe_and_so_is_the_same_again() {
    let mut shop = Shop::closed().await;
    assert_eq!(
        shop.done(&["plan"]).await,
        "order@1        new: it never ran here\nrental@1       new: it never ran here\ntrip@1         new: it never ran here\nsafe to deploy\n"
    );
    shop.start("orchestrator", &["orchestrator"]);
    shop.listening().await;
    shop.publish_order(&order("o-1")).await;
    shop.at_least("select count(*) from amends.sagas", 1).await;
    assert_eq!(
        shop.done(&["plan"]).await,
        "order@1        the same as here, 1 open saga\nrental@1       the same as here\ntrip@1         the same as here\nsafe to deploy\n"
    );
}

#[tokio::test]
async fn a_version_with_open_sagas_has_to_be_known() {
    let shop = with_an_open_saga().await;
    // As if a later program had run here: this one knows version 1 only.
    execute(
        &shop,
        "insert into amends.definition (name, version, digest, outline)
         select name, 2, 'another', replace(outline::text, '\"version\":1', '\"version\":2')::json
         from amends.definition where name = 'order'",
    )
    .await;
    let (code, plan, error) = planned(&shop).await;
    assert_eq!((code, &plan["safe"]), (Some(1), &false.into()), "{plan}");
    let error: Value = serde_json::from_str(&error).unwrap();
    assert_eq!(error["error"], "not safe to deploy: order@2");
    assert_eq!(plan["definitions"][0]["state"], "same");
    assert_eq!(plan["definitions"][1]["state"], "missing");

    execute(&shop, "update amends.saga set version = 2").await;
    let output = shop.run(&["plan"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("order@2        NOT KNOWN to this program, 1 open saga\n"), "{text}");
    assert!(text.contains("amends retire order 2 --reason"), "{text}");

    shop.done(&["retire", "order", "2", "--reason", "back to version 1"]).await;
    assert_eq!(planned(&shop).await.0, Some(1), "a saga is still open");
    execute(&shop, "update amends.saga set version = 1").await;
    let (code, plan, _) = planned(&shop).await;
    assert_eq!((code, &plan["definitions"][1]["state"]), (Some(0), &"past".into()), "{plan}");
    assert_eq!(plan["definitions"][1]["retired"], true);
}

#[tokio::test]
async fn a_plan_that_changed_under_its_version_is_told_with_its_difference() {
    let shop = with_an_open_saga().await;
    execute(
        &shop,
        "update amends.definition set digest = 'another',
             outline = replace(outline::text, '\"orders.placed\"', '\"orders.given\"')::json
         where name = 'order'",
    )
    .await;
    let output = shop.run(&["plan"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("order@1        CHANGED under its version, 1 open saga\n"), "{text}");
    assert!(text.contains("~ saga: starts on orders.given → orders.placed\n"), "{text}");
    assert!(text.contains("give the changed plan version 2"), "{text}");
    assert_eq!(
        planned(&shop).await.1["definitions"][0]["differences"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn a_database_without_schema_is_a_clear_error() {
    let shop = Shop::closed().await;
    execute(&shop, "drop schema amends cascade").await;
    let output = shop.run(&["plan"]).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("run `amends migrate`") && error.lines().count() == 1, "{error}");
}

fn alone(args: &[&str]) -> (Option<i32>, String, String) {
    let command = std::process::Command::new(amends())
        .args(args)
        .env_remove("DATABASE_URL")
        .env_remove("NATS_URL")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (command.status.code(), text(command.stdout), text(command.stderr))
}

#[test]
fn the_example_is_sound() {
    let (code, text, error) = alone(&["check"]);
    assert_eq!((code, error.as_str()), (Some(0), ""), "{text}");
    assert!(text.contains("└─ notification.send") && text.contains("\nsound: "), "{text}");
    let (_, json, _) = alone(&["check", "--json"]);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&report["sound"], report["findings"].as_array().unwrap().len()), (&true.into(), 0));
    assert_eq!(report["definitions"][0]["plan"]["steps"].as_array().unwrap().len(), 5);
}

#[test]
fn a_plan_is_drawn() {
    let folder = crate::support::folder();
    let file = folder.path().join("order.svg");
    let drawn = alone(&["graph", "order", "--format", "svg", "--output", file.to_str().unwrap()]);
    assert_eq!(drawn, (Some(0), String::new(), String::new()));
    assert!(std::fs::read_to_string(file).unwrap().ends_with("</svg>\n"));
    assert!(alone(&["graph", "order"]).1.contains("flowchart TD"));
    let (code, _, error) = alone(&["graph"]);
    assert_eq!(code, Some(2));
    assert_eq!(error, "amends: say which definition: there are order@1, rental@1, trip@1\n");
    let (code, _, error) = alone(&["graph", "voyage"]);
    assert_eq!(code, Some(2));
    assert_eq!(
        error,
        "amends: `voyage` is not known: this program has order@1, rental@1, trip@1; with --database-url also those are drawn that ran there\n"
    );
}

/// One program operates the installations of all others: it reads their plans from the database.
#[tokio::test]
async fn sagas_that_this_program_has_no_code_of_are_operated() {
    let mut shop = with_an_open_saga().await;
    // As if another program had run here.
    shop.terminate("orchestrator").await;
    for rename in [
        "insert into amends.definition (name, version, digest, outline)
         select 'stay', 3, digest, replace(replace(outline::text, '\"order\"', '\"stay\"'),
                                           '\"version\":1', '\"version\":3')::json
         from amends.definition where name = 'order'",
        "insert into amends.definition_step (name, version, position, step, service, operation, kind, task)
         select 'stay', 3, position, step, service, operation, kind, task
         from amends.definition_step where name = 'order'",
        "update amends.saga set definition = 'stay', version = 3",
    ] {
        execute(&shop, rename).await;
    }
    let drawn = shop.done(&["graph", "stay"]).await;
    assert!(drawn.contains("flowchart TD") && drawn.contains("inventory.reserve"), "{drawn}");
    let output = shop.run(&["graph", "stay", "--version", "4"]).await;
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.ends_with("the database order@1, rental@1, stay@3, trip@1\n"), "{error}");
    assert!(shop.done(&["list"]).await.contains("stay@3"));
    execute(
        &shop,
        "insert into amends.definition (name, version, digest, outline)
         select 'stay', 4, 'another', replace(outline::text, '\"orders.placed\"', '\"stays.wanted\"')::json
         from amends.definition where name = 'stay'",
    )
    .await;
    let versions = shop.done(&["definitions", "stay"]).await;
    assert!(versions.starts_with("DEFINITION"), "{versions}");
    let changed = "\nstay@4, after stay@3\n    ~ saga: starts on orders.placed → stays.wanted\n";
    assert!(versions.contains(changed) && !versions.contains("order@1"), "{versions}");
    assert_eq!(shop.run(&["definitions", "journey"]).await.status.code(), Some(2));
    let shown = shop.done(&["show", "o-1"]).await;
    assert!(shown.contains("stay@3") && shown.contains("payment.authorize"), "{shown}");
    let plan = shop.done(&["cancel", "o-1", "--plan"]).await;
    assert!(plan.contains("to do just that"), "{plan}");
}
