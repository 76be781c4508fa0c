//! What lies unread for one service.

use std::time::Duration;

use async_nats::jetstream::consumer;
use tokio::time::Instant;

/// How old a look may be for which a command is withheld, because the share lies unread.
const FULL_KNOWN: Duration = Duration::from_millis(250);

/// The same, because nothing is read.
const STILL_KNOWN: Duration = Duration::from_secs(2);

/// A service that was seen to read nothing for so long, with commands waiting and without asking for any,
/// is taken for one that is not there.
const STILL: Duration = Duration::from_secs(1);

/// Weight of one command in the mean: enough of the last ones, of each operation, for their mix.
const WEIGHT: f64 = 1.0 / 256.0;

/// What a command is taken to be while none was seen.
const MEAN: f64 = 1024.0;

/// What is to become of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    Send,
    Withhold,
    /// What is known is too old.
    Look,
}

/// What lies unread for one service, as far as is known.
pub(super) struct Unread {
    service: String,
    bytes: u64,
    /// Of a command, of those that were sent of late.
    mean: Option<f64>,
    seen: Option<Seen>,
    /// Whether it was said that its share is used up.
    full: bool,
    /// Whether it was said that it reads nothing.
    still: bool,
}

/// What a look saw.
struct Seen {
    at: Instant,
    bytes: u64,
    /// Commands wait, and nobody asks for them.
    waits: bool,
    delivered: u64,
    /// Since then no more was delivered.
    since: Instant,
}

impl Seen {
    fn reads_nothing(&self) -> bool {
        self.waits && self.at - self.since >= STILL
    }
}

