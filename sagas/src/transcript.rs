//! A saga told to people: one line for each thing that happened or followed, with the time since
//! its start.

use std::fmt::{self, Write as _};

use crate::{
    Json, Op, Outline, Record, SagaId, SendRecord, Task,
    machine::{Kind, Status, Time},
};

pub use crate::printable::printable;

/// Longest payload shown on a line, in characters; more is cut with `…`.
const PAYLOAD_CHARS_MAX: usize = 120;

/// What a transcript tells.
#[derive(Debug, Clone)]
pub struct Transcript<'a> {
    /// The saga.
    pub id: SagaId,
    /// Its definition.
    pub definition: &'a str,
    /// The definition's version.
    pub version: u32,
    /// Its business key.
    pub key: Option<&'a str>,
    /// Its status now.
    pub status: Status,
    /// The trigger's body, where it may be shown.
    pub input: Option<&'a Json>,
    /// All facts, in order.
    pub facts: &'a [Record],
    /// The definition's plan, which tells calls from waits.
    pub outline: Option<&'a Outline>,
}

impl fmt::Display for Transcript<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.map_or_else(String::new, |key| format!("  key {}", printable(key)));
        writeln!(
            f,
            "saga {}  {}@{}{key}  {}",
            self.id, self.definition, self.version, self.status
        )?;
        let Some(first) = self.facts.first() else { return Ok(()) };
        writeln!(f, "seconds since {}", date(first.at))?;
        let width = self.facts.iter().flat_map(names).map(str::len).max().unwrap_or(0);
        let mut teller = Teller {
            f,
            start: first.at,
            width,
            in_effect: Vec::new(),
            left_out: Vec::new(),
            cause: None,
            outline: self.outline,
        };
        for fact in self.facts {
            teller.fact(fact, self.input)?;
        }
        Ok(())
    }
}

fn names(fact: &Record) -> impl Iterator<Item = &str> {
    fact.step.iter().map(String::as_str).chain(fact.next.sends.iter().map(|s| s.step.as_str()))
}

struct Teller<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    start: Time,
    width: usize,
    /// The steps whose effects stand, or may stand.
    in_effect: Vec<&'a str>,
    /// The steps that an operator went on without.
    left_out: Vec<&'a str>,
    /// Why it turned back, once it has.
    cause: Option<String>,
    outline: Option<&'a Outline>,
}

/// What stands in the step's column of a line about the saga itself.
const SAGA: &str = "saga";

/// The verb of what a person did.
const OPERATOR: &str = "OPERATOR";

