//! A database that takes no writes for a while: sessions that met it are not used again, and who starts
//! meanwhile waits.

use std::{collections::BTreeMap, time::Duration};

use super::roles::{Open, orchestrator, worker};
use crate::support::{
    SERVICES, Shop, order,
    spell::{self, ReadOnly},
};

/// How long it takes no writes.
const SPELL: Duration = Duration::from_secs(20);

/// From its end until all is well.
const WELL: Duration = Duration::from_secs(10);

/// How often one thing may be said, and a probe may change its mind, while one thing is wrong.
const TIMES: u32 = 10;

/// What a role warns of again and again after so many bytes of its log, whatever its fields are.
fn repeated(shop: &Shop, role: &str, from: usize) -> Vec<String> {
    let mut warnings: BTreeMap<String, u32> = BTreeMap::new();
    // What is said once for each attempt, or of a busy machine, is no repetition.
    let other =
        |line: &&str| !["timed_out", "slow statement"].iter().any(|word| line.contains(word));
    let log = shop.log_of(role);
    for line in log[from..].lines().filter(|line| line.contains(" WARN ")).filter(other) {
        let said = line.rsplit_once("}: ").or_else(|| line.split_once(" WARN "));
        let words = said.map_or(line, |(_, said)| said).split(' ');
        let words: Vec<_> = words.take_while(|word| !word.contains('=')).collect();
        *warnings.entry(words.join(" ")).or_default() += 1;
    }
    let often = warnings.into_iter().filter(|(_, times)| *times >= TIMES);
    often.map(|(warning, times)| format!("{role} warns {times} times: {warning}")).collect()
}

/// A shop at work, of which one service has a login of its own; those are watched whom it concerns.
async fn open(read_only: ReadOnly) -> Open {
    let mut shop = Shop::closed().await;
    spell::command(shop.local.database_url(), &["create role payment superuser login"]).await;
    let database = shop.local.database_url().to_owned();
    let mut probes = vec![orchestrator(&mut shop, "orchestrator", &database).await];
    for service in SERVICES.into_iter().chain(["hotel"]) {
        let login = if service == "payment" { "//payment@" } else { "//amends@" };
        let database = database.replacen("//amends@", login, 1);
        probes.push(worker(&mut shop, service, &database).await);
    }
    if let ReadOnly::Login(service) = read_only {
        probes.retain(|probe| probe.role == service);
    }
    Open::at(shop, probes).await
}

#[allow(clippy::print_stdout, reason = "a fault tells what it did")]
async fn is_over_when_it_is_over(read_only: ReadOnly) {
    let open = open(read_only).await;
    let roles: Vec<_> = open.probes.iter().map(|probe| probe.role.clone()).collect();
    let logged: Vec<_> = roles.iter().map(|role| open.shop.log_of(role).len()).collect();
    let lookout = open.look_out();
    read_only.begin(open.shop.local.database_url()).await;
    tokio::time::sleep(SPELL).await;
    read_only.end(open.shop.local.database_url()).await;
    let course = open.struck(WELL, async || {}).await;
    let mut wrong: Vec<_> = roles
        .iter()
        .zip(logged)
        .flat_map(|(role, from)| repeated(&open.shop, role, from))
        .collect();
    let sights = lookout.end();
    wrong.extend(sights.iter().filter(|s| s.changes >= TIMES).map(ToString::to_string));
    println!("{read_only:?}: {course}");
    assert!(wrong.is_empty(), "{read_only:?}: {wrong:#?}; {course}");
    course.assert_moving_within(WELL);
    for probe in &open.probes {
        probe.is_ready_within(WELL).await;
    }
    open.closes().await;
}

#[tokio::test]
async fn a_spell_of_the_database_is_over_when_it_is_over() {
    is_over_when_it_is_over(ReadOnly::Database).await;
}

/// Orders come to the service all the time.
#[tokio::test]
async fn a_spell_of_a_service_is_over_when_it_is_over() {
    is_over_when_it_is_over(ReadOnly::Login("payment")).await;
}

/// Who starts while nothing can be written waits; then it works.
#[tokio::test]
async fn what_starts_in_a_read_only_spell_waits() {
    let mut shop = Shop::closed().await;
    ReadOnly::Database.begin(shop.local.database_url()).await;
    let database = shop.local.database_url().to_owned();
    let mut probes = vec![orchestrator(&mut shop, "orchestrator", &database).await];
    for service in SERVICES {
        probes.push(worker(&mut shop, service, &database).await);
    }
    // Long enough for one that gives up.
    let mut looks = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..15 {
        looks.tick().await;
        for probe in &probes {
            let ended = shop.has_ended(&probe.role);
            assert!(!ended, "{} gave up: {}", probe.role, shop.log_of(&probe.role));
            assert!(probe.ready().await.is_err(), "{} is ready to write nothing", probe.role);
        }
    }
    ReadOnly::Database.end(shop.local.database_url()).await;
    for probe in &probes {
        probe.is_ready_within(WELL).await;
    }
    shop.publish_order(&order("o-1")).await;
    assert_eq!(shop.fate("o-1").await, "completed");
}
