//! What `list` and `show` say, to people and to scripts.

use std::{io::Read as _, process::Stdio};

use serde_json::Value;

use crate::support::{SERVICES, Shop, order};

#[tokio::test]
async fn list_and_show() {
    let shop = Shop::open(&SERVICES).await;
    assert_eq!(shop.done(&["list"]).await, "no sagas\n");
    assert_eq!(shop.done(&["list", "--json"]).await, "[]\n");
    let mut lost = order("o-2");
    lost["country"] = "AQ".into();
    shop.publish_order(&order("o-1")).await;
    shop.publish_order(&lost).await;
    assert_eq!(shop.fate("o-1").await, "completed");
    assert_eq!(shop.fate("o-2").await, "compensated");

    let text = shop.done(&["list", "--status", "compensated"]).await;
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("o-2") && text.contains("shipping.book: no_route"), "{text}");
    let list: Value = serde_json::from_str(&shop.done(&["list", "--json"]).await).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(list[0]["key"], "o-2");
    assert_eq!(list[0]["error"]["code"], "no_route");

    let text = shop.done(&["show", "o-2"]).await;
    for words in ["started", "no_route", "turning back", "undone", "compensated"] {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }
    let id = list[1]["id"].as_str().unwrap();
    let shown: Value = serde_json::from_str(&shop.done(&["show", id, "--json"]).await).unwrap();
    assert_eq!(shown["status"], "completed");
    assert_eq!(shown["output"]["order_id"], "o-1");
    assert_eq!(shown["steps"].as_array().unwrap().len(), 5);
    assert!(shown["steps"].as_array().unwrap().iter().all(|s| s["status"] == "done"));
    assert_eq!(shown["history"][0]["kind"], "started");
}

#[tokio::test]
async fn mistakes_get_one_clear_line() {
    let shop = Shop::closed().await;
    let cases: [(&[&str], i32, &str); 7] = [
        (&["show", "nothing"], 1, "there is no saga with the id or key `nothing`"),
        (&["worker", "kitchen"], 2, "the services are inventory, payment, shipping, notification"),
        (&["start", "order", "--input", "{"], 2, "JSON is needed, or @FILE with JSON in it"),
        (&["resolve", "o", "s", "--ok", "@nowhere", "--reason", "r"], 2, "nowhere cannot be read"),
        (&["list", "--status", "fine"], 2, "fine"),
        (&["orchestrator", "--lanes", "0"], 2, "--lanes"),
        (&["migrate", "--database-url", "mysql://x/y"], 1, "database URL"),
    ];
    for (args, code, words) in cases {
        let output = shop.run(args).await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.contains(words), "{args:?}: {error}");
        assert!(code == 2 || error.lines().count() == 1, "{args:?}: {error}");
    }
}

/// With `--json` the reason of a failure is an object, whatever failed; what ends the process stays.
#[tokio::test]
async fn errors_are_json_where_answers_are() {
    let shop = Shop::closed().await;
    let cases: [(&[&str], i32, &str); 4] = [
        (&["show", "nothing", "--json"], 1, "there is no saga with the id or key `nothing`"),
        (&["list", "--json", "--limit", "many"], 2, "invalid value 'many' for '--limit"),
        (&["retire", "order", "7", "--reason", "r", "--json"], 1, "cannot retire: "),
        (&["cancel", "o-1", "--json"], 2, "required arguments were not provided"),
    ];
    for (args, code, words) in cases {
        let output = shop.run(args).await;
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        let error: Value = serde_json::from_str(&text).expect(&text);
        assert!(error["error"].as_str().unwrap().contains(words), "{args:?}: {error}");
        assert_eq!(error["exit_code"], code, "{args:?}");
        let help = error["help"].as_str().unwrap_or_default();
        assert_eq!(help.contains("try '--help'"), code == 2, "{args:?}: {error}");
        assert!(!help.contains("--database-url") && !help.contains("postgres://"), "{error}");
    }
}

