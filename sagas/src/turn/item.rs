//! The input of a batch, and the disposition on each item.

use std::sync::Arc;

use crate::{
    Admitted, Definition, Json, SagaId, StatusEvent, TraceContext,
    machine::{Command, ReplyEvent, Time},
    usable_key,
};

/// Something for a saga.
#[derive(Debug)]
pub struct Item {
    /// The saga.
    pub saga: SagaId,
    /// What it is.
    pub input: Input,
}

/// What may move a saga.
#[derive(Debug)]
pub enum Input {
    /// A trigger.
    Start(Box<Start>),
    /// A reply, and when its stream stored it: of time limits it meets those that had passed by then.
    Reply(ReplyEvent, Time),
    /// Its timer fired: its inbox is read, and then the time.
    Timer(Due),
}

/// A trigger that was read and admitted.
#[derive(Debug, Clone)]
pub struct Start {
    /// The definition that it starts.
    pub definition: Arc<Definition>,
    /// The business key.
    pub key: Option<String>,
    /// The locks that the saga takes.
    pub locks: Vec<String>,
    /// The trigger's body.
    pub input: Json,
    /// The trace that it belongs to.
    pub trace: Option<TraceContext>,
}

/// A start that was asked for in SQL.
#[derive(Debug, Clone)]
pub struct Request {
    /// The definition's name.
    pub definition: String,
    /// The business key that was asked for.
    pub key: Option<String>,
    /// The input as it was given.
    pub input: String,
    /// Nobody could start it for an hour.
    pub expired: bool,
}

impl Start {
    /// Checks a request like a trigger.
    ///
    /// # Errors
    /// Why it cannot start, for whoever asked.
    pub fn requested(definition: Arc<Definition>, request: Request) -> Result<Self, String> {
        let input = Json::parse(request.input.as_bytes()).map_err(|e| e.to_string())?;
        let Admitted { key, locks } = definition.admit(&input).map_err(|e| e.to_string())?;
        let key = match (key, request.key) {
            (Some(own), Some(asked)) if own != asked => {
                return Err(format!("the input's key is `{own}`, not `{asked}`"));
            }
            (None, Some(asked)) => Some(usable_key(asked).map_err(|e| e.to_string())?),
            (own, _) => own,
        };
        Ok(Self { definition, key, locks, input, trace: None })
    }
}

/// The saga that holds a business key; it may have been dropped since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHolder {
    /// The saga.
    pub id: SagaId,
    /// The digest of its input.
    pub digest: [u8; 16],
}

/// A timer that is due, under a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The saga.
    pub saga: SagaId,
    /// When it fires again, should whoever took it not come to it. The timer stands there until it is
    /// set again; at another value, somebody has moved it since.
    pub leased_until: Time,
    /// The database's clock.
    pub now: Time,
}

/// What becomes of an item, and of the message that it came in.
#[derive(Debug)]
pub enum Disposition {
    /// Publish these (perhaps none), then ack.
    Publish(Vec<Message>),
    /// Keep it as a dead letter with this reason, then ack.
    Bury(String),
    /// It contradicts a state at hand, which may be outdated: decide again on what is stored.
    Recheck,
    /// Keep the reply for a replica that knows the saga's version, then ack.
    Park,
    /// Leave it to another replica: no ack.
    Leave,
}

/// A message to publish, and the trace that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// An attempt is sent.
    Command(Command, Option<TraceContext>),
    /// A saga's status has changed.
    Status(StatusEvent, Option<TraceContext>),
}
