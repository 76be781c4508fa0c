//! Metrics of attempts.

use std::time::Instant;

use amends::Op;

use crate::execution::Outcome;

/// Counts an attempt that is running; gone when it is dropped.
pub(crate) struct Meter {
    service: String,
    operation: String,
    op: &'static str,
    started: Instant,
}

impl Meter {
    pub(crate) fn start(service: &str, operation: &str, op: Op) -> Self {
        metrics::gauge!("amends_worker_in_flight", "service" => service.to_owned()).increment(1);
        let (service, operation) = (service.to_owned(), operation.to_owned());
        Self { service, operation, op: op.as_str(), started: Instant::now() }
    }

    pub(crate) fn answered(self, outcome: Outcome) {
        self.end(outcome.as_str());
    }

    /// The service stopped before there was an answer.
    pub(crate) fn unanswered(self) {
        self.end("unanswered");
    }

    fn end(self, outcome: &'static str) {
        let labels = [
            ("service", self.service.clone()),
            ("operation", self.operation.clone()),
            ("op", self.op.to_owned()),
        ];
        metrics::histogram!("amends_worker_attempt_seconds", &labels)
            .record(self.started.elapsed());
        count(&self.service, &self.operation, self.op, outcome);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        metrics::gauge!("amends_worker_in_flight", "service" => self.service.clone()).decrement(1);
    }
}

/// Counts a message that is no command of this service.
pub(crate) fn malformed(service: &str) {
    count(service, "", "", "malformed");
}

fn count(service: &str, operation: &str, op: &'static str, outcome: &'static str) {
    metrics::counter!(
        "amends_worker_attempts_total",
        "service" => service.to_owned(),
        "operation" => operation.to_owned(),
        "op" => op,
        "outcome" => outcome,
    )
    .increment(1);
}