impl<'a> Teller<'a, '_> {
    fn line(&mut self, at: Time, verb: &str, step: &str, rest: &str) -> fmt::Result {
        let seconds = (at - self.start).num_milliseconds().max(0);
        let width = self.width;
        let line = format!(
            "{:>6}.{:03}  {verb:<14}  {step:<width$}  {rest}",
            seconds / 1000,
            seconds % 1000
        );
        writeln!(self.f, "{}", line.trim_end())
    }

    fn fact(&mut self, fact: &'a Record, input: Option<&Json>) -> fmt::Result {
        let undo = fact.op == Some(Op::Compensation);
        let (verb, rest) = match fact.kind {
            Kind::Started => ("started", input.map_or_else(String::new, short)),
            Kind::Done if undo => ("undone", String::new()),
            Kind::Done => ("done", payload(fact)),
            Kind::Rejected if undo => ("undo refused", reason(fact)),
            Kind::Rejected => ("rejected", reason(fact)),
            Kind::Broke if undo => ("undo broke", broken(fact)),
            Kind::Broke => ("broke", broken(fact)),
            Kind::TimedOut if self.only_waits(fact) => ("timed out", reason(fact)),
            Kind::TimedOut if undo => ("undo timed out", broken(fact)),
            Kind::TimedOut => ("timed out", broken(fact)),
            Kind::Pending if undo => ("undo accepted", accepted(fact)),
            Kind::Pending => ("accepted", accepted(fact)),
            Kind::Resumed => ("delay over", String::new()),
            Kind::Late => ("done late", format!("{}, after it was given up", payload(fact))),
            Kind::Retried => (OPERATOR, signed(fact, "has what waits tried again")),
            Kind::Skipped if undo => (OPERATOR, signed(fact, "leaves it as it is, not undone")),
            Kind::Skipped if fact.step.is_none() => {
                (OPERATOR, signed(fact, "has it complete without an output"))
            }
            Kind::Skipped => (OPERATOR, signed(fact, "goes on without it")),
            Kind::Resolved if undo => (OPERATOR, signed(fact, "says how undoing it ended")),
            Kind::Resolved if fact.step.is_none() => (OPERATOR, signed(fact, "gives its output")),
            Kind::Resolved => (OPERATOR, signed(fact, "says how it ended")),
            Kind::Cancelled => (OPERATOR, signed(fact, "cancels it")),
            Kind::Paused => (OPERATOR, signed(fact, "pauses it")),
            Kind::Unpaused => (OPERATOR, signed(fact, "resumes it")),
            Kind::Unlocked => (OPERATOR, signed(fact, "takes a lock from it")),
            // What becomes of it is told.
            Kind::Asked => return Ok(()),
            Kind::Expanded => ("for each", elements(fact)),
            Kind::Omitted => ("skipped", "its condition does not hold".to_owned()),
            Kind::Granted => ("granted", "it has its locks".to_owned()),
            Kind::Deadline if fact.detail.is_none() => ("deadline", "it has passed".to_owned()),
            Kind::Deadline => ("DEADLINE", format!("it has passed: {}", reason(fact))),
            Kind::UndoAsked => ("to be undone", reason(fact)),
            Kind::Unmappable if fact.step.is_none() => ("no output", reason(fact)),
            Kind::Unmappable => ("no input", reason(fact)),
        };
        if fact.kind != Kind::Resumed {
            self.line(fact.at, verb, fact.step.as_deref().unwrap_or(SAGA), &rest)?;
        }
        self.note(fact, undo);
        if let Some(status) = fact.next.status {
            self.status(fact, status)?;
        }
        fact.next.sends.iter().try_for_each(|send| self.send(fact.at, send))
    }

    /// Keeps the list of what is in effect.
    fn note(&mut self, fact: &'a Record, undo: bool) {
        let Some(step) = fact.step.as_deref() else { return };
        match fact.kind {
            Kind::Skipped if !undo => self.left_out.push(step),
            Kind::Done if undo => self.in_effect.retain(|other| *other != step),
            Kind::Rejected if !undo => self.in_effect.retain(|other| *other != step),
            Kind::Done | Kind::Late => self.takes_effect(step),
            Kind::Broke | Kind::TimedOut | Kind::Pending if fact.next.due.is_none() => {
                self.takes_effect(step);
            }
            _ => {}
        }
    }

    fn takes_effect(&mut self, step: &'a str) {
        let waits = self.task(step).is_some_and(|task| !task.has_effect());
        if !waits && !self.in_effect.contains(&step) {
            self.in_effect.push(step);
        }
    }

    fn send(&mut self, at: Time, send: &'a SendRecord) -> fmt::Result {
        let undo = send.op == Op::Compensation;
        if undo {
            self.takes_effect(&send.step);
        }
        let mut rest = String::new();
        if send.attempt > 1 {
            write!(rest, "attempt {}", send.attempt)?;
        }
        let verb = match self.task(&send.step) {
            _ if undo => "undo asked",
            Some(Task::Event { subject }) => {
                let comma = if rest.is_empty() { "" } else { ", " };
                let key = send.input.as_ref().map_or_else(String::new, short);
                write!(rest, "{comma}for {subject} {key}")?;
                "waits"
            }
            Some(Task::Delay { .. } | Task::Until) => {
                rest = send.due.map_or_else(String::new, |due| format!("until {}", date(due)));
                "waits"
            }
            Some(Task::Saga { definition, .. }) => {
                let comma = if rest.is_empty() { "" } else { ", " };
                write!(rest, "{comma}as a saga {definition}")?;
                "begun"
            }
            _ => "asked",
        };
        self.line(at, verb, &send.step, &rest)
    }

    fn only_waits(&self, fact: &Record) -> bool {
        fact.step.as_deref().and_then(|s| self.task(s)).is_some_and(|task| !task.has_effect())
    }

    fn task(&self, step: &str) -> Option<&'a Task> {
        let outline = self.outline?;
        Some(&outline.steps[outline.position(step)?].task)
    }

    fn status(&mut self, fact: &Record, status: Status) -> fmt::Result {
        let held = status == Status::Paused && fact.next.error.is_some();
        let turns = held || matches!(status, Status::Compensating | Status::Compensated);
        let again = self.cause.is_some();
        if turns && !again {
            self.cause = Some(because(fact));
        }
        let cause = self.cause.as_deref().unwrap_or_default();
        let (verb, rest) = match status {
            Status::Compensating if fact.kind == Kind::Late => {
                ("undoing", "what was done late".to_owned())
            }
            Status::Compensating if again => ("undoing", "the rest".to_owned()),
            Status::Compensating => ("turning back", cause.to_owned()),
            Status::Stuck => ("STUCK", format!("{}; an operator must act", because(fact))),
            Status::Completed => {
                ("completed", fact.next.output.as_ref().map_or_else(String::new, short))
            }
            Status::Compensated if !self.in_effect.is_empty() => {
                let left = self.in_effect.join(", ");
                ("compensated", format!("all is undone but {left}; {cause}"))
            }
            Status::Compensated if again => ("compensated", format!("all is undone; {cause}")),
            Status::Compensated => ("compensated", format!("nothing was to undo; {cause}")),
            Status::Running => ("going on", String::new()),
            Status::Paused if held => ("turning back", format!("once it is resumed, {cause}")),
            Status::Paused => ("paused", "nothing is sent; replies are recorded".to_owned()),
            Status::Queued => ("queued", "it waits for its locks".to_owned()),
        };
        self.line(fact.at, verb, SAGA, &rest)?;
        if status == Status::Stuck && !self.in_effect.is_empty() {
            self.line(fact.at, "in effect", SAGA, &self.in_effect.join(", "))?;
        }
        if status == Status::Completed && !self.left_out.is_empty() {
            self.line(fact.at, "left out", SAGA, &self.left_out.join(", "))?;
        }
        Ok(())
    }
}

