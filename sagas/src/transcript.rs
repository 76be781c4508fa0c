//! A saga told to people: one line for each thing that happened or followed, with the time since
//! its start.

use std::fmt::{self, Write as _};

use crate::{
    Json, Op, Record, SagaId, SendRecord,
    machine::{Kind, Status, Time},
};

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
    /// The trigger's body.
    pub input: &'a Json,
    /// All facts, in order.
    pub facts: &'a [Record],
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
        let width = self.facts.iter().flat_map(names).map(str::len).max().unwrap_or(0);
        let mut teller = Teller { f, start: first.at, width };
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
}

impl Teller<'_, '_> {
    fn line(&mut self, at: Time, verb: &str, step: &str, rest: &str) -> fmt::Result {
        let seconds = (at - self.start).num_milliseconds().max(0);
        let width = self.width;
        let line = format!(
            "{:>6}.{:03}  {verb:<16} {step:<width$}  {rest}",
            seconds / 1000,
            seconds % 1000
        );
        writeln!(self.f, "{}", line.trim_end())
    }

    fn fact(&mut self, fact: &Record, input: &Json) -> fmt::Result {
        let undo = fact.op == Some(Op::Compensation);
        let step = fact.step.as_deref().unwrap_or("");
        let (verb, rest) = match fact.kind {
            Kind::Started => ("started", short(input)),
            Kind::Done if undo => ("undone", String::new()),
            Kind::Done => ("done", payload(fact)),
            Kind::Rejected if undo => ("undo refused", reason(fact)),
            Kind::Rejected => ("rejected", reason(fact)),
            Kind::Broke => ("broke", broken(fact)),
            Kind::TimedOut => ("timed out", broken(fact)),
            Kind::Pending => ("accepted", format!("the reply may take until {}", until(fact))),
            Kind::Resumed => ("delay over", String::new()),
            Kind::Late => ("done late", format!("{}, after it was given up", payload(fact))),
            Kind::Unmappable => ("unmappable", reason(fact)),
        };
        if fact.kind != Kind::Resumed {
            self.line(fact.at, verb, step, &rest)?;
        }
        if let Some(status) = fact.next.status {
            self.status(fact, status)?;
        }
        fact.next.sends.iter().try_for_each(|send| self.send(fact.at, send))
    }

    fn send(&mut self, at: Time, send: &SendRecord) -> fmt::Result {
        let verb = if send.op == Op::Compensation { "undo asked" } else { "asked" };
        let mut rest = String::new();
        if send.attempt > 1 {
            write!(rest, "attempt {}", send.attempt)?;
        }
        self.line(at, verb, &send.step, &rest)
    }

    fn status(&mut self, fact: &Record, status: Status) -> fmt::Result {
        let why = fact.next.error.as_ref().map_or_else(String::new, |e| {
            let step = if e.step.is_empty() { "the saga's output" } else { &e.step };
            printable(&format!("{step}: {}: {}", e.code, e.message))
        });
        let (verb, rest) = match status {
            Status::Compensating => ("turning back", why),
            Status::Stuck => ("STUCK", format!("{why}; an operator must look")),
            Status::Completed => {
                ("completed", fact.next.output.as_ref().map_or_else(String::new, short))
            }
            Status::Compensated => ("compensated", why),
            Status::Running => ("going on", String::new()),
            Status::Paused => ("paused", String::new()),
            Status::Queued => ("queued", String::new()),
        };
        let line = format!("{verb:<16} {rest}");
        self.line(fact.at, line.trim_end(), "", "")
    }
}

fn payload(fact: &Record) -> String {
    fact.detail.as_ref().map_or_else(String::new, short)
}

fn reason(fact: &Record) -> String {
    let field = |name: &str| {
        let object: Option<serde_json::Map<String, serde_json::Value>> =
            fact.detail.as_ref().and_then(|d| d.read().ok());
        let text = object.as_ref().and_then(|o| o.get(name)).and_then(|v| v.as_str());
        text.unwrap_or("").to_owned()
    };
    let (code, message) = (field("code"), field("message"));
    let both = !code.is_empty() && !message.is_empty();
    printable(&format!("{code}{}{message}", if both { ": " } else { "" }))
}

fn broken(fact: &Record) -> String {
    let then = match fact.next.due {
        Some(due) => {
            let ms = (due - fact.at).num_milliseconds().max(0);
            format!("again in {}.{:03} s", ms / 1000, ms % 1000)
        }
        None => "given up, outcome unknown".to_owned(),
    };
    let what = if fact.op == Some(Op::Compensation) { "undo, " } else { "" };
    format!("{what}attempt {}: {}; {then}", fact.attempt, reason(fact))
}

fn until(fact: &Record) -> String {
    fact.next.due.map_or_else(String::new, |due| due.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

fn short(json: &Json) -> String {
    let text = json.as_str();
    match text.char_indices().nth(PAYLOAD_CHARS_MAX) {
        Some((end, _)) => printable(&format!("{}…", &text[..end])),
        None => printable(text),
    }
}

/// Text from outside on one line, without control characters that a terminal would obey.
fn printable(text: &str) -> String {
    let hidden =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect()
}
