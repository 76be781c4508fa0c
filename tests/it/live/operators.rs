//! What operators do, through the command line and through SQL.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::{SERVICES, Shop, eventually, order};

/// An order that waits for its inventory service, which is not there.
async fn waiting() -> Shop {
    let shop = Shop::open(&["payment", "shipping", "notification"]).await;
    shop.publish_order(&order("o-1")).await;
    shop.at_least(
        "select count(*) from amends.steps where step = 'shipping.book' and status = 'done'",
        1,
    )
    .await;
    shop
}

async fn refused(shop: &Shop, args: &[&str]) -> String {
    let output = shop.run(args).await;
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn cancelled() {
    let mut shop = waiting().await;
    let said = shop.done(&["cancel", "o-1", "--reason", "the customer changed their mind"]).await;
    assert!(said.contains("cancel: accepted") && said.contains("compensating"), "{said}");
    let again = refused(&shop, &["cancel", "o-1", "--reason", "once more"]).await;
    assert!(again.contains("turned back already"), "{again}");
    // What is in flight is settled first, across a crash.
    shop.kill("orchestrator").await;
    shop.start("orchestrator", &["orchestrator"]);
    shop.start_worker("inventory");
    assert_eq!(shop.fate("o-1").await, "compensated");
    shop.audit().await;
    let late = refused(&shop, &["cancel", "o-1", "--reason", "too late"]).await;
    assert!(late.contains("the saga has ended: compensated"), "{late}");
    let told = shop.done(&["show", "o-1"]).await;
    assert!(told.contains("the customer changed their mind"), "{told}");
    let acts: Vec<(String, String, bool)> =
        sqlx::query_as("select act, actor, accepted from amends.acts order by id")
            .fetch_all(&shop.pool)
            .await
            .unwrap();
    let act = |accepted| ("cancel".to_owned(), "amends".to_owned(), accepted);
    assert_eq!(acts, [act(true), act(false)]);
}

#[tokio::test]
async fn paused_and_resumed() {
    let mut shop = waiting().await;
    shop.done(&["pause", "o-1", "--reason", "stocktaking"]).await;
    shop.start_worker("inventory");
    shop.at_least(
        "select count(*) from amends.history where step = 'inventory.reserve' and kind = 'done'",
        1,
    )
    .await;
    // The reply is recorded, and nothing follows from it; not after a restart either.
    assert_eq!(shop.terminate("orchestrator").await, Some(0));
    shop.start("orchestrator", &["orchestrator"]);
    shop.says("orchestrator", "orchestrator runs").await;
    assert_eq!(shop.number("select count(*) from amends.sagas where status = 'paused'").await, 1);
    assert_eq!(
        shop.number(
            "select count(*) from amends.steps where step = 'payment.capture' and attempts > 0"
        )
        .await,
        0
    );
    let again = refused(&shop, &["pause", "o-1", "--reason", "again"]).await;
    assert!(again.contains("paused already"), "{again}");
    shop.done(&["resume", "o-1", "--reason", "counted"]).await;
    assert_eq!(shop.fate("o-1").await, "completed");
    shop.audit().await;
}

/// The notification service says no, which it must not; it is mended, and the step repeated.
#[tokio::test]
async fn stuck_then_retried() {
    let mut shop = Shop::open(&["payment", "inventory", "shipping"]).await;
    stick(&shop).await;
    shop.start_worker("notification");
    let said = shop.done(&["retry", "o-1", "--reason", "the mailbox is there now"]).await;
    assert!(said.contains("retry: accepted"), "{said}");
    assert_eq!(shop.fate("o-1").await, "completed");
    assert_eq!(shop.number("select count(*) from amends.stuck").await, 0);
    shop.audit().await;
}

/// Sends the order as far as its notification, and answers that with a no.
async fn stick(shop: &Shop) {
    shop.publish_order(&order("o-1")).await;
    shop.at_least(
        "select count(*) from amends.steps where step = 'notification.send' and attempts > 0",
        1,
    )
    .await;
    let saga: uuid::Uuid =
        sqlx::query_scalar("select id from amends.sagas").fetch_one(&shop.pool).await.unwrap();
    // The command is taken off the queue, as the service that answers would have done.
    let stream = shop.jetstream.get_stream("AMENDS_COMMANDS").await.unwrap();
    stream.purge().filter("amends.command.notification.>").await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Amends-Id", format!("{saga}:notification.send:action:1"));
    let body = r#"{"outcome":"rejected","code":"no_such_mailbox"}"#;
    let reply =
        shop.jetstream.publish_with_headers("amends.reply.notification", headers, body.into());
    reply.await.unwrap().await.unwrap();
    assert_eq!(shop.fate("o-1").await, "stuck");
}

#[tokio::test]
async fn stuck_then_skipped_or_resolved() {
    for (verb, args) in [
        ("skip", &["skip", "o-1", "notification.send", "--reason", "told by telephone"][..]),
        (
            "resolve",
            &["resolve", "o-1", "notification.send", "--ok", "{}", "--reason", "told by telephone"],
        ),
    ] {
        let shop = Shop::open(&["payment", "inventory", "shipping"]).await;
        stick(&shop).await;
        let wrong = refused(&shop, &["skip", "o-1", "payment.capture", "--reason", "x"]).await;
        assert!(wrong.contains("`payment.capture` waits for nothing"), "{wrong}");
        let exposed: Vec<(String, String)> =
            sqlx::query_as("select step, status from amends.exposure order by started_at, step")
                .fetch_all(&shop.pool)
                .await
                .unwrap();
        assert_eq!(exposed.len(), 5, "{exposed:?}");
        assert_eq!(exposed[4], ("notification.send".to_owned(), "given up".to_owned()));
        shop.done(args).await;
        assert_eq!(shop.fate("o-1").await, "completed", "{verb}");
        let status: String =
            sqlx::query_scalar("select status from amends.steps where step = 'notification.send'")
                .fetch_one(&shop.pool)
                .await
                .unwrap();
        assert_eq!(status, if verb == "skip" { "skipped" } else { "done" });
        let told = shop.done(&["show", "o-1"]).await;
        assert!(told.contains("told by telephone"), "{told}");
    }
}

const VIEWS: [&str; 26] = [
    "rights",
    "sagas",
    "steps",
    "sends",
    "history",
    "facts",
    "letters",
    "dead_letters",
    "settled_letters",
    "dropped_letters",
    "letter_acts",
    "stuck",
    "acts",
    "audit",
    "audit_chain",
    "unsealed_audit",
    "keys",
    "exposure",
    "open_sagas",
    "flow",
    "waits",
    "events",
    "locks",
    "starts",
    "definitions",
    "tree",
];

const LOOKS: [&str; 3] = ["candidates", "error_is_like", "outline"];

const ACTS: [&str; 19] = [
    "retry",
    "skip",
    "resolve",
    "cancel",
    "pause",
    "resume",
    "retry_all",
    "skip_all",
    "resolve_all",
    "cancel_all",
    "pause_all",
    "resume_all",
    "replay",
    "discard",
    "start",
    "break_lock",
    "retire",
    "reinstate",
    "forget_keys",
];

/// A role sees what it may see, and does what it may do.
#[tokio::test]
async fn least_privilege() {
    let shop = waiting().await;
    for role in ["viewer", "operator"] {
        let create = format!("create role {role} login in role amends_{role}");
        sqlx::query(AssertSqlSafe(create)).execute(&shop.pool).await.unwrap();
    }
    let login = async |role: &str| {
        let url = shop.local.database_url().replace("amends@", &format!("{role}@"));
        PgConnection::connect(&url).await.unwrap()
    };
    const PAUSE: &str = "select amends.pause((select id from amends.sagas), 'a look')";
    let (mut viewer, mut operator) = (login("viewer").await, login("operator").await);
    for view in VIEWS {
        let look = format!("select count(*) from amends.{view}");
        for connection in [&mut viewer, &mut operator] {
            sqlx::query(AssertSqlSafe(look.clone())).execute(connection).await.unwrap();
        }
    }
    let denied =
        |error: sqlx::Error| error.as_database_error().unwrap().code().unwrap().into_owned();
    assert_eq!(denied(sqlx::query(PAUSE).execute(&mut viewer).await.unwrap_err()), "42501");
    // Whatever a viewer may call only looks, and whatever an operator may call more is an act.
    let callable = async |role: &'static str| -> Vec<String> {
        sqlx::query_scalar(
            "select p.proname::text from pg_proc p
             where p.pronamespace = 'amends'::regnamespace and has_function_privilege($1, p.oid, 'execute')
             order by 1",
        )
        .bind(role)
        .fetch_all(&shop.pool)
        .await
        .unwrap()
    };
    let looks = callable("viewer").await;
    for look in LOOKS {
        assert!(looks.contains(&look.to_owned()), "{look}");
    }
    let acts = callable("operator").await;
    for act in ACTS {
        assert!(acts.contains(&act.to_owned()), "{act}");
        assert!(!looks.contains(&act.to_owned()), "a viewer may not {act}");
    }
    for helper in ["note_act", "note_acts", "note_letter_act", "note_stuck", "release_locks"] {
        assert!(!acts.contains(&helper.to_owned()), "{helper} is nobody's to call");
    }
    let everyone = callable("public").await;
    assert_eq!(everyone, Vec::<String>::new());
    let writable: i64 = sqlx::query_scalar(
        "select count(*) from pg_class c, unnest(array['viewer', 'operator']) role
         where c.relnamespace = 'amends'::regnamespace and c.relkind in ('r', 'v')
           and has_table_privilege(role, c.oid, 'insert, update, delete, truncate, references, trigger')",
    )
    .fetch_one(&shop.pool)
    .await
    .unwrap();
    assert_eq!(writable, 0, "tables that a viewer or an operator may write");
    for sql in [
        "update amends.saga set status = 'completed', finished_at = now()",
        "insert into amends.act (saga_id, act, reason, actor, seen) select id, 'cancel', 'x', 'y', 0 from amends.sagas",
        "select amends.note_act((select id from amends.sagas), 'cancel', null, null, 'x')",
        "delete from amends.fact",
        "update amends.dead_letter set settled_at = now()",
        "insert into amends.act (letter_id, act, reason, actor) values (1, 'replay', 'x', 'y')",
    ] {
        for connection in [&mut viewer, &mut operator] {
            assert_eq!(
                denied(sqlx::query(sql).execute(connection).await.unwrap_err()),
                "42501",
                "{sql}"
            );
        }
    }
    let empty = sqlx::query("select amends.pause((select id from amends.sagas), ' ')");
    assert_eq!(denied(empty.execute(&mut operator).await.unwrap_err()), "22023");
    sqlx::query(PAUSE).execute(&mut operator).await.unwrap();
    eventually("the pause", async || {
        (shop.number("select count(*) from amends.sagas where status = 'paused'").await == 1)
            .then_some(())
    })
    .await;
    let actor: String =
        sqlx::query_scalar("select actor from amends.acts").fetch_one(&shop.pool).await.unwrap();
    assert_eq!(actor, "operator");
}

