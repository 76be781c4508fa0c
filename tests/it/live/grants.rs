//! What a login lacks is told with the command that grants it, and that command is enough.

use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::{self, SERVICES, Shop, eventually, order, spell};

/// A new login without any right, and its address in this database.
async fn login(shop: &Shop, name: &str) -> String {
    let create = format!("create role {name} login");
    spell::command(shop.local.database_url(), &[&create]).await;
    shop.local.database_url().replacen("//amends@", &format!("//{name}@"), 1)
}

/// The arguments of the command that a text tells the owner to run.
fn advised(told: &str) -> Vec<String> {
    let command = told.split('`').find(|part| part.contains("migrate --grant "));
    let command = command.unwrap_or_else(|| panic!("no command in {told}"));
    assert!(command.starts_with("amends "), "{command}");
    command.split(' ').skip(1).map(str::to_owned).collect()
}

/// Runs a command that ends so, and gives what it says on standard error.
async fn ends(shop: &Shop, args: &[&str], code: i32) -> String {
    let output = shop.run(args).await;
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {told}");
    told.lines().next_back().unwrap_or_default().to_owned()
}

/// The command is refused for want of this, the owner follows the advice, which says what it grants.
async fn follow(shop: &Shop, told: &str, lacks: &str, granted: &str) {
    assert!(told.contains("permission denied for ") && told.contains(lacks), "{told}");
    let advice = advised(told);
    let advice: Vec<_> = advice.iter().map(String::as_str).collect();
    // Repeated, it changes nothing.
    for _ in 0..2 {
        assert_eq!(shop.done(&advice).await, format!("{granted}\n"));
    }
}

/// An orchestrator whose order waits for its services.
async fn waiting() -> Shop {
    let shop = Shop::open(&[]).await;
    shop.publish_order(&order("o-1")).await;
    shop.at_least("select count(*) from amends.sagas", 1).await;
    shop
}

#[tokio::test]
async fn a_viewer_and_an_operator() {
    const LOOKS: [&[&str]; 11] = [
        &["list"],
        &["show", "o-1"],
        &["top", "--once"],
        &["letters"],
        &["letters", "show", "1"],
        &["letters", "dropped"],
        &["locks"],
        &["definitions"],
        &["plan"],
        &["cancel", "o-1", "--plan"],
        &["pause", "--all", "--dry-run"],
    ];
    const ACTS: [&[&str]; 4] = [
        &["start", "order", "--key", "o-2", "--input", "{}"],
        &["retire", "order", "1", "--reason", "x"],
        &["cancel", "o-1", "--reason", "x"],
        &["pause", "--all", "--reason", "x"],
    ];
    let shop = waiting().await;
    shop.publish("no json").await;
    shop.at_least("select count(*) from amends.dead_letters", 1).await;
    let url = login(&shop, "alice").await;
    let of_alice = |args: &[&'static str]| [args, &["--database-url", url.as_str()][..]].concat();
    let lacks = "the login `alice` needs the role `amends_viewer`, which the owner of the schema grants by \
                 `amends migrate --grant viewer=alice`";
    for look in LOOKS {
        let told = ends(&shop, &of_alice(look), 1).await;
        assert!(told.contains(lacks), "{look:?}: {told}");
    }
    let told = ends(&shop, &of_alice(&["list", "--json"]), 1).await;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["sqlstate"], "42501");
    let told = told["error"].as_str().unwrap();
    follow(&shop, told, lacks, "granted viewer to alice: the role amends_viewer").await;
    for look in LOOKS {
        shop.done(&of_alice(look)).await;
    }
    let lacks = "the login `alice` needs the role `amends_operator`";
    for act in ACTS {
        let told = ends(&shop, &of_alice(act), 1).await;
        assert!(told.contains(lacks), "{act:?}: {told}");
    }
    let pause = of_alice(&["pause", "o-1", "--reason", "a look"]);
    let told = ends(&shop, &pause, 1).await;
    follow(&shop, &told, lacks, "granted operator to alice: the role amends_operator").await;
    shop.done(&pause).await;
}

