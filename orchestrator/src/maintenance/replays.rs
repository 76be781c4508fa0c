//! Replays of dead letters: each is published once more on its subject, with its headers, as if its
//! sender had published it now.

use std::{collections::BTreeMap, time::Duration};

use amends::wire;
use async_nats::{
    HeaderMap, HeaderName, HeaderValue,
    jetstream::{
        self,
        context::{PublishAckFuture, PublishError},
        message::PublishMessage,
    },
};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::store::{Replay, Store, StoreError};

/// Between two looks for replays that operators have noted.
const PERIOD: Duration = Duration::from_secs(1);

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
                () = tokio::time::sleep(PERIOD) => {}
                () = self.stop.cancelled() => return,
            }
            let error = self.round().await.err().map(|e| e.to_string()).unwrap_or_default();
            // Each error is logged once, not every second.
            if error != last && !error.is_empty() {
                tracing::warn!("dead letters are not replayed yet: {error}");
            }
            last = error;
        }
    }

    async fn round(&self) -> Result<(), ReplayError> {
        let replays = self.store.replays(ROUND_MAX).await.map_err(ReplayError::Store)?;
        let mut sent = Vec::with_capacity(replays.len());
        for replay in &replays {
            sent.push(self.send(replay).await);
        }
        // Side by side: one whose stream is gone does not hold up the others.
        let ends = join_all(sent.into_iter().map(ended)).await;
        let mut done = Ok(());
        for (replay, end) in replays.iter().zip(ends) {
            let refusal = match end {
                End::Stored => None,
                End::Impossible(why) => Some(why),
                End::NotYet(source) => {
                    done = Err(ReplayError::NotStored { letter: replay.letter, source });
                    continue;
                }
            };
            tracing::info!(letter = replay.letter, subject = replay.subject, refusal, "a replay");
            let settled = self.store.replayed(replay.act, refusal.as_deref()).await;
            settled.map_err(ReplayError::Store)?;
        }
        done
    }

    async fn send(&self, replay: &Replay) -> Result<PublishAckFuture, End> {
        let (subject, message) = message(replay).map_err(End::Impossible)?;
        let sent = self.jetstream.send_publish(subject, message).await;
        sent.map_err(End::NotYet)
    }
}

/// Why letters are not replayed yet.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error("{0:?}")]
    Store(StoreError),
    #[error("letter {letter}: {source}")]
    NotStored { letter: i64, source: PublishError },
}

/// How publishing a letter ended.
enum End {
    Stored,
    /// It cannot be published, whenever it is tried.
    Impossible(String),
    /// Its stream may come back.
    NotYet(PublishError),
}

async fn ended(sent: Result<PublishAckFuture, End>) -> End {
    match sent {
        Ok(ack) => ack.await.map_or_else(End::NotYet, |_| End::Stored),
        Err(end) => end,
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
