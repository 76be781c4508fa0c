//! Logins that have what they need and no more, more, or less.

use super::{Findings, healthy};
use crate::support::{Agency, Guarded, SERVICES, Shop, eventually, spell};

/// A new login for this, and its address.
async fn login(shop: &Shop, name: &str, what: &str) -> String {
    spell::command(shop.local.database_url(), &[&format!("create role {name} login")]).await;
    shop.done(&["migrate", "--grant", &format!("{what}={name}")]).await;
    shop.local.database_url().replacen("//amends@", &format!("//{name}@"), 1)
}

async fn as_owner(shop: &Shop, sql: &str) {
    spell::command(shop.local.database_url(), &[sql]).await;
}

async fn looked_at(shop: &Shop, login: &str, flags: &[&str]) -> Findings {
    let of = ["--check-privileges", "--login", login];
    Findings::of(shop, &[&of[..], flags].concat()).await
}

/// What `migrate --grant` grants is what each login needs, no less and no more.
#[tokio::test]
async fn what_is_granted_is_what_is_needed() {
    let shop = healthy().await;
    shop.done(&["migrate", "--services"]).await;
    for (name, what) in [
        ("vera", "viewer"),
        ("otto", "operator"),
        ("conductor", "orchestrator"),
        ("cashier", "payment"),
        ("innkeeper", "hotel"),
    ] {
        let url = login(&shop, name, what).await;
        let findings = looked_at(&shop, name, &["--strict"]).await;
        findings.fails(&[]);
        let (found, _) = findings.said(&format!("rights: login {name}"));
        assert!(found.contains(what), "{found}");
        looked_at(&shop, name, &["--as", what, "--strict"]).await.fails(&[]);
        // It may look by itself; what it may not see is skipped, not failed.
        let findings = Findings::of(&shop, &["--database-url", &url, "--check-privileges"]).await;
        findings.fails(&[]);
    }
    let viewer = shop.local.database_url().replacen("//amends@", "//vera@", 1);
    let findings = Findings::of(&shop, &["--database-url", &viewer]).await;
    assert!(findings.with("skipped").contains(&"orchestrator: leader".to_owned()), "{findings:?}");
    assert!(findings.with("ok").contains(&"orchestrator: dead letters".to_owned()), "{findings:?}");
}

/// With the logins of an orchestrator in both servers, as they are shipped, all is seen that is to be seen.
#[tokio::test]
async fn an_orchestrators_logins_are_enough() {
    let mut shop = Shop::closed().await;
    let guarded = Guarded::as_shipped(&shop.folder.path().join("guarded")).await;
    shop.jetstream = async_nats::jetstream::new(guarded.login("admin").await);
    let nats = guarded.url("orchestrator");
    shop.start("orchestrator", &["orchestrator", "--nats-url", &nats]);
    let stock = shop.stock();
    for service in SERVICES.into_iter().chain(Agency::SERVICES) {
        let url = guarded.url(service);
        shop.start(service, &["worker", service, "--nats-url", &url, "--seed-stock", &stock]);
    }
    let database = login(&shop, "conductor", "orchestrator").await;
    let flags = ["--nats-url", &nats, "--database-url", &database, "--check-privileges"];
    eventually("health", async || {
        let findings = Findings::of(&shop, &flags).await;
        (findings.code == Some(0) && findings.with("warning").is_empty()).then_some(())
    })
    .await;
    let findings = Findings::of(&shop, &flags).await;
    let skipped = findings.with("skipped");
    let of_others = ["postgres: old transactions", "nats: sync"];
    assert_eq!(skipped[..2], of_others, "{findings:?}");
    // Nor has it a part in what services share.
    let barrier =
        ["participants: barrier of this database", "participants: outbox of this database"];
    assert_eq!(skipped[2..4], barrier, "{findings:?}");
    assert_eq!(skipped[4..], ["saga: round trip"], "{findings:?}");

    // A service's own login in NATS sees nothing of streams, and is told so.
    let of_a_service = ["--nats-url", &guarded.url("payment")];
    let findings = Findings::of(&shop, &of_a_service).await;
    findings.fails(&["nats: jetstream"]);
    let (_, advice) = findings.said("nats: jetstream");
    assert!(advice.contains("$JS.API.INFO"), "{advice}");
}