/// How many elements a list has.
fn elements(fact: &Record) -> String {
    let inputs: Option<Vec<Json>> = fact.detail.as_ref().and_then(|inputs| inputs.read().ok());
    match inputs.map_or(0, |inputs| inputs.len()) {
        1 => "1 element".to_owned(),
        n => format!("{n} elements"),
    }
}

/// The cause, with the code as far as it says more than the message.
fn because(fact: &Record) -> String {
    let Some(e) = &fact.next.error else { return "no reason was recorded".to_owned() };
    let saga_itself = match e.code.as_str() {
        "cancelled" => Some(format!("because it was cancelled: {}", e.message)),
        "deadline" | "undone" => Some(format!("because {}", e.message)),
        _ => None,
    };
    if let (Some(cause), true) = (saga_itself, e.step.is_empty()) {
        return printable(&cause);
    }
    let step = if e.step.is_empty() { "the saga's output" } else { &e.step };
    let code = match e.code.as_str() {
        "unknown" => "outcome unknown",
        "given_up" | "unmappable" | "late" | "timed_out" => "",
        code => code,
    };
    let parts = [step, code, &e.message].into_iter().filter(|part| !part.is_empty());
    printable(&format!("because of {}", parts.collect::<Vec<_>>().join(": ")))
}

fn payload(fact: &Record) -> String {
    fact.detail.as_ref().map_or_else(String::new, short)
}

fn reason(fact: &Record) -> String {
    // Where the kind says it, the code says no more.
    let told = matches!(fact.kind, Kind::Unmappable | Kind::TimedOut);
    let code = if told { String::new() } else { field(fact, "code") };
    let parts = [code, field(fact, "message")].into_iter().filter(|part| !part.is_empty());
    printable(&parts.collect::<Vec<_>>().join(": "))
}

/// Who did it, and why.
fn signed(fact: &Record, deed: &str) -> String {
    printable(&format!("{} {deed}: {}", field(fact, "by"), field(fact, "reason")))
}

fn field(fact: &Record, name: &str) -> String {
    let object: Option<serde_json::Map<String, serde_json::Value>> =
        fact.detail.as_ref().and_then(|d| d.read().ok());
    let text = object.as_ref().and_then(|o| o.get(name)).and_then(|v| v.as_str());
    text.unwrap_or("").to_owned()
}

fn broken(fact: &Record) -> String {
    let then = match fact.next.due {
        Some(due) => {
            let ms = (due - fact.at).num_milliseconds().max(0);
            format!("again in {}.{:03} s", ms / 1000, ms % 1000)
        }
        None if fact.op == Some(Op::Compensation) => "given up".to_owned(),
        None => "given up, nobody knows whether it took effect".to_owned(),
    };
    format!("attempt {}: {}; {then}", fact.attempt, reason(fact))
}

fn accepted(fact: &Record) -> String {
    match fact.next.due {
        Some(due) => format!("the real reply may take until {}", date(due)),
        None => "too late, the saga has turned back".to_owned(),
    }
}

fn date(time: Time) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn short(json: &Json) -> String {
    let text = json.as_str();
    match text.char_indices().nth(PAYLOAD_CHARS_MAX) {
        Some((end, _)) => printable(&format!("{}…", &text[..end])),
        None => printable(text),
    }
}