impl Unread {
    pub(super) fn new(service: &str) -> Self {
        metrics::gauge!("amends_service_share_full", "service" => service.to_owned()).set(0.0);
        let service = service.to_owned();
        Self { service, bytes: 0, mean: None, seen: None, full: false, still: false }
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn known_since(&self, then: Instant) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.at >= then)
    }

    fn known_within(&self, age: Duration, now: Instant) -> Option<&Seen> {
        self.seen.as_ref().filter(|seen| now - seen.at <= age)
    }

    /// What is to become of a command of so many bytes. With `looked` there was a look just now, if one
    /// could be had.
    pub(super) fn judge(
        &mut self,
        bytes: u64,
        attempt: u32,
        share: u64,
        now: Instant,
        looked: bool,
    ) -> Judgement {
        if self.bytes + bytes > share {
            // What was sent since may have been read; what was there is too much to be read meanwhile.
            let much = |seen: &Seen| looked || seen.bytes > share / 2;
            if self.known_within(FULL_KNOWN, now).is_some_and(much) {
                self.say_full(true);
                return self.withhold();
            }
            if !looked {
                return Judgement::Look;
            }
        }
        if attempt > 1 {
            match self.known_within(STILL_KNOWN, now) {
                Some(seen) if seen.reads_nothing() => {
                    self.say_still();
                    return self.withhold();
                }
                None if !looked => return Judgement::Look,
                _ => {}
            }
        }
        self.bytes += bytes;
        let mean = self.mean.unwrap_or(bytes as f64);
        self.mean = Some(mean + (bytes as f64 - mean) * WEIGHT);
        Judgement::Send
    }

    fn withhold(&self) -> Judgement {
        let service = self.service.clone();
        metrics::counter!("amends_commands_withheld_total", "service" => service).increment(1);
        Judgement::Withhold
    }

    /// Takes in what the server says. `mean` is that of all services.
    pub(super) fn look(
        &mut self,
        info: &consumer::Info,
        mean: Option<u64>,
        share: u64,
        now: Instant,
    ) {
        let commands = info.num_pending + info.num_ack_pending as u64;
        self.mean = self.mean.or(mean.map(|mean| mean as f64));
        self.bytes = (commands as f64 * self.mean.unwrap_or(MEAN)) as u64;
        let delivered = info.delivered.consumer_sequence;
        let before = self.seen.as_ref().filter(|seen| seen.delivered == delivered);
        let since = before.map_or(now, |seen| seen.since);
        let waits = info.num_pending > 0 && info.num_waiting == 0;
        self.seen = Some(Seen { at: now, bytes: self.bytes, waits, delivered, since });
        // Not at once when it is below: else each command that is read would be told.
        if self.bytes < share / 4 * 3 {
            self.say_full(false);
        }
        if self.still && !waits {
            self.still = false;
            tracing::info!(service = self.service, "the service reads its commands again");
        }
    }

    fn say_full(&mut self, full: bool) {
        if self.full == full {
            return;
        }
        self.full = full;
        let service = self.service.as_str();
        metrics::gauge!("amends_service_share_full", "service" => service.to_owned())
            .set(if full { 1.0 } else { 0.0 });
        if full {
            tracing::warn!(
                service,
                bytes = self.bytes,
                "the service's share of the stream of commands lies unread: more is withheld until it reads"
            );
        } else {
            tracing::info!(service, bytes = self.bytes, "the service's share has room again");
        }
    }

    fn say_still(&mut self) {
        if !std::mem::replace(&mut self.still, true) {
            let service = self.service.as_str();
            tracing::warn!(
                service,
                "the service reads nothing: commands are not sent again until it does"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: u64 = 100_000;

    /// What the server says: so many wait, so many are asked for, so many were delivered.
    fn info(pending: u64, waiting: u64, delivered: u64) -> consumer::Info {
        let sequence = serde_json::json!({"consumer_seq": delivered, "stream_seq": delivered});
        let info = serde_json::json!({
            "stream_name": "S", "name": "c", "created": "2026-01-01T00:00:00Z",
            "config": {"ack_policy": "explicit", "deliver_policy": "all"},
            "delivered": sequence, "ack_floor": sequence, "num_ack_pending": 0,
            "num_redelivered": 0, "num_waiting": waiting, "num_pending": pending,
        });
        serde_json::from_value(info).unwrap()
    }

    struct Clock(Instant);

    impl Clock {
        fn after(&mut self, ms: u64) -> Instant {
            self.0 += Duration::from_millis(ms);
            self.0
        }
    }

    fn start() -> (Unread, Clock) {
        (Unread::new("till"), Clock(Instant::now()))
    }

    #[tokio::test]
    async fn a_share_that_is_used_up_withholds_until_it_is_read() {
        let (mut till, mut clock) = start();
        for _ in 0..100 {
            assert_eq!(till.judge(1000, 1, SHARE, clock.after(1), false), Judgement::Send);
        }
        // As far as is known. It may have been read.
        assert_eq!(till.judge(1000, 1, SHARE, clock.after(1), false), Judgement::Look);
        till.look(&info(0, 1, 100), None, SHARE, clock.after(1));
        assert_eq!(till.judge(1000, 1, SHARE, clock.after(1), true), Judgement::Send);
        // It was not.
        till.look(&info(100, 0, 0), None, SHARE, clock.after(1));
        assert_eq!(till.judge(1000, 1, SHARE, clock.after(1), false), Judgement::Withhold);
        assert_eq!(till.judge(1000, 1, SHARE, clock.after(1), true), Judgement::Withhold);
        // What is known grows old.
        assert_eq!(till.judge(1000, 1, SHARE, clock.after(1000), false), Judgement::Look);
        till.look(&info(50, 1, 50), None, SHARE, clock.after(1));
        assert_eq!(till.judge(1000, 1, SHARE, clock.after(1), true), Judgement::Send);
    }

    /// A service that reads as fast as it is sent to is never held up, however small its share.
    #[tokio::test]
    async fn a_service_that_reads_has_its_share_again_and_again() {
        let (mut till, mut clock) = start();
        for n in 0..10_000 {
            let mut judgement = till.judge(1000, 1, SHARE, clock.after(0), false);
            if judgement == Judgement::Look {
                till.look(&info(0, 1, n), None, SHARE, clock.after(0));
                judgement = till.judge(1000, 1, SHARE, clock.after(0), true);
            }
            assert_eq!(judgement, Judgement::Send);
        }
    }

    #[tokio::test]
    async fn what_is_sent_again_waits_while_nothing_is_read() {
        let (mut till, mut clock) = start();
        assert_eq!(till.judge(1000, 2, SHARE, clock.after(0), false), Judgement::Look);
        // Nobody has seen it reading nothing yet.
        till.look(&info(5, 0, 7), None, SHARE, clock.after(0));
        assert_eq!(till.judge(1000, 2, SHARE, clock.after(0), true), Judgement::Send);
        till.look(&info(6, 0, 7), None, SHARE, clock.after(1000));
        assert_eq!(till.judge(1000, 2, SHARE, clock.after(0), true), Judgement::Withhold);
        // What is sent for the first time is not.
        assert_eq!(till.judge(1000, 1, SHARE, clock.after(0), false), Judgement::Send);
        assert_eq!(till.judge(1000, 2, SHARE, clock.after(2001), false), Judgement::Look);
        // Without an answer it is sent.
        assert_eq!(till.judge(1000, 2, SHARE, clock.after(0), true), Judgement::Send);
        // It reads, it asks, or nothing waits.
        for (pending, waiting, delivered) in [(6, 0, 8), (6, 1, 8), (0, 0, 8)] {
            till.look(&info(pending, waiting, delivered), None, SHARE, clock.after(1000));
            assert_eq!(till.judge(1000, 2, SHARE, clock.after(0), true), Judgement::Send);
        }
    }
}