#[tokio::test]
async fn logins_that_have_too_much() {
    const SURPLUS: &str = "rights: more than vera needs";
    let shop = healthy().await;
    let findings = Findings::of(&shop, &["--check-privileges"]).await;
    findings.fails(&["rights: powers of amends"]);
    assert!(findings.said("rights: powers of amends").0.starts_with("superuser"), "{findings:?}");

    login(&shop, "vera", "viewer").await;
    for (given, taken, check, words) in [
        (
            "alter role vera createrole",
            "alter role vera nocreaterole",
            "rights: powers of vera",
            "createrole",
        ),
        (
            "grant create on database amends to vera",
            "revoke create on database amends from vera",
            "rights: powers of vera",
            "create in this database",
        ),
        (
            "grant create on schema amends to vera",
            "revoke create on schema amends from vera",
            "rights: powers of vera",
            "create in the schema amends",
        ),
        (
            "grant pg_write_all_data to vera",
            "revoke pg_write_all_data from vera",
            SURPLUS,
            "delete on amends.act",
        ),
        (
            "grant update on amends.act to vera",
            "revoke update on amends.act from vera",
            SURPLUS,
            "update on amends.act",
        ),
        (
            "grant update (reason) on amends.act to vera",
            "revoke update (reason) on amends.act from vera",
            SURPLUS,
            "update on amends.act",
        ),
        (
            "grant select on amends.saga_default to vera",
            "revoke select on amends.saga_default from vera",
            SURPLUS,
            "select on amends.saga",
        ),
        (
            "grant execute on function amends.start to vera",
            "revoke execute on function amends.start from vera",
            SURPLUS,
            "execute on function amends.start(",
        ),
        (
            "grant execute on function amends.start to public",
            "revoke execute on function amends.start from public",
            SURPLUS,
            "amends.start(",
        ),
        (
            "grant usage on schema payment to vera",
            "revoke usage on schema payment from vera",
            SURPLUS,
            "usage on schema payment",
        ),
    ] {
        as_owner(&shop, given).await;
        let findings = looked_at(&shop, "vera", &["--as", "viewer"]).await;
        assert!(findings.with("failed").contains(&check.to_owned()), "{given}: {findings:?}");
        assert!(findings.said(check).0.contains(words), "{given}: {findings:?}");
        as_owner(&shop, taken).await;
        looked_at(&shop, "vera", &[]).await.fails(&[]);
    }
    // The operator is no viewer, and a service has no business among sagas.
    login(&shop, "otto", "operator").await;
    looked_at(&shop, "otto", &["--as", "viewer"]).await.fails(&["rights: more than otto needs"]);
    login(&shop, "cashier", "payment").await;
    as_owner(&shop, "grant usage on schema amends to cashier").await;
    as_owner(&shop, "grant select on amends.sagas to cashier").await;
    let findings = looked_at(&shop, "cashier", &["--as", "payment"]).await;
    findings.fails(&["rights: more than cashier needs"]);
    // Who migrates owns the schemas, and makes roles.
    as_owner(&shop, "create role boss createrole login").await;
    as_owner(&shop, "alter schema amends owner to boss").await;
    let findings = looked_at(&shop, "boss", &[]).await;
    findings.fails(&[]);
    assert!(findings.said("rights: login boss").0.contains("owns"), "{findings:?}");
    // Nobody knows what it is for.
    as_owner(&shop, "create role stranger login").await;
    let findings = looked_at(&shop, "stranger", &[]).await;
    findings.fails(&[]);
    assert_eq!(findings.with("warning"), ["rights: login stranger"]);
}

#[tokio::test]
async fn logins_that_have_too_little() {
    let shop = healthy().await;
    shop.done(&["migrate", "--services"]).await;
    for (name, what) in [
        ("vera", "viewer"),
        ("otto", "operator"),
        ("conductor", "orchestrator"),
        ("cashier", "payment"),
    ] {
        login(&shop, name, what).await;
    }
    for (name, taken, words) in [
        ("vera", "revoke select on amends.sagas from amends_viewer", "select on amends.sagas"),
        (
            "otto",
            "revoke execute on function amends.retry from amends_operator",
            "execute on function amends.retry(",
        ),
        (
            "conductor",
            "revoke delete on amends.timer from amends_orchestrator",
            "delete on amends.timer",
        ),
        (
            "conductor",
            "revoke usage on sequence amends.act_id from amends_orchestrator",
            "usage on sequence amends.act_id",
        ),
        (
            "cashier",
            "revoke execute on function amends_barrier.leave from cashier",
            "execute on function amends_barrier.leave",
        ),
        (
            "cashier",
            "revoke all on all tables in schema payment from cashier",
            "insert on payment.",
        ),
    ] {
        as_owner(&shop, taken).await;
        let check = format!("rights: less than {name} needs");
        let findings = looked_at(&shop, name, &[]).await;
        findings.fails(&[&check]);
        let (found, advice) = findings.said(&check);
        assert!(found.contains(words), "{taken}: {found}");
        // What it advises is enough.
        let command = advice.split('`').nth(1).unwrap().strip_prefix("amends ").unwrap();
        shop.done(&command.split(' ').collect::<Vec<_>>()).await;
        looked_at(&shop, name, &[]).await.fails(&[]);
    }
    // A role that it was to have, and that nobody gave it.
    as_owner(&shop, "create role novice login").await;
    looked_at(&shop, "novice", &["--as", "viewer"])
        .await
        .fails(&["rights: less than novice needs"]);
    looked_at(&shop, "nobody", &[]).await.fails(&["rights: login nobody"]);
    let wrong = shop.run(&["doctor", "--check-privileges", "--as", "janitor"]).await;
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}
