//! From a command's message to its acknowledgement.

use std::{sync::Arc, time::Duration};

use amends::{TraceContext, wire::PROGRESS_EVERY};
use async_nats::{Client, Message};
use bytes::Bytes;
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::command::{Command, Malformed};
use crate::{
    Replies, Service,
    circuit_breaker::CircuitBreaker,
    database_gate::DatabaseGate,
    execution::{self, Answer, Outcome, SharedTransactions, Task},
    meter::{self, Meter},
    rate_limiter::RateLimiter,
};

/// How long a client without a connection may hold up what it is to send.
const SENT: Duration = Duration::from_secs(2);

pub(super) struct Courier {
    pub(super) service: Service,
    pub(super) client: Client,
    replies: Replies,
    pub(super) database_gate: Arc<DatabaseGate>,
    pub(super) circuit_breaker: CircuitBreaker,
    pub(super) rate_limiter: RateLimiter,
    /// One for each attempt in a transaction of its own: as many as the database has sessions, as those
    /// that wait for one count as an outage in the end.
    single_transactions: Semaphore,
    shared_transactions: Option<SharedTransactions>,
}

impl Courier {
    pub(super) fn new(
        service: Service,
        client: Client,
        replies: Replies,
        stop: &CancellationToken,
    ) -> Self {
        let (database, health) = (&service.database, service.health.clone());
        let gate = DatabaseGate::new(&service.name, database.clone(), health, stop.clone());
        let database_gate = Arc::new(gate);
        let start = |sharing| SharedTransactions::start(database, &database_gate, sharing);
        Self {
            replies,
            circuit_breaker: CircuitBreaker::new(
                &service.name,
                service.failures_to_open,
                service.health.clone(),
            ),
            rate_limiter: RateLimiter::new(service.per_second),
            single_transactions: Semaphore::new(database.connections()),
            shared_transactions: service.sharing.map(start),
            database_gate,
            client,
            service,
        }
    }

    /// Carries out a command. It is acknowledged after its reply is stored; without a reply it is
    /// left alone, to be delivered again.
    pub(super) async fn deliver(&self, message: Message) {
        let command = match Command::read(&message, &self.service.name) {
            Ok(command) => command,
            // Somebody has it sent here who may not: it stays where it is, for its own service.
            Err(error @ Malformed::Foreign) => {
                tracing::error!(service = self.service.name, subject = %message.subject, %error, "left a message alone");
                return meter::malformed(&self.service.name);
            }
            Err(error) => {
                // Nobody can be answered, and it would be no better the next time.
                tracing::error!(service = self.service.name, subject = %message.subject, %error, "dropped a message that is no command");
                meter::malformed(&self.service.name);
                return self.acknowledge(&message, Bytes::new()).await;
            }
        };
        let mut progress = tokio::time::interval(PROGRESS_EVERY);
        progress.tick().await;
        let mut work = std::pin::pin!(self.carry_out(command));
        let answered = loop {
            tokio::select! {
                biased;
                answered = &mut work => break answered,
                _ = progress.tick() => self.acknowledge(&message, Bytes::from_static(b"+WPI")).await,
            }
        };
        if answered {
            self.acknowledge(&message, Bytes::new()).await;
        }
    }

    /// Runs a command and sends its reply; whether that is stored.
    async fn carry_out(&self, command: Command) -> bool {
        let span = tracing::info_span!(
            "attempt",
            saga = %command.id.saga,
            step = %command.id.step,
            op = %command.id.op,
            attempt = command.id.attempt,
            trace_id = command.trace.as_ref().map(TraceContext::trace_id),
        );
        self.run_and_reply(command).instrument(span).await
    }

    async fn run_and_reply(&self, command: Command) -> bool {
        let meter = Meter::start(&self.service.name, &command.operation, command.id.op);
        let (id, trace) = (command.id.clone(), command.trace.clone());
        let Some(Answer { reply, outcome, reason }) = self.answer(command).await else {
            meter.unanswered();
            return false;
        };
        self.note(outcome, &reason);
        meter.answered(outcome);
        let tell = |stored: Result<(), &dyn std::error::Error>| {
            self.replies_are_stored(stored.err().map(ToString::to_string));
        };
        let sent = self.replies.send_and_tell(&id, trace.as_ref(), &reply, tell).await;
        if let Err(error) = &sent {
            tracing::warn!(%error, "the command is left to be delivered again");
        }
        sent.is_ok()
    }

    /// Shows in the health whether replies are stored, and why not.
    fn replies_are_stored(&self, error: Option<String>) {
        let why = error.map(|error| format!("its replies are not stored: {error}"));
        self.service.health.send_if_modified(|health| {
            let changed = health.replies.is_some() != why.is_some();
            if changed {
                health.replies = why;
            }
            changed
        });
    }

    fn note(&self, outcome: Outcome, reason: &str) {
        match outcome {
            Outcome::Ok | Outcome::Pending => {
                self.circuit_breaker.succeeded();
                tracing::debug!(outcome = outcome.as_str(), "attempt ended");
            }
            Outcome::Rejected => {
                self.circuit_breaker.succeeded();
                tracing::info!(outcome = outcome.as_str(), why = reason, "attempt ended");
            }
            Outcome::Retry => {
                self.circuit_breaker.failed(reason);
                tracing::info!(outcome = outcome.as_str(), why = reason, "attempt ended");
            }
            // The barrier answered, and no handler ran.
            Outcome::Replay | Outcome::Void => {
                tracing::debug!(outcome = outcome.as_str(), "attempt ended");
            }
        }
    }

    async fn answer(&self, command: Command) -> Option<Answer> {
        let name = &self.service.name;
        let Some(operation) = self.service.operations.get(command.operation.as_str()) else {
            // A newer version may know it: the step's own policy says for how long to hope.
            let message =
                format!("{name}.{} is not served by this version of {name}", command.operation);
            return Some(Answer::retry(message, None));
        };
        let task = Arc::new(Task {
            service: name.clone(),
            id: command.id,
            deadline: command.deadline,
            body: command.body,
            operation: Arc::clone(operation),
            hint: self.service.hint.clone(),
            span: tracing::Span::current(),
        });
        if let Some(shared) = &self.shared_transactions
            && let Some(answer) = shared.execute(Arc::clone(&task)).await
        {
            return Some(answer);
        }
        // It is never closed; without a permit there would only be no limit.
        let _permit = self.single_transactions.acquire().await.ok();
        let (database, gate) = (self.service.database.clone(), Arc::clone(&self.database_gate));
        execution::execute(database, gate, task).await
    }

    async fn acknowledge(&self, message: &Message, body: Bytes) {
        let Some(to) = message.reply.clone() else { return };
        // What is not sent is delivered again, and answered from the barrier.
        match timeout(SENT, self.client.publish(to, body)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "an acknowledgement was not sent"),
            Err(_) => tracing::debug!("an acknowledgement was not sent: no connection"),
        }
    }
}
