//! What reads what others have written, and what holds of it whatever they wrote. Each target is fuzzed
//! (`fuzz_targets/`), and has a corpus that the suite replays.

use std::sync::LazyLock;

use amends::{
    AttemptId, Definition, Headers, Json, Op, SagaId, TraceContext, TraceParent, check_name,
    check_operation, check_step, check_subject, event_data,
    machine::{Kind, Status},
    mermaid, read_outline, svg,
    wire::{self, Reply, Undo},
};
use amends_postgres::Address;

/// A target's name, and what reads.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const ALL: [Target; 14] = [
    ("address", address),
    ("attempt_id", attempt_id),
    ("awaited", awaited),
    ("event", event),
    ("json", json),
    ("names", names),
    ("outline", outline),
    ("reply", reply),
    ("saga_id", saga_id),
    ("status", status),
    ("subjects", subjects),
    ("trace", trace),
    ("trigger", trigger),
    ("undo", undo),
];

/// Runs the target of a name.
pub(crate) fn run(name: &str, data: &[u8]) {
    let target = ALL.iter().find(|(known, _)| *known == name);
    let (_, target) = target.unwrap_or_else(|| panic!("there is no target {name}"));
    target(data);
}

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// The URL of a database: what is printed of it has no password.
fn address(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(address) = text.parse::<Address>() {
        let authority = text.split_once("://").and_then(|(_, rest)| rest.split('/').next());
        let login = authority.and_then(|authority| authority.rsplit_once('@'));
        let password = login.and_then(|(login, _)| login.split_once(':'));
        // One that the rest of the address does not hold.
        let alone = |password: &&str| password.len() > 12 && text.matches(*password).count() == 1;
        if let Some(password) = password.map(|(_, password)| password).filter(alone) {
            assert!(!format!("{address:?}").contains(password));
        }
    }
}

/// `Amends-Id`: one text for each attempt.
fn attempt_id(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(id) = text.parse::<AttemptId>() {
        assert_eq!(id.to_string(), text);
        assert!(check_step(&id.step).is_ok());
    }
}

static TRIP: LazyLock<Definition> = LazyLock::new(definition::<trip::BookTrip>);
static ORDER: LazyLock<Definition> = LazyLock::new(definition::<order::PlaceOrder>);

fn definition<S: amends::Saga>() -> Definition {
    Definition::of::<S>().unwrap_or_else(|error| panic!("{error}"))
}

/// An event that a step waits for.
fn awaited(data: &[u8]) {
    let Ok(json) = Json::parse(data) else { return };
    let steps = 0..TRIP.outline().steps.len();
    let keys = steps.filter_map(|step| TRIP.matches(step, &json).ok());
    keys.for_each(|key| assert!(!key.is_empty() && key.len() <= 256));
}

/// A message with headers, a line each, then an empty line and the body: plain or a CloudEvent.
fn event(data: &[u8]) {
    let at = data.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = at.map_or((&b""[..], data), |at| (&data[..at], &data[at + 2..]));
    let Some(head) = text(head) else { return };
    let headers: Headers<'_> = head.lines().filter_map(|line| line.split_once(": ")).collect();
    let _ = TraceContext::of(&headers);
    let _ = headers.expect_json();
    if let Ok(data) = event_data(&headers, body) {
        assert_json(&data);
    }
}

#[track_caller]
fn assert_json(json: &Json) {
    let again = Json::parse(json.as_str().as_bytes());
    assert_eq!(again.as_ref(), Ok(json), "what is accepted is accepted again");
    assert!(!json.as_str().contains('\0'));
    assert!(serde_json::from_str::<serde_json::Value>(json.as_str()).is_ok());
}

/// A payload: within its limits, and passed on as it came.
fn json(data: &[u8]) {
    if let Ok(json) = Json::parse(data) {
        assert!(data.len() <= amends::PAYLOAD_BYTES_MAX);
        assert_eq!(json.as_str().as_bytes(), data.trim_ascii());
        assert_json(&json);
    }
}

/// Names: none reaches beyond its part of a subject.
fn names(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let is_of = |more: &str| {
        text.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || more.contains(char::from(b)))
    };
    assert!(check_name("service", text).is_err() || is_of("_-"));
    assert!(check_operation(text).is_err() || is_of("_-."));
    assert!(check_step(text).is_err() || is_of("_-."));
}

/// A plan from the database: what is drawn of it is not much larger than it is itself.
fn outline(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(outline) = read_outline(text) {
        let pictures = mermaid(&outline).len() + svg(&outline).len();
        assert!(
            pictures < 16_384 + 64 * text.len(),
            "{pictures} bytes are drawn of {}",
            text.len()
        );
        assert_eq!(outline.digest().len(), 32);
    }
}

/// A reply: what is accepted is the same when it is written again.
fn reply(data: &[u8]) {
    if let Ok(reply) = Reply::parse(data)
        && let Ok(json) = reply.to_json()
    {
        assert_eq!(Reply::parse(json.as_str().as_bytes()), Ok(reply));
    }
}

fn saga_id(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(id) = text.parse::<SagaId>() {
        assert_eq!(id.to_string().parse::<SagaId>(), Ok(id));
    }
}

/// The words of states.
fn status(data: &[u8]) {
    let Some(text) = text(data) else { return };
    for known in [
        text.parse::<Status>().map(|known| known.to_string()).ok(),
        text.parse::<Kind>().map(|known| known.as_str().to_owned()).ok(),
        text.parse::<Op>().map(|known| known.to_string()).ok(),
    ] {
        assert!(known.is_none_or(|known| known == text));
    }
}

/// Subjects: of events, of commands, of replies.
fn subjects(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if check_subject(text).is_ok() {
        assert!(!text.contains(['*', '>', ' ', '\t', '\r', '\n']) && !text.starts_with("amends."));
    }
    if let Some((service, operation)) = wire::operation_of_command(text) {
        assert_eq!(wire::command_subject(service, operation), text);
    }
    if let Some(service) = wire::service_of_reply(text) {
        assert_eq!(wire::reply_subject(service), text);
    }
}

/// W3C trace context: `traceparent`, a space, `tracestate`.
fn trace(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(parent) = text.parse::<TraceParent>() {
        assert_eq!(parent.to_string().parse::<TraceParent>(), Ok(parent));
    }
    if let Ok(context) = text.parse::<TraceContext>() {
        assert_eq!(context.to_string().parse::<TraceContext>(), Ok(context));
    }
}

/// The input of a saga, with its key and its locks.
fn trigger(data: &[u8]) {
    let Ok(json) = Json::parse(data) else { return };
    for definition in [&*ORDER, &*TRIP] {
        if let Ok(admitted) = definition.admit(&json) {
            let key = admitted.key.as_deref().unwrap_or("-");
            assert!((1..=256).contains(&key.len()) && !key.contains('\0'));
            assert!(admitted.locks.len() <= 8);
        }
    }
}

/// The body of a compensation's command.
fn undo(data: &[u8]) {
    let Ok(json) = Json::parse(data) else { return };
    if let Ok(undo) = json.read::<Undo<Json, Json>>() {
        let body = wire::command_body(Op::Compensation, &undo.input, undo.output.as_ref());
        if let Ok(again) = Json::parse(body.as_bytes()).map(|json| json.read::<Undo<Json, Json>>())
        {
            assert!(again.is_ok_and(|again| again.input == undo.input));
        }
    }
}