/// The command line needs no more than the roles grant.
#[tokio::test]
async fn the_command_line_of_a_role() {
    let shop = waiting().await;
    shop.publish("no json").await;
    shop.at_least("select count(*) from amends.dead_letters", 1).await;
    for role in ["viewer", "operator"] {
        let create = format!("create role {role} login in role amends_{role}");
        sqlx::query(AssertSqlSafe(create)).execute(&shop.pool).await.unwrap();
        let url = shop.local.database_url().replace("amends@", &format!("{role}@"));
        for look in [
            &["list", "--step", "inventory.reserve", "--error", "%"][..],
            &["list"],
            &["show", "o-1"],
            &["top", "--once"],
            &["letters"],
            &["letters", "show", "1"],
            &["cancel", "o-1", "--plan"],
            &["cancel", "--all", "--dry-run"],
        ] {
            shop.done(&[look, &["--database-url", &url]].concat()).await;
        }
        for act in [
            &["retry", "o-1"][..],
            &["pause", "--all"],
            &["letters", "discard", "1"],
            &["cancel", "o-1"],
        ] {
            let args = [act, &["--reason", "as I may", "--database-url", &url]].concat();
            let output = shop.run(&args).await;
            let error = String::from_utf8(output.stderr).unwrap();
            let denied = error.contains("permission denied");
            assert_eq!(denied, role == "viewer", "{args:?}: {error}");
        }
    }
}

