//! From messages to events: parse once, here; what cannot be parsed becomes a dead letter.

use std::sync::Arc;

use amends::{
    Admitted, AttemptId, Definition, TraceContext, event_data,
    machine::ReplyEvent,
    turn::{Input, Start},
    wire::{self, Reply},
};

use crate::{
    bus::Delivery,
    lane::{Incoming, Item},
    registry::Registry,
};

/// Reads a trigger of a definition.
pub(crate) fn trigger(registry: &Registry, definition: &str, delivery: Delivery) -> Item {
    let saga = delivery.saga_id(definition);
    let incoming = match registry.starting(definition) {
        Some(definition) => match read_trigger(definition, &delivery) {
            Ok(start) => return Item::new(saga, Input::Start(Box::new(start)), Some(delivery)),
            Err(reason) => Incoming::Dead(saga, reason),
        },
        // Every version that is known here is retired: it is left to whoever knows another.
        None => Incoming::Leave(saga),
    };
    Item::of(incoming, Some(delivery))
}

fn read_trigger(definition: &Arc<Definition>, delivery: &Delivery) -> Result<Start, String> {
    let headers = delivery.headers();
    let input = event_data(&headers, &delivery.body).map_err(|e| e.to_string())?;
    let Admitted { key, locks } = definition.admit(&input).map_err(|e| e.to_string())?;
    let trace = TraceContext::of(&headers);
    Ok(Start { definition: Arc::clone(definition), key, locks, input, trace })
}

/// Reads a reply.
pub(crate) fn reply(delivery: Delivery) -> Item {
    match read_reply(&delivery) {
        Ok((id, event)) => {
            let input = Input::Reply(event, delivery.stored_at());
            Item::new(id, input, Some(delivery))
        }
        Err(reason) => Item::of(Incoming::Dead(delivery.saga_id(""), reason), Some(delivery)),
    }
}

fn read_reply(delivery: &Delivery) -> Result<(amends::SagaId, ReplyEvent), String> {
    let service = wire::service_of_reply(&delivery.subject)
        .ok_or_else(|| "the subject is not amends.reply.<service>".to_owned())?;
    let headers = delivery.headers();
    let id = headers
        .get(wire::AMENDS_ID)
        .map_err(|e| e.to_string())?
        .ok_or_else(|| format!("the reply has no header {}", wire::AMENDS_ID))?;
    let id: AttemptId = id.parse().map_err(|e| format!("header {}: {e}", wire::AMENDS_ID))?;
    headers.expect_json().map_err(|e| e.to_string())?;
    let reply = Reply::parse(&delivery.body).map_err(|e| e.to_string())?;
    let event = ReplyEvent {
        step: id.step,
        op: id.op,
        attempt: id.attempt,
        service: service.to_owned(),
        reply,
    };
    Ok((id.saga, event))
}
