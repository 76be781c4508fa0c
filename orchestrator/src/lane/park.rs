//! Replies for sagas of a version that this program does not know.

use std::sync::Arc;

use amends::{
    AttemptId,
    machine::ReplyEvent,
    turn::{self, Input},
};

use super::{
    Incoming, Item,
    settle::{Lane, buried},
};
use crate::handover::Job;

impl Lane {
    /// Keeps replies in Postgres for a replica that knows their sagas' version. What cannot be kept
    /// now is not acked, and delivered again.
    pub(super) async fn park(&self, items: Vec<Item>) -> Vec<Job> {
        let (mut kept, mut jobs) = (Vec::new(), Vec::new());
        let (mut sagas, mut ids, mut bodies) = (vec![], vec![], vec![]);
        let (mut services, mut times) = (vec![], vec![]);
        for item in items {
            // Nothing else is parked; what is not acked is delivered again.
            let Incoming::Turn(turn::Item { saga, input: Input::Reply(reply, came) }) =
                &item.incoming
            else {
                continue;
            };
            let ReplyEvent { step, op, attempt, service, reply } = reply;
            let body = match reply.to_json() {
                Ok(body) => body,
                Err(error) => {
                    let reason = format!("the reply cannot be kept for another replica: {error}");
                    jobs.push(buried(item, &reason));
                    continue;
                }
            };
            let (step, op, attempt) = (Arc::clone(step), *op, *attempt);
            ids.push(AttemptId { saga: *saga, step, op, attempt }.to_string());
            sagas.push(saga.0);
            bodies.push(body.as_str().to_owned());
            services.push(service.clone());
            times.push(*came);
            kept.push(item);
        }
        if sagas.is_empty() {
            return jobs;
        }
        if let Err(error) = self.store.park(&sagas, &ids, &bodies, &services, &times).await {
            tracing::warn!(?error, "replies could not be kept; they will be delivered again");
            return jobs;
        }
        metrics::counter!("amends_replies_parked_total").increment(sagas.len() as u64);
        let ack = |item: Item| Job { publish: Vec::new(), bury: None, ack: item.delivery };
        jobs.extend(kept.into_iter().map(ack));
        jobs
    }
}
