//! Whether a replica that stands by is to help.

use async_nats::jetstream::consumer;

/// So many messages that wait are more than a leader leaves lying when it keeps up: in less than a
/// second it takes as many.
const BACKLOG_MAX: u64 = 20_000;

/// Looks, of one a second, at which the oldest message that is not acked may be the same: longer than one
/// that nobody speaks for waits to be delivered again.
const STALLED_MAX: u32 = 4;

/// What a replica that stands by sees of a consumer.
pub(super) struct ConsumerState {
    waiting: u64,
    /// The message that was delivered last.
    last: u64,
    /// Up to here all is acked.
    acked: u64,
    /// At so many looks in a row it was no more, while something was not acked; else 0.
    stalled: u32,
}

impl ConsumerState {
    pub(super) fn at(info: &consumer::Info, before: Option<&Self>) -> Self {
        let acked = info.ack_floor.stream_sequence;
        let stands = before.filter(|before| info.num_ack_pending > 0 && before.acked == acked);
        Self {
            waiting: info.num_pending,
            last: info.delivered.stream_sequence,
            acked,
            stalled: stands.map_or(0, |before| before.stalled + 1),
        }
    }

    /// Whether the leader does not keep up, takes nothing, or does nothing with what it took: then that
    /// is to be had again.
    pub(super) fn needs_help(&self, before: Option<&Self>) -> bool {
        let still = before.is_some_and(|before| before.waiting > 0 && before.last == self.last);
        self.waiting >= BACKLOG_MAX || (self.waiting > 0 && still) || self.stalled > STALLED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(waiting: u64, last: u64, stalled: u32) -> ConsumerState {
        ConsumerState { waiting, last, acked: 0, stalled }
    }

    #[test]
    fn help_is_for_piles_and_for_what_nobody_takes() {
        let needs = |before: Option<(u64, u64)>, now: (u64, u64)| {
            let before = before.map(|(waiting, last)| state(waiting, last, 0));
            state(now.0, now.1, 0).needs_help(before.as_ref())
        };
        assert!(!needs(None, (0, 0)) && !needs(None, (BACKLOG_MAX - 1, 7)));
        assert!(needs(None, (BACKLOG_MAX, 7)));
        // The same message is the last that was delivered, and others wait: since two looks.
        assert!(needs(Some((1, 7)), (3, 7)));
        assert!(!needs(Some((1, 7)), (3, 8)) && !needs(Some((0, 7)), (3, 7)));
        assert!(!needs(Some((1, 7)), (0, 7)));
    }

    #[test]
    fn help_is_for_what_a_leader_took_and_does_not_ack() {
        assert!(!state(0, 7, STALLED_MAX).needs_help(None));
        assert!(state(0, 7, STALLED_MAX + 1).needs_help(None));
    }
}
