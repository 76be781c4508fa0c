//! From messages to events: parse once, here; what cannot be parsed becomes a dead letter.

use amends::{
    AttemptId, TraceParent, event_data,
    machine::{Event, ReplyEvent},
    wire::{self, Reply},
};

use crate::{
    bus::Delivery,
    lane::{Incoming, Item, Start},
    registry::Registry,
};

/// Reads a trigger of a definition.
pub(crate) fn trigger(registry: &Registry, definition: &str, delivery: Delivery) -> Item {
    let incoming = match read_trigger(registry, definition, &delivery) {
        Ok(start) => Incoming::Start(Box::new(start)),
        Err(reason) => Incoming::Dead(reason),
    };
    Item { saga: delivery.saga_id(definition), incoming, delivery: Some(delivery) }
}

fn read_trigger(
    registry: &Registry,
    definition: &str,
    delivery: &Delivery,
) -> Result<Start, String> {
    let definition = registry
        .newest()
        .find(|d| d.outline().name == definition)
        .ok_or_else(|| format!("the definition `{definition}` is not known"))?;
    let content_type = delivery.header("Content-Type").or_else(|| delivery.header("content-type"));
    let input = event_data(content_type, &delivery.body).map_err(|e| e.to_string())?;
    let key = definition.admit(&input).map_err(|e| e.to_string())?.key;
    let trace = delivery.header(wire::TRACEPARENT).and_then(|t| t.parse::<TraceParent>().ok());
    Ok(Start { definition: std::sync::Arc::clone(definition), key, input, trace })
}

/// Reads a reply.
pub(crate) fn reply(delivery: Delivery) -> Item {
    match read_reply(&delivery) {
        Ok((id, event)) => Item {
            saga: id,
            incoming: Incoming::Event(Event::Reply(event)),
            delivery: Some(delivery),
        },
        Err(reason) => Item {
            saga: delivery.saga_id(""),
            incoming: Incoming::Dead(reason),
            delivery: Some(delivery),
        },
    }
}

fn read_reply(delivery: &Delivery) -> Result<(amends::SagaId, ReplyEvent), String> {
    let service = wire::service_of_reply(&delivery.subject)
        .ok_or_else(|| "the subject is not amends.reply.<service>".to_owned())?;
    let id = delivery
        .header(wire::AMENDS_ID)
        .ok_or_else(|| format!("the reply has no header {}", wire::AMENDS_ID))?;
    let id: AttemptId = id.parse().map_err(|e| format!("header {}: {e}", wire::AMENDS_ID))?;
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