/// What a command prints on a terminal that is so wide.
async fn on_a_terminal(shop: &Shop, columns: u16, args: &[&str], no_color: &str) -> String {
    let size = nix::pty::Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = nix::pty::openpty(Some(&size), None).unwrap();
    let mut command = shop.command(args);
    command.env("TERM", "xterm").env("NO_COLOR", no_color).stdout(Stdio::from(terminal.slave));
    let mut child = command.spawn().unwrap();
    // Or this process would keep the terminal open.
    drop(command);
    assert!(child.wait().await.unwrap().success(), "{args:?}");
    let mut shown = Vec::new();
    // What is left when the last program has closed it is an error.
    let _ = std::fs::File::from(terminal.master).read_to_end(&mut shown);
    String::from_utf8(shown).unwrap().replace('\r', "")
}

/// Colours and cuts are for terminals; a pipe gets everything.
#[tokio::test]
async fn tables_fit_a_terminal() {
    const GREEN: &str = "\x1b[32mcompleted\x1b[0m";
    let shop = Shop::open(&SERVICES).await;
    shop.publish_order(&order("o-1")).await;
    assert_eq!(shop.fate("o-1").await, "completed");

    let wide = on_a_terminal(&shop, 200, &["list"], "").await;
    assert!(wide.contains(GREEN) && !wide.contains('…'), "{wide:?}");
    let plain = on_a_terminal(&shop, 200, &["list"], "1").await;
    assert_eq!(plain, wide.replace(GREEN, "completed"));
    let narrow = on_a_terminal(&shop, 60, &["list"], "1").await;
    assert!(narrow.lines().take(2).all(|line| line.chars().count() == 60), "{narrow}");
    assert!(
        narrow
            .ends_with("2 lines are cut to the width of the terminal: `| cat` shows all of them\n"),
        "{narrow}"
    );
    assert_eq!(shop.done(&["list"]).await, plain);

    let told = on_a_terminal(&shop, 80, &["show", "o-1"], "").await;
    assert_eq!(told.matches(GREEN).count(), 2, "{told:?}");
    assert_eq!(told.replace(GREEN, "completed"), shop.done(&["show", "o-1"]).await);
}

/// A key and a reason are as long as they are; only a terminal has less room.
#[tokio::test]
async fn a_pipe_gets_whole_keys_and_reasons() {
    let shop = Shop::open(&[]).await;
    let (key, wrong) = ("k".repeat(60), "w".repeat(120));
    shop.publish_order(&order(&key)).await;
    let mut unreadable = order("o-2");
    unreadable["items"][0]["quantity"] = wrong.into();
    shop.publish_order(&unreadable).await;
    shop.at_least("select count(*) from amends.dead_letters", 1).await;
    shop.at_least("select count(*) from amends.sagas", 1).await;
    for args in [&["list"][..], &["top", "--once"]] {
        let piped = shop.done(args).await;
        assert!(piped.contains(&key), "{piped}");
        let terminal = on_a_terminal(&shop, 500, args, "1").await;
        assert!(!terminal.contains(&key) && terminal.contains("kk…"), "{terminal}");
    }
    let letters: Value = serde_json::from_str(&shop.done(&["letters", "--json"]).await).unwrap();
    let reason = letters[0]["reason"].as_str().unwrap();
    assert!(reason.len() > 100, "{reason}");
    let piped = shop.done(&["letters"]).await;
    assert!(piped.contains(reason), "{piped}");
    let terminal = on_a_terminal(&shop, 500, &["letters"], "1").await;
    assert!(!terminal.contains(reason) && terminal.contains('…'), "{terminal}");
}

/// A usage error shows how the command is called, and no flag that a variable has set.
#[test]
fn usage_errors_are_silent_about_variables() {
    let mut command = std::process::Command::new(crate::support::amends());
    command.args(["show"]).env("DATABASE_URL", "postgres://u:secret@h/d").env("NATS_USER", "bob");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("Usage: amends show [OPTIONS] <ID>\n"), "{error}");
    for set in ["secret", "bob", "database-url", "nats-user"] {
        assert!(!error.contains(set), "{error}");
    }
}

