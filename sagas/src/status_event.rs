//! Changes of status, told to the world as CloudEvents
//! (<https://github.com/cloudevents/spec>, 1.0, structured mode).

use serde::Serialize;

use crate::{
    Json, Outline, SagaId,
    machine::{Fact, Failure, Status, Time},
    wire,
};

/// A change of a saga's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusChange {
    /// The fact that it followed from.
    pub seq: u32,
    /// When.
    pub at: Time,
    /// The new status.
    pub status: Status,
    /// Why the saga turned back, once it has; or why it is stuck.
    pub error: Option<Failure>,
    /// The saga's output.
    pub output: Option<Json>,
}

impl StatusChange {
    /// The change that followed from a fact, if one did; `earlier` are those of its saga before it. Why a saga
    /// turned back stands in the fact by which it did, and each change on its way back tells it.
    #[must_use]
    pub fn of(fact: &Fact, earlier: &[Self]) -> Option<Self> {
        let status = fact.next.status?;
        let turned = earlier.iter().filter(|_| is_back(status)).find_map(Self::turned_for);
        Some(Self {
            seq: fact.seq,
            at: fact.at,
            status,
            error: turned.or(fact.next.error.as_ref()).cloned(),
            output: fact.next.output.clone(),
        })
    }

    /// Why the saga turned back, if this is the change by which it did, or one after that.
    fn turned_for(&self) -> Option<&Failure> {
        self.error.as_ref().filter(|_| is_back(self.status))
    }
}

/// Whether a saga of this status may have turned back. One that is paused has if there is a reason.
const fn is_back(status: Status) -> bool {
    matches!(status, Status::Compensating | Status::Compensated | Status::Paused)
}

/// A CloudEvent to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusEvent {
    /// The saga.
    pub saga: SagaId,
    /// The fact that the change followed from.
    pub seq: u32,
    /// `amends.saga.<definition>.<status>`.
    pub subject: String,
    /// `<saga id>:<seq>`: the same each time the change is published; what a consumer dedups by.
    pub id: String,
    /// The event.
    pub body: String,
}

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    r#type: String,
    subject: String,
    time: Time,
    datacontenttype: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    saga: SagaId,
    definition: &'a str,
    version: u32,
    key: Option<&'a str>,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a Json>,
}

/// Tells a change. Type `amends.saga.<status>`, source `amends/<definition>`, subject the saga's id.
#[must_use]
pub fn status_event(
    saga: SagaId,
    outline: &Outline,
    key: Option<&str>,
    change: &StatusChange,
) -> StatusEvent {
    let id = format!("{saga}:{}", change.seq);
    let event = CloudEvent {
        specversion: "1.0",
        id: &id,
        source: format!("amends/{}", outline.name),
        r#type: format!("amends.saga.{}", change.status),
        subject: saga.to_string(),
        time: change.at,
        datacontenttype: "application/json",
        data: Data {
            saga,
            definition: &outline.name,
            version: outline.version,
            key,
            status: change.status,
            error: change.error.as_ref(),
            output: change.output.as_ref(),
        },
    };
    StatusEvent {
        saga,
        seq: change.seq,
        subject: wire::status_subject(&outline.name, change.status.as_str()),
        body: serde_json::to_string(&event).unwrap_or_default(),
        id,
    }
}
