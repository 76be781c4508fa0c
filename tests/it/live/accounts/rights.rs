//! Each user of the shipped configuration on each subject: whether it may publish and subscribe there, beside the
//! list of what it may.

use std::collections::BTreeSet;

use super::raw::RawClient;
use crate::{
    support::{Agency, Guarded, SERVICES, folder},
    tidy::compare_listing,
};

/// What each user may, one right a line. A right that appears here has been looked at.
const RIGHTS: &str = "tests/it/golden/nats-rights.txt";

const EVENTS: [&str; 5] =
    ["orders.placed", "trips.wanted", "rentals.wanted", "visas.granted", "payments.refunded"];

const OF_A_SERVICE: [&str; 7] = [
    "amends.command.*.do",
    "amends.reply.*",
    "$JS.API.CONSUMER.MSG.NEXT.AMENDS_COMMANDS.*",
    "$JS.API.CONSUMER.INFO.AMENDS_COMMANDS.*",
    "$JS.API.CONSUMER.DELETE.AMENDS_COMMANDS.*",
    "$JS.API.CONSUMER.PAUSE.AMENDS_COMMANDS.*",
    "$JS.ACK.AMENDS_COMMANDS.*.1.1.1.1.0",
];

/// The last is no stream of Amends.
const STREAMS: [&str; 6] =
    ["AMENDS_EVENTS", "AMENDS_COMMANDS", "AMENDS_REPLIES", "AMENDS_SAGAS", "AMENDS_PROBE", "OTHER"];

const OF_A_STREAM: [&str; 16] = [
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.CREATE.*",
    "$JS.API.STREAM.UPDATE.*",
    "$JS.API.STREAM.DELETE.*",
    "$JS.API.STREAM.PURGE.*",
    "$JS.API.STREAM.SNAPSHOT.*",
    "$JS.API.STREAM.RESTORE.*",
    "$JS.API.STREAM.MSG.GET.*",
    "$JS.API.STREAM.MSG.DELETE.*",
    "$JS.API.DIRECT.GET.*",
    "$JS.API.CONSUMER.LIST.*",
    "$JS.API.CONSUMER.CREATE.*.any",
    "$JS.API.CONSUMER.DELETE.*.any",
    "$JS.API.CONSUMER.INFO.*.any",
    "$JS.API.CONSUMER.MSG.NEXT.*.any",
    "$JS.ACK.*.any.1.1.1.1.0",
];

const OTHERS: [&str; 9] = [
    "amends.saga.order.completed",
    "amends.saga.trip.completed",
    "amends.saga.rental.completed",
    "amends.probe",
    "_INBOX.anybody.1",
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.META.LEADER.STEPDOWN",
];

fn subjects() -> Vec<String> {
    let of = |patterns: &[&str], names: &[&str]| {
        let each = |name: &&str| patterns.iter().map(|p| p.replace('*', name)).collect::<Vec<_>>();
        names.iter().flat_map(each).collect::<Vec<_>>()
    };
    let services: Vec<_> = SERVICES.into_iter().chain(Agency::SERVICES).collect();
    let mut all = of(&["*"], &EVENTS);
    all.extend(of(&["*"], &OTHERS));
    all.extend(of(&OF_A_SERVICE, &services));
    all.extend(of(&OF_A_STREAM, &STREAMS));
    all
}

/// No call of the API takes this for an order.
const BODY: &str = "nothing that is asked for";

/// The subjects on which one client's messages come to the other, when they are published on all of these.
async fn passes(from: &mut RawClient, to: &mut RawClient, on: &[String]) -> BTreeSet<String> {
    for subject in on {
        from.publish(subject, "", BODY).await;
    }
    from.heard().await;
    let heard = to.heard().await.into_iter().filter(|message| message.body == BODY);
    heard.map(|message| message.subject).collect()
}

#[tokio::test]
async fn each_user_may_do_what_is_listed_and_no_more() {
    let folder = folder();
    let server = Guarded::as_shipped(&folder.path().join("nats")).await;
    let login =
        async |user| RawClient::connect(server.address(), user, &Guarded::password(user)).await;
    let (mut ear, mut mouth, subjects) = (login("admin").await, login("admin").await, subjects());
    ear.subscribe(">").await;
    ear.heard().await;
    let (mut rights, mut cells) = (BTreeSet::new(), 0);
    for user in Guarded::users().filter(|user| *user != "admin") {
        let mut client = login(user).await;
        for subject in passes(&mut client, &mut ear, &subjects).await {
            rights.insert(format!("{user} publishes {subject}"));
        }
        // Not the client that has published: within its account it would hear itself.
        let mut client = login(user).await;
        for subject in &subjects {
            client.subscribe(subject).await;
        }
        client.heard().await;
        for subject in passes(&mut mouth, &mut client, &subjects).await {
            rights.insert(format!("{user} hears {subject}"));
        }
        ear.heard().await;
        cells += 2 * subjects.len();
    }
    assert!(cells >= 1000, "{cells} cells");
    println!("{cells} cells, {} rights", rights.len());
    let text: String = rights.iter().map(|right| format!("{right}\n")).collect();
    let changed = "the rights of a user have changed; UPDATE_GOLDEN=1 takes the new list";
    compare_listing(RIGHTS, &text, changed);
}
