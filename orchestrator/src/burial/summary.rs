//! What is said of dead letters: at once of the first, and then once a second of all that came since.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{letter::Letter, store::Buried};

/// Between two lines.
const PERIOD: Duration = Duration::from_secs(1);

/// Reasons that a line tells; the others are counted together.
const REASONS_MAX: usize = 5;

/// What is to be done about the next line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    Log,
    /// So much later, whoever asks until then.
    LogIn(Duration),
}

/// Letters that no line has told yet.
#[derive(Debug, Default)]
pub(super) struct Summary {
    last: Option<Instant>,
    /// Whether a task waits to log it.
    is_awaited: bool,
    /// By the reason without its details.
    reasons: BTreeMap<String, u64>,
    kept: u64,
    dropped: u64,
    example: Option<Example>,
}

#[derive(Debug)]
struct Example {
    source: String,
    subject: String,
    reason: String,
}

impl Summary {
    pub(super) fn add(&mut self, letter: &Letter, fate: Buried) {
        match fate {
            Buried::Kept => self.kept += 1,
            Buried::Dropped => self.dropped += 1,
        }
        let kind = letter.kind().reason;
        let told = self.reasons.len() < REASONS_MAX || self.reasons.contains_key(&kind);
        let kind = if told { kind } else { "others".to_owned() };
        *self.reasons.entry(kind).or_default() += 1;
        self.example.get_or_insert_with(|| Example {
            source: letter.source.clone(),
            subject: letter.subject.clone(),
            reason: letter.reason.clone(),
        });
    }

    /// What is to be done about the next line.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        if self.example.is_none() || self.is_awaited {
            return Next::Nothing;
        }
        let since = self.last.map(|last| now.saturating_duration_since(last));
        match since.map(|since| PERIOD.saturating_sub(since)) {
            None | Some(Duration::ZERO) => Next::Log,
            Some(wait) => {
                self.is_awaited = true;
                Next::LogIn(wait)
            }
        }
    }

    /// Logs what is not told yet.
    pub(super) fn log(&mut self, now: Instant) {
        self.is_awaited = false;
        let Some(Example { source, subject, reason }) = self.example.take() else { return };
        self.last = Some(now);
        let (kept, dropped) = (std::mem::take(&mut self.kept), std::mem::take(&mut self.dropped));
        let reasons = std::mem::take(&mut self.reasons);
        match (kept, dropped) {
            (1, 0) => tracing::warn!(source, subject, reason, "dead letter"),
            (_, 0) => tracing::warn!(kept, ?reasons, source, subject, reason, "dead letters"),
            _ => tracing::warn!(
                kept,
                dropped,
                ?reasons,
                source,
                subject,
                reason,
                "dead letters, and messages that are only counted, in amends.dropped_letters, because too many of their kind are open"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn letter(reason: &str) -> Letter {
        Letter {
            source: "s".into(),
            subject: "orders.placed".into(),
            reason: reason.into(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    #[test]
    fn the_first_is_told_at_once_and_others_once_a_second() {
        let (mut summary, began) = (Summary::default(), Instant::now());
        assert_eq!(summary.next(began), Next::Nothing);
        let (mut lines, mut due) = (Vec::new(), None);
        for n in 0..100_000_u64 {
            // Ten thousand a second.
            let now = began + Duration::from_micros(100 * n);
            if due.is_some_and(|due| due <= now) {
                summary.log(now);
                lines.push(n);
                due = None;
            }
            summary.add(&letter(&format!("not JSON: line {n}")), Buried::Dropped);
            match summary.next(now) {
                Next::Nothing => {}
                Next::Log => {
                    summary.log(now);
                    lines.push(n);
                }
                Next::LogIn(wait) => due = Some(now + wait),
            }
        }
        let seconds: Vec<_> = (0..10).map(|n| 10_000 * n).collect();
        assert_eq!(lines, seconds);
        assert!(due.is_some(), "the last ones are told too");
    }

    #[test]
    fn few_reasons_are_told() {
        let mut summary = Summary::default();
        for word in ["a", "b", "c", "d", "e", "f", "g", "f", "a"] {
            summary.add(&letter(word), Buried::Kept);
        }
        assert_eq!(summary.reasons.len(), REASONS_MAX + 1);
        assert_eq!(summary.reasons["a"], 2);
        assert_eq!(summary.reasons["others"], 3);
    }
}