/// Whoever may not create roles migrates all the same, is told what is missing, and the roles that
/// are there get what they need.
#[tokio::test]
async fn missing_roles_are_told() {
    let fresh = crate::support::postgres().await;
    let mut admin = PgConnection::connect(&fresh.url).await.unwrap();
    for sql in [
        "create role amends_operator nologin",
        "create role migrator login",
        "create database sagas owner migrator",
    ] {
        sqlx::query(sql).execute(&mut admin).await.unwrap();
    }
    let (server, _) = fresh.url.rsplit_once('/').unwrap();
    let sagas = format!("{server}/sagas");
    let url = sagas.replace("amends@", "migrator@");
    assert_ne!(url, sagas, "another login");
    let migrate = async || {
        let output = tokio::process::Command::new(crate::support::amends())
            .args(["migrate", "--database-url", &url])
            .env_remove("RUST_LOG")
            .output()
            .await
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{told}");
        told
    };
    let told = migrate().await;
    for (role, missing) in [
        ("amends_viewer", true),
        ("amends_operator", false),
        ("amends_payload_reader", true),
        ("amends_gateway", true),
        ("amends_orchestrator", true),
    ] {
        assert_eq!(
            told.contains(&format!(
                "the role {role} is not there: let somebody who may create it (`create role {role} nologin`)"
            )),
            missing,
            "{told}"
        );
    }
    let mut admin = PgConnection::connect(&sagas).await.unwrap();
    let granted: bool = sqlx::query_scalar(
        "select has_table_privilege('amends_operator', 'amends.sagas', 'select')
            and has_function_privilege('amends_operator', 'amends.retry(uuid, text)', 'execute')",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert!(granted);
    // As it says.
    for role in ["amends_viewer", "amends_payload_reader", "amends_gateway", "amends_orchestrator"]
    {
        let create = format!("create role {role} nologin");
        sqlx::query(AssertSqlSafe(create)).execute(&mut admin).await.unwrap();
    }
    let told = migrate().await;
    assert!(!told.contains("is not there"), "{told}");
    let granted: bool = sqlx::query_scalar(
        "select has_table_privilege('amends_viewer', 'amends.sagas', 'select')
            and has_table_privilege('amends_orchestrator', 'amends.saga', 'insert')",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert!(granted);
}

/// An orchestrator works with the rights of its role alone.
#[tokio::test]
async fn an_orchestrator_without_more_rights() {
    let mut shop = Shop::closed().await;
    let create = "create role orchestrator login in role amends_orchestrator";
    sqlx::query(create).execute(&shop.pool).await.unwrap();
    let url = shop.local.database_url().replace("amends@", "orchestrator@");
    shop.start("orchestrator", &["orchestrator", "--database-url", &url]);
    for service in SERVICES {
        shop.start_worker(service);
    }
    shop.listening().await;
    shop.publish_order(&order("o-1")).await;
    shop.publish("no json").await;
    assert_eq!(shop.fate("o-1").await, "completed");
    shop.at_least("select count(*) from amends.dead_letters", 1).await;
}

/// A turn that was under way when an act was noted may set the timer anew: the act is not forgotten.
#[tokio::test]
async fn an_act_outlives_its_timer() {
    let mut shop = waiting().await;
    shop.done(&["pause", "o-1", "--reason", "stocktaking"]).await;
    shop.start_worker("inventory");
    let mut tx = shop.pool.begin().await.unwrap();
    sqlx::query("select amends.resume((select id from amends.sagas), 'counted')")
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query("update amends.timer set due_at = 'infinity'").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(shop.fate("o-1").await, "completed");
}

/// An output of the wrong shape is refused where it comes in, not found behind the pivot.
#[tokio::test]
async fn outputs_are_checked() {
    let shop = waiting().await;
    let resolve =
        |output| ["resolve", "o-1", "inventory.reserve", "--ok", output, "--reason", "by hand"];
    let wrong = refused(&shop, &resolve("{}")).await;
    assert!(wrong.contains("does not fit its type: missing field `reservation`"), "{wrong}");
    shop.done(&resolve(r#"{"reservation":"by-hand"}"#)).await;
    assert_eq!(shop.fate("o-1").await, "completed");
}

/// What must happen said no, and is asked for once more: it is on its way again.
#[tokio::test]
async fn what_is_repeated_is_not_stuck_any_more() {
    let shop = Shop::open(&["payment", "inventory", "shipping"]).await;
    shop.publish_order(&order("o-1")).await;
    let step = "select count(*) from amends.steps where step = 'notification.send' and status = ";
    let is = async |status: &str| {
        eventually(status, async || {
            let sql = format!("{step} '{status}'");
            let found: i64 =
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&shop.pool).await.ok()?;
            (found == 1).then_some(())
        })
        .await;
    };
    is("running").await;
    let saga: uuid::Uuid =
        sqlx::query_scalar("select id from amends.sagas").fetch_one(&shop.pool).await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Amends-Id", format!("{saga}:notification.send:action:1"));
    let no = r#"{"outcome":"rejected","code":"no_address"}"#;
    let ack = shop.jetstream.publish_with_headers("amends.reply.notification", headers, no.into());
    ack.await.unwrap().await.unwrap();
    is("stuck").await;
    shop.done(&["retry", "o-1", "--reason", "the address is known now"]).await;
    is("running").await;
}

/// It would be refused later, and kept until then.
#[tokio::test]
async fn what_is_too_large_for_a_saga_is_refused_before_it_is_stored() {
    let shop = waiting().await;
    let saga = "(select id from amends.sagas limit 1)";
    for (call, why) in [
        ("amends.start('order', to_json(repeat('x', 262143)))", "the input has 262145 bytes"),
        (
            "amends.start('order', '{}', repeat('k', 257))",
            "the key has 257 bytes; at most 256 are allowed",
        ),
        (
            &format!("amends.resolve({saga}, 'a.b', to_json(repeat('x', 262143)), 'why')"),
            "the outcome has 262145 bytes; at most 262144 are allowed",
        ),
        (
            &format!("amends.skip({saga}, repeat('s', 257), 'why')"),
            "the name of a step has 257 bytes",
        ),
    ] {
        let asked = sqlx::query(AssertSqlSafe(format!("select {call}"))).execute(&shop.pool).await;
        let error = asked.unwrap_err().to_string();
        assert!(error.contains(why), "{call}: {error}");
    }
    let stored =
        "select (select count(*) from amends.act) + (select count(*) from amends.start_request)";
    assert_eq!(shop.number(stored).await, 0);
}
