//! What a party with its own login tries against others: it succeeds where all share an account.

use async_nats::jetstream::{self, consumer::pull, stream};

use super::raw::{Heard, RawClient};
use crate::support::{Guarded, folder};

const ONE_ACCOUNT: &str = include_str!("one_account.conf");

/// What stands in a command that is nobody's but its service's.
const SECRET: &str = "tok_visa";

/// A server with the streams, and a command to each of two services.
struct Site {
    server: Guarded,
    jetstream: jetstream::Context,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn new(accounts: Accounts) -> Self {
        let parent = folder();
        let data = parent.path().join("nats");
        let server = match accounts {
            Accounts::One => Guarded::start(&data, ONE_ACCOUNT).await,
            Accounts::Each => Guarded::as_shipped(&data).await,
        };
        let jetstream = jetstream::new(server.login("admin").await);
        for (name, subjects) in [
            ("AMENDS_EVENTS", "orders.placed"),
            ("AMENDS_COMMANDS", "amends.command.>"),
            ("AMENDS_REPLIES", "amends.reply.*"),
            ("AMENDS_SAGAS", "amends.saga.*.*"),
        ] {
            let config = stream::Config {
                name: name.to_owned(),
                subjects: vec![subjects.to_owned()],
                ..Default::default()
            };
            jetstream.create_stream(config).await.unwrap();
        }
        for service in ["inventory", "payment"] {
            let config = pull::Config {
                durable_name: Some(service.to_owned()),
                filter_subject: format!("amends.command.{service}.>"),
                ..Default::default()
            };
            jetstream.create_consumer_on_stream(config, "AMENDS_COMMANDS").await.unwrap();
            let command = format!("amends.command.{service}.do");
            jetstream.publish(command, SECRET.into()).await.unwrap().await.unwrap();
        }
        Self { server, jetstream, _folder: parent }
    }

    async fn login(&self, user: &str) -> RawClient {
        RawClient::connect(self.server.address(), user, &Guarded::password(user)).await
    }

    /// The service `inventory`, which has taken its only command.
    async fn attacker(&self) -> RawClient {
        let mut attacker = self.login("inventory").await;
        let command = pulled(&mut attacker, "inventory").await;
        assert_eq!(command.body, SECRET);
        attacker
    }

    /// Whether the answer to a pull for which there is no command comes to this subject of the streams' account.
    async fn answer_reaches(&self, subject: &str) -> bool {
        let (mut attacker, mut admin) = (self.attacker().await, self.login("admin").await);
        admin.subscribe(subject).await;
        admin.heard().await;
        attacker.publish(PULL, subject, WANTED).await;
        // Requests to a consumer are served in turn.
        pulled(&mut attacker, "inventory").await;
        !admin.heard().await.is_empty()
    }
}

const PULL: &str = "$JS.API.CONSUMER.MSG.NEXT.AMENDS_COMMANDS.inventory";
const WANTED: &str = r#"{"batch":1,"no_wait":true}"#;

/// What a service gets when it pulls once.
async fn pulled(client: &mut RawClient, service: &str) -> Heard {
    let inbox = format!("_INBOX.{service}.pulled");
    client.subscribe(&inbox).await;
    let pull = format!("$JS.API.CONSUMER.MSG.NEXT.AMENDS_COMMANDS.{service}");
    client.publish(&pull, &inbox, WANTED).await;
    loop {
        let heard = client.next().await;
        if heard.subject == inbox || heard.body == SECRET {
            return heard;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accounts {
    One,
    Each,
}

/// Each attack, and whether it succeeds.
async fn each<F: Future<Output = bool>>(attack: impl Fn(Site) -> F) {
    assert!(attack(Site::new(Accounts::One).await).await, "within one account it succeeds");
    assert!(!attack(Site::new(Accounts::Each).await).await, "between accounts it does not");
}

fn has_secret(heard: &[Heard]) -> bool {
    heard.iter().any(|message| message.body == SECRET)
}

#[tokio::test]
async fn nobody_hears_what_is_delivered_to_another() {
    each(async |site| {
        let mut attacker = site.login("inventory").await;
        attacker.subscribe("_INBOX.>").await;
        attacker.heard().await;
        let mut victim = site.login("payment").await;
        assert_eq!(pulled(&mut victim, "payment").await.body, SECRET);
        has_secret(&attacker.heard().await)
    })
    .await;
}

/// The server checks nobody's right to the subject on which they want to be answered; and a call of its API needs no
/// body.
#[tokio::test]
async fn no_answer_is_a_call_that_deletes_what_is_anothers() {
    for call in [
        "$JS.API.CONSUMER.DELETE.AMENDS_COMMANDS.payment",
        "$JS.API.STREAM.PURGE.AMENDS_EVENTS",
        "$JS.API.STREAM.DELETE.AMENDS_SAGAS",
    ] {
        each(async |site| site.answer_reaches(call).await).await;
    }
}

/// An answer without a body, which nobody could read as a reply or a trigger.
#[tokio::test]
async fn no_answer_is_junk_in_anothers_name() {
    for subject in ["amends.reply.payment", "orders.placed", "amends.command.payment.do"] {
        each(async |site| site.answer_reaches(subject).await).await;
    }
}

#[tokio::test]
async fn no_command_is_delivered_to_another_service() {
    each(async |site| {
        let (mut victim, mut attacker) =
            (site.login("payment").await, site.login("inventory").await);
        victim.subscribe("_INBOX.victim.>").await;
        victim.heard().await;
        attacker.publish(PULL, "_INBOX.victim.1", WANTED).await;
        pulled(&mut attacker, "inventory").await;
        has_secret(&victim.heard().await)
    })
    .await;
}

#[tokio::test]
async fn no_publisher_follows_sagas_that_are_not_its_own() {
    each(async |site| {
        let mut shop = site.login("shop").await;
        shop.subscribe("amends.saga.>").await;
        // What it may follow it hears in either case.
        shop.subscribe("amends.saga.order.>").await;
        shop.heard().await;
        for subject in ["amends.saga.order.completed", "amends.saga.trip.completed"] {
            let stored = site.jetstream.publish(subject, SECRET.into()).await.unwrap();
            stored.await.unwrap();
        }
        let heard = shop.heard().await;
        assert!(heard.iter().any(|message| message.subject.contains("order")), "{heard:?}");
        heard.iter().any(|message| message.subject.contains("trip"))
    })
    .await;
}