/// What shows bodies says in one line that they are hidden, and by which command they are shown.
#[tokio::test]
async fn a_reader_of_payloads() {
    const HIDDEN: &str = "inputs, outputs and bodies are hidden from this login: the role amends_payload_reader \
                          shows them (amends migrate --grant payload-reader=LOGIN)";
    let shop = Shop::open(&SERVICES).await;
    shop.publish_order(&order("o-1")).await;
    assert_eq!(shop.fate("o-1").await, "completed");
    let mut again = order("o-1");
    again["note"] = "again".into();
    shop.publish_order(&again).await;
    shop.at_least("select count(*) from amends.dead_letters", 1).await;
    let url = login(&shop, "alice").await;
    let of_alice = |args: &[&'static str]| [args, &["--database-url", url.as_str()][..]].concat();
    shop.done(&["migrate", "--grant", "operator=alice"]).await;
    let input = order("o-2").to_string();
    let start = ["start", "order", "--wait", "--input", &input, "--database-url", &url];
    let start_json = [&start[..], &["--json"]].concat();
    let show: [Vec<&str>; 2] = [of_alice(&["show", "o-1"]), of_alice(&["letters", "show", "1"])];
    let show_json = [
        of_alice(&["show", "o-1", "--json"]),
        of_alice(&["letters", "show", "1", "--json"]),
        of_alice(&["letters", "--json"]),
        start_json,
    ];
    let value = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let customer = order("o-1")["customer"].as_str().unwrap().to_owned();
    for look in show.iter().chain([&start.to_vec()]) {
        let told = shop.done(look).await;
        assert_eq!(told.matches(HIDDEN).count(), 1, "{told}");
        assert!(!told.contains("null") && !told.contains(&customer), "{told}");
    }
    for look in &show_json {
        let told = value(shop.done(look).await);
        let told = told.get(0).unwrap_or(&told);
        assert_eq!(told["hidden"], HIDDEN, "{told}");
        assert!(!told.to_string().contains(&customer), "{told}");
    }
    // What else there is to tell is told.
    let told = shop.done(&show[0]).await;
    assert!(told.contains("completed") && told.contains("payment.authorize"), "{told}");
    assert_eq!(
        shop.done(&["migrate", "--grant", "payload-reader=alice"]).await,
        "granted payload-reader to alice: the role amends_payload_reader\n"
    );
    for look in &show {
        let told = shop.done(look).await;
        assert!(!told.contains("hidden") && told.contains(&customer), "{told}");
    }
    for look in &show_json {
        let told = value(shop.done(look).await);
        let told = told.get(0).unwrap_or(&told);
        assert!(told.get("hidden").is_none(), "{told}");
        assert!(told["output"].is_object() || told.to_string().contains(&customer), "{told}");
    }
}

/// A gateway acts for whom it says, and whoever looks is told both.
#[tokio::test]
async fn a_gateway() {
    let shop = waiting().await;
    let url = login(&shop, "portal").await;
    shop.done(&["migrate", "--grant", "operator=portal"]).await;
    assert_eq!(
        shop.done(&["migrate", "--grant", "gateway=portal"]).await,
        "granted gateway to portal: the role amends_gateway\n"
    );
    let mut session = PgConnection::connect(&url).await.unwrap();
    session.execute("set amends.actor = 'alice@example.org'").await.unwrap();
    session.execute("select amends.pause(id, 'a look') from amends.sagas").await.unwrap();
    shop.at_least("select count(*) from amends.acts where accepted", 1).await;
    let told = shop.done(&["show", "o-1"]).await;
    assert!(told.contains("alice@example.org via portal pauses it: a look"), "{told}");
    for actor in ["alice@example.org", "portal", "alice@example.org via portal"] {
        let told = shop.done(&["audit", "--actor", actor]).await;
        assert!(told.contains("alice@example.org via portal  pause"), "{actor}: {told}");
    }
    for actor in ["alice", "example.org via portal", "tal"] {
        assert_eq!(shop.done(&["audit", "--actor", actor]).await, "no acts\n", "{actor}");
    }
}

#[tokio::test]
async fn an_orchestrator() {
    let mut shop = Shop::closed().await;
    let url = login(&shop, "crew").await;
    let args = ["orchestrator", "--database-url", &url];
    shop.start("poor", &args);
    assert_eq!(shop.ends_soon("poor").await, Some(1), "{}", shop.log_of("poor"));
    let log = shop.log_of("poor");
    let told = log.lines().next_back().unwrap_or_default();
    assert!(
        told.starts_with("amends: the orchestrator cannot run: its login has no right"),
        "{told}"
    );
    let granted = "granted orchestrator to crew: the role amends_orchestrator";
    follow(&shop, told, "the login `crew` needs the role `amends_orchestrator`", granted).await;
    shop.start("orchestrator", &args);
    for service in SERVICES {
        shop.start_worker(service);
    }
    shop.listening().await;
    shop.publish_order(&order("o-1")).await;
    assert_eq!(shop.fate("o-1").await, "completed");
}

/// In the database of all, and in one of its own.
#[tokio::test]
async fn a_services_worker() {
    let mut shop = Shop::closed().await;
    let owners = shop.local.database_url().to_owned();
    spell::command(&owners, &["create database shelves"]).await;
    let of_service = |url: &str| format!("{}/shelves", url.rsplit_once('/').unwrap().0);
    shop.set("INVENTORY_DATABASE_URL", of_service(&owners));
    let (inv, pay) = (login(&shop, "inv").await, login(&shop, "pay").await);
    let own = of_service(&inv);
    let stock = shop.stock();
    let worker = ["worker", "inventory", "--seed-stock", &stock];
    for (service, login, lacks) in [("inventory", "inv", "shelves"), ("payment", "pay", "amends")] {
        let url = [("INVENTORY_DATABASE_URL", own.as_str()), ("DATABASE_URL", pay.as_str())];
        shop.start_with(login, &["worker", service], &url);
        assert_eq!(shop.ends_soon(login).await, Some(1));
        let log = shop.log_of(login);
        let told = log.lines().next_back().unwrap_or_default();
        assert!(told.contains(&format!("denied for database {lacks}")), "{told}");
        let lacks = format!("the login `{login}` needs the rights of the service `{service}`");
        let granted = format!(
            "granted {service} to {login}: barrier, outbox, and the tables of the schema {service}"
        );
        follow(&shop, told, &lacks, &granted).await;
    }
    shop.start("orchestrator", &["orchestrator"]);
    shop.start_with("inventory", &worker, &[("INVENTORY_DATABASE_URL", &own)]);
    shop.start_with("payment", &["worker", "payment"], &[("DATABASE_URL", &pay)]);
    for service in ["shipping", "notification"] {
        shop.start_worker(service);
    }
    shop.listening().await;
    shop.publish_order(&order("o-1")).await;
    assert_eq!(shop.fate("o-1").await, "completed");
    for service in ["inventory", "payment"] {
        let log = shop.log_of(service);
        assert!(!log.contains("events wait in the outbox"), "{log}");
    }
    // What the schema's owner makes later is the service's, too; its list of migrations is not.
    let later = ["create table inventory.shelf (id integer generated always as identity)"];
    spell::command(&of_service(&owners), &later).await;
    let mut session = PgConnection::connect(&own).await.unwrap();
    session.execute("insert into inventory.shelf default values").await.unwrap();
    let refused = session.execute("delete from inventory._migrations").await.unwrap_err();
    assert!(refused.to_string().contains("permission denied"), "{refused}");
}

/// A service in another language, with a database of its own or beside the orchestrator.
#[tokio::test]
async fn a_service_that_is_no_part_of_the_program() {
    let shop = Shop::closed().await;
    login(&shop, "till").await;
    let owners = shop.local.database_url().to_owned();
    spell::command(&owners, &["create database theirs"]).await;
    let theirs = format!("{}/theirs", owners.rsplit_once('/').unwrap().0);
    let participant = |grant| ["migrate", "--participant", theirs.as_str(), "--grant", grant];
    let told = ends(&shop, &participant("the-till=till"), 2).await;
    assert!(told.ends_with("it has participant, public"), "{told}");
    assert_eq!(
        shop.done(&participant("participant=till")).await,
        "granted participant to till: barrier and outbox\n"
    );
    spell::command(&theirs, &["create schema the_till; create table the_till.drawer (id int)"])
        .await;
    assert_eq!(
        shop.done(&participant("the-till=till")).await,
        "granted the-till to till: barrier, outbox, and the tables of the schema the_till\n"
    );
    let url = theirs.replacen("//amends@", "//till@", 1);
    let mut session = PgConnection::connect(&url).await.unwrap();
    session.execute("insert into the_till.drawer values (1)").await.unwrap();
    // It emits what it is registered for.
    let emit = "select amends_barrier.emit('drawers.opened', null, '{}')";
    let refused = session.execute(emit).await.unwrap_err().to_string();
    assert!(refused.contains("the login till may not emit events on drawers.opened"), "{refused}");
    let publisher = ["--publisher", "the-till=drawers.opened"];
    let both = [&participant("the-till=till")[..], &publisher].concat();
    assert_eq!(
        shop.done(&both).await,
        "granted the-till to till: barrier, outbox, and the tables of the schema the_till; it may emit \
         on drawers.opened\n"
    );
    session.execute(emit).await.unwrap();
    // In this database it has a meaning once its steps are registered, and its barrier is there.
    let here = ["migrate", "--grant", "the-till=till"];
    spell::command(
        &owners,
        &["insert into amends.definition (name, version, digest, outline) values ('sale', 1, 'x', '{}')",
          "insert into amends.definition_step values ('sale', 1, 1, 'the-till.open', 'the-till', 'open', 'pivot')"],
    )
    .await;
    let told = ends(&shop, &here, 2).await;
    assert!(told.contains("`amends migrate --participant URL --grant the-till=LOGIN`"), "{told}");
    amends_workers::migrate(&support::database(&owners)).await.unwrap();
    assert_eq!(shop.done(&here).await, "granted the-till to till: barrier and outbox\n");
}

/// A wrong name is a wrong command line, and nothing is done; a refusal says what to do.
#[tokio::test]
async fn what_cannot_be_granted() {
    let shop = Shop::closed().await;
    let url = login(&shop, "alice").await;
    let mut owner = PgConnection::connect(shop.local.database_url()).await.unwrap();
    owner.execute("drop schema amends cascade").await.unwrap();
    let told =
        ends(&shop, &["migrate", "--grant", "viewer=alice", "--grant", "veiwer=bob"], 2).await;
    assert!(
        told.contains("it has viewer, operator, payload-reader, gateway, orchestrator, "),
        "{told}"
    );
    for form in ["viewer", "viewer=", "=alice"] {
        let output = shop.run(&["migrate", "--grant", form]).await;
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("it has the form WHAT=LOGIN"), "{told}");
    }
    let publisher = ["migrate", "--grant", "payment=alice", "--publisher", "order=orders.placed"];
    let told = ends(&shop, &publisher, 2).await;
    assert!(told.ends_with("by the same command: add `--grant order=LOGIN`"), "{told}");
    let made = "select exists (select from pg_namespace where nspname = 'amends')";
    assert!(!sqlx::query_scalar::<_, bool>(made).fetch_one(&mut owner).await.unwrap());
    for what in ["viewer", "payment"] {
        let grant = format!("{what}=bob");
        let told = ends(&shop, &["migrate", "--grant", &grant], 1).await;
        let why = format!(
            "amends: {what} cannot be granted to bob: there is no login `bob`: create it first, by \
             `create role \"bob\" login`"
        );
        assert_eq!(told, why);
    }
    // Whoever migrated may use the schema, and yet not the roles that others made.
    shop.done(&["migrate", "--grant", "orchestrator=alice"]).await;
    let told =
        ends(&shop, &["migrate", "--database-url", &url, "--grant", "viewer=alice"], 1).await;
    assert!(
        told.ends_with(
            "viewer cannot be granted to alice: this login may not grant the role `amends_viewer`: take a \
             superuser, or the login that created the role"
        ),
        "{told}"
    );
    shop.done(&["migrate", "--grant", "payment=alice"]).await;
    let told =
        ends(&shop, &["migrate", "--database-url", &url, "--grant", "payment=alice"], 1).await;
    let why = "may not grant what `amends` owns in the schema `amends_barrier`: take that login";
    assert!(told.contains(why), "{told}");
    let bare = login(&shop, "bare").await;
    let told = ends(&shop, &["migrate", "--database-url", &bare], 1).await;
    assert!(told.contains("migrate as the owner of the schema"), "{told}");
}

/// An act needs its role again when it was dropped; the next migration makes that good.
#[tokio::test]
async fn a_role_that_was_dropped() {
    let shop = waiting().await;
    let url = login(&shop, "alice").await;
    let owners = shop.local.database_url();
    spell::command(owners, &["drop owned by amends_operator", "drop role amends_operator"]).await;
    assert_eq!(
        shop.done(&["migrate", "--grant", "operator=alice"]).await,
        "granted operator to alice: the role amends_operator\n"
    );
    shop.done(&["pause", "o-1", "--reason", "a look", "--database-url", &url]).await;
    eventually("the pause", async || {
        let paused = "select count(*) from amends.sagas where status = 'paused'";
        (shop.number(paused).await == 1).then_some(())
    })
    .await;
}
