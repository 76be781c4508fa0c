//! Dead letters that an operator wants published once more: on their subject, with their headers, as
//! if their sender had published them now.

use std::{collections::BTreeMap, time::Duration};

use amends::wire;
use async_nats::{
    HeaderMap, HeaderName, HeaderValue,
    jetstream::{self, message::PublishMessage},
};
use tokio_util::sync::CancellationToken;

use crate::store::{CommitError, Replay, Store};

/// Between two looks at what operators ask for.
const LOOK: Duration = Duration::from_secs(1);

/// Letters published in one round.
const ROUND_MAX: i64 = 100;

pub(crate) struct Replays {
    pub(crate) jetstream: jetstream::Context,
    pub(crate) store: Store,
    pub(crate) stop: CancellationToken,
}

impl Replays {
    /// Runs until stopped. What a crash leaves between publishing and settling is published again
    /// under the same message id; so is what two replicas take at once.
    pub(crate) async fn run(self) {
        let mut last = String::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.stop.cancelled() => return,
            }
            let trouble = self.round().await.err().unwrap_or_default();
            // Each trouble is told once, not every second.
            if trouble != last && !trouble.is_empty() {
                tracing::warn!("dead letters are not replayed yet: {trouble}");
            }
            last = trouble;
        }
    }

    async fn round(&self) -> Result<(), String> {
        let unavailable = |e: CommitError| format!("{e:?}");
        let mut trouble = Ok(());
        for replay in self.store.replays(ROUND_MAX).await.map_err(unavailable)? {
            let refusal = match message(&replay) {
                Ok((subject, message)) => match self.publish(subject, message).await {
                    Ok(()) => None,
                    // Its stream may come back; the others need not wait for it.
                    Err(error) => {
                        trouble = Err(format!("letter {}: {error}", replay.letter));
                        continue;
                    }
                },
                Err(refusal) => Some(refusal),
            };
            tracing::info!(letter = replay.letter, subject = replay.subject, refusal, "a replay");
            let settled = self.store.replayed(replay.act, refusal.as_deref()).await;
            settled.map_err(unavailable)?;
        }
        trouble
    }

    async fn publish(&self, subject: String, message: PublishMessage) -> Result<(), String> {
        let ack = self.jetstream.send_publish(subject, message).await.map_err(|e| e.to_string())?;
        ack.await.map(drop).map_err(|e| e.to_string())
    }
}

/// The message as it came, but for headers that spoke to the server, under an id that names the
/// letter. Or why it cannot be sent.
fn message(replay: &Replay) -> Result<(String, PublishMessage), String> {
    let by_hand = "publish it by hand, and discard this one";
    let subject = &replay.subject;
    let wrong = |c: char| c.is_whitespace() || c.is_control() || c == char::REPLACEMENT_CHARACTER;
    if subject.split('.').any(|token| token.is_empty() || matches!(token, "*" | ">"))
        || subject.contains(wrong)
    {
        return Err(format!("its subject cannot be published on: {by_hand}"));
    }
    let kept: BTreeMap<String, Vec<String>> = serde_json::from_str(&replay.headers)
        .map_err(|_| format!("its headers cannot be read: {by_hand}"))?;
    let mut headers = HeaderMap::new();
    for (name, values) in kept {
        if name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-")) {
            continue;
        }
        for value in values {
            let unsendable = || format!("its header `{name}` cannot be sent: {by_hand}");
            let name: HeaderName = name.parse().map_err(|_| unsendable())?;
            let value: HeaderValue = value.parse().map_err(|_| unsendable())?;
            headers.append(name, value);
        }
    }
    // The time, because a database made anew counts its letters from 1 again.
    let id = format!("letter:{}@{}", replay.letter, replay.kept_at.timestamp_micros());
    headers.insert(wire::NATS_MSG_ID, id);
    let message = PublishMessage::build().headers(headers).payload(replay.body.clone());
    Ok((subject.clone(), message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(subject: &str, headers: &str) -> Replay {
        Replay {
            act: 1,
            letter: 7,
            kept_at: amends::machine::Time::from_timestamp_micros(5).unwrap_or_default(),
            subject: subject.into(),
            headers: headers.into(),
            body: "{}".into(),
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_a_reason() {
        assert!(message(&replay("orders.placed", r#"{"traceparent":["x"]}"#)).is_ok());
        for (subject, headers, words) in [
            ("orders\u{fffd}", "{}", "subject"),
            ("orders.>", "{}", "subject"),
            ("orders..placed", "{}", "subject"),
            ("", "{}", "subject"),
            ("orders.placed", r#"{"raw":["NATS/1.0\r\nx: y"]}"#, "`raw`"),
            ("orders.placed", r#"{"a b":["x"]}"#, "`a b`"),
            ("orders.placed", "[]", "headers"),
        ] {
            let refusal = message(&replay(subject, headers)).err().unwrap_or_default();
            assert!(refusal.contains(words), "{subject:?} {headers}: {refusal:?}");
        }
    }
}