/// A filter with a name that is none says so, with those that are; one that finds nothing is an empty table.
#[tokio::test]
async fn a_filter_names_what_is_known() {
    let shop = Shop::open(&[]).await;
    let refused: [(&[&str], &str); 5] = [
        (
            &["list", "--definition", "oder"],
            "there is no definition `oder`: the definitions are order, ",
        ),
        (&["list", "--step", "payment.pay"], "there is no step `payment.pay`: the steps are "),
        (&["list", "--definition", "nope", "--json"], "there is no definition `nope`"),
        (&["letters", "--service", "kitchen"], "there is no service `kitchen`: the services are "),
        (&["retry", "--all", "--dry-run", "--definition", "oder"], "there is no definition `oder`"),
    ];
    for (args, words) in refused {
        let output = shop.run(args).await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains(words) && error.lines().count() == 1, "{args:?}: {error}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    let empty = ["list", "--definition", "order", "--step", "payment.authorize"];
    assert_eq!(shop.done(&empty).await, "no sagas\n");
    assert_eq!(shop.done(&["letters", "--service", "payment"]).await, "no dead letters\n");
}

/// Letters of one saga or of one service, by what is on the wire.
#[tokio::test]
async fn letters_of_a_saga_and_of_a_service() {
    const SAGA: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
    let shop = Shop::open(&[]).await;
    shop.publish("no json").await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Amends-Id", format!("{SAGA}:payment.authorize:action:1").as_str());
    let reply = shop.jetstream.publish_with_headers("amends.reply.payment", headers, "x".into());
    reply.await.unwrap().await.unwrap();
    shop.at_least("select count(*) from amends.dead_letters", 2).await;
    for args in [["--saga", SAGA], ["--service", "payment"]] {
        let list = shop.done(&["letters", args[0], args[1]]).await;
        assert!(list.contains("amends.reply.payment") && !list.contains("orders"), "{list}");
        let both = ["letters", args[0], args[1], "--subject", "orders.>"];
        assert_eq!(shop.done(&both).await, "no dead letters\n");
    }
    let other = SAGA.replace('0', "1");
    assert_eq!(shop.done(&["letters", "--saga", &other]).await, "no dead letters\n");
    assert_eq!(shop.done(&["letters", "--service", "shipping"]).await, "no dead letters\n");
}

/// The views say of each step what the transcript says.
#[tokio::test]
async fn the_views_tell_the_same_story() {
    let mut shop = Shop::open(&["payment", "shipping", "notification"]).await;
    let mut declined = order("o-1");
    declined["card"] = "tok_declined".into();
    shop.publish_order(&declined).await;
    shop.publish_order(&order("o-2")).await;
    assert_eq!(shop.fate("o-1").await, "compensated");
    shop.at_least(
        "select count(*) from amends.steps where step = 'shipping.book' and status = 'done'",
        1,
    )
    .await;
    let steps = async |key: &str| -> Vec<(String, String)> {
        sqlx::query_as(
            "select t.step, t.status from amends.steps t join amends.sagas s on s.id = t.saga_id
             where s.key = $1 and t.attempts > 0 order by t.position",
        )
        .bind(key.to_owned())
        .fetch_all(&shop.pool)
        .await
        .unwrap()
    };
    let story = |steps: &[(&str, &str)]| -> Vec<(String, String)> {
        steps.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    assert_eq!(steps("o-1").await, story(&[("payment.authorize", "rejected")]));
    let waits = [
        ("payment.authorize", "done"),
        ("inventory.reserve", "running"),
        ("shipping.book", "done"),
    ];
    assert_eq!(steps("o-2").await, story(&waits));
    let step: String = sqlx::query_scalar("select step from amends.sagas where key = 'o-2'")
        .fetch_one(&shop.pool)
        .await
        .unwrap();
    assert_eq!(step, "inventory.reserve");
    shop.start_worker("inventory");
    assert_eq!(shop.fate("o-2").await, "completed");
}

#[test]
fn shells_and_man_know_the_commands() {
    let folder = crate::support::folder();
    let run = |args: &[&str]| {
        let output = std::process::Command::new(crate::support::amends()).args(args).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert!(script.contains("break-lock") && script.contains("dry-run"), "{shell}");
        assert!(!script.contains("bench-orchestrator"), "{shell}: not for users");
    }
    run(&["man", folder.path().to_str().unwrap()]);
    for page in ["amends.1", "amends-show.1"] {
        assert!(folder.path().join(page).is_file(), "{page}");
    }
}
