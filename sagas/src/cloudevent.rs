//! An event from outside is plain JSON or a CloudEvent (<https://github.com/cloudevents/spec>, 1.0,
//! NATS binding): in binary mode the body is the data; in structured mode the data is inside.

use crate::{
    HeaderError, Headers, Json, JsonError,
    headers::ContentType,
    members::{Members, has_all},
};

/// What every CloudEvent has.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// The version of the specification that is understood.
const VERSION: &str = "1.0";

const WHAT: &str = "the CloudEvent";

/// The data of an event's message: of a trigger, or of one that a step waits for.
///
/// | said by headers | the body |
/// |---|---|
/// | a content type `application/cloudevents+json` | is a CloudEvent in structured mode: `data` is the event |
/// | `ce-specversion` | is the event: binary mode |
/// | a content type of JSON, or none | is the event; or, when it holds all four required attributes, a CloudEvent as above |
///
/// ```
/// use amends::{Headers, event_data};
/// let plain = event_data(&Headers::default(), br#"{"order_id":"o-1"}"#)?;
///
/// let headers = [("Content-Type", "application/cloudevents+json")].into_iter().collect::<Headers>();
/// let structured = br#"{"specversion":"1.0","id":"1","source":"/shop","type":"placed",
///     "data":{"order_id":"o-1"}}"#;
/// assert_eq!(event_data(&headers, structured)?, plain);
/// # Ok::<(), amends::EventError>(())
/// ```
///
/// # Errors
/// [`EventError`]: with why no event can be read, and what to do.
pub fn event_data(headers: &Headers<'_>, body: &[u8]) -> Result<Json, EventError> {
    let declared = headers.content_type()?;
    match declared {
        Some(ContentType::CloudEvent) => return structured(&Json::parse(body)?),
        Some(ContentType::CloudEventBatch) => return Err(EventError::Batch),
        None | Some(ContentType::Json) => {}
        Some(other) => return Err(HeaderError::NotJson(other.to_string()).into()),
    }
    if is_binary(headers)? {
        return Ok(Json::parse(body)?);
    }
    let json = Json::parse(body)?;
    match Looks::like(&json) {
        Looks::Plain => Ok(json),
        Looks::CloudEvent => structured(&json),
        Looks::Batch => Err(EventError::Batch),
    }
}

/// Why a message holds no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// A header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The body.
    #[error(transparent)]
    Body(#[from] JsonError),
    /// A message is one event.
    #[error(
        "the message is a batch of CloudEvents: publish each event as a message of its own, as application/cloudevents+json"
    )]
    Batch,
    /// A CloudEvent that lacks something, or has something that is not understood.
    #[error("{0}")]
    Envelope(String),
}

/// Whether the headers are a CloudEvent's in binary mode.
fn is_binary(headers: &Headers<'_>) -> Result<bool, EventError> {
    let attribute = |name: &str| headers.get_in_any_case(&format!("ce-{name}"));
    let Some(version) = attribute("specversion")? else { return Ok(false) };
    check_version(version)?;
    for name in &REQUIRED[1..] {
        if attribute(name)?.is_none_or(str::is_empty) {
            let lacks = format!("{WHAT} in binary mode lacks the header ce-{name}");
            return Err(EventError::Envelope(lacks));
        }
    }
    if let Some(of_data) = attribute("datacontenttype")? {
        check_data_type(of_data)?;
    }
    Ok(true)
}

/// The data of a CloudEvent in structured mode.
fn structured(json: &Json) -> Result<Json, EventError> {
    let members = Members::of(WHAT, json.as_str())?;
    for name in REQUIRED {
        if members.text(name)?.is_none_or(|value| value.is_empty()) {
            return Err(EventError::Envelope(format!("{WHAT} lacks the attribute `{name}`")));
        }
    }
    check_version(&members.text("specversion")?.unwrap_or_default())?;
    if let Some(of_data) = members.text("datacontenttype")? {
        check_data_type(&of_data)?;
    }
    let wrong = |why: &str| Err(EventError::Envelope(format!("{WHAT} holds {why}")));
    match (members.raw("data"), members.has("data_base64")) {
        (Some(data), false) => Ok(Json::trusted(data)),
        (Some(_), true) => wrong("both data and data_base64: send data only"),
        (None, true) => wrong("data_base64: send the event as JSON in data"),
        (None, false) => wrong("no data"),
    }
}

fn check_version(version: &str) -> Result<(), EventError> {
    if version == VERSION {
        return Ok(());
    }
    let version: String = version.chars().take(40).collect();
    Err(EventError::Envelope(format!(
        "{WHAT} is of specversion `{version}`; only {VERSION} is understood"
    )))
}

fn check_data_type(text: &str) -> Result<(), EventError> {
    match ContentType::parse(text)? {
        ContentType::Json => Ok(()),
        other => Err(EventError::Envelope(format!(
            "the data of {WHAT} is {other}; only JSON is understood"
        ))),
    }
}

/// What a body looks like of which the headers say no more than that it is JSON.
enum Looks {
    Plain,
    CloudEvent,
    Batch,
}

impl Looks {
    fn like(json: &Json) -> Self {
        // Most events are no CloudEvents: a cheap look spares them a second parse.
        if !json.as_str().contains("\"specversion\"") {
            return Self::Plain;
        }
        if has_attributes(json.as_str()) {
            return Self::CloudEvent;
        }
        let elements: Vec<&serde_json::value::RawValue> =
            serde_json::from_str(json.as_str()).unwrap_or_default();
        let batch = !elements.is_empty() && elements.iter().all(|one| has_attributes(one.get()));
        if batch { Self::Batch } else { Self::Plain }
    }
}

/// Whether it names all that a CloudEvent needs, whatever else is wrong with it.
fn has_attributes(json: &str) -> bool {
    has_all(json, &REQUIRED)
}

#[cfg(test)]
mod tests;
