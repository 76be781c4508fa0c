//! W3C trace context (<https://www.w3.org/TR/trace-context/>): handed on from trigger to commands, replies
//! and changes of status.

use std::{fmt, str::FromStr, sync::Arc};

use sha2::{Digest, Sha256};

use crate::{
    Headers,
    wire::{TRACEPARENT, TRACESTATE},
};

/// Longest `tracestate` that is handed on, in bytes: as long as W3C asks for at least.
const STATE_BYTES_MAX: usize = 512;

/// Most members of a `tracestate`, and the longest key and value of one.
const MEMBERS_MAX: usize = 32;
const KEY_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 256;

/// The trace that a message belongs to, with what tracing systems have noted of it. As a text, it is the
/// `traceparent`, and after a space the `tracestate`, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    parent: TraceParent,
    /// A `tracestate` that is well-formed.
    state: Option<Arc<str>>,
}

impl TraceContext {
    /// What a message's headers say. A malformed `traceparent` is none, and neither a malformed nor a long
    /// `tracestate` is one, as the specification asks: no message is refused for it.
    #[must_use]
    pub fn of(headers: &Headers<'_>) -> Option<Self> {
        let parent = headers.get_in_any_case(TRACEPARENT).ok()??.parse().ok()?;
        Some(Self { parent, state: state(headers.all_in_any_case(TRACESTATE)) })
    }

    /// The same trace with a span of its own: see [`TraceParent::child`].
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self { parent: self.parent.child(name), state: self.state.clone() }
    }

    /// The trace id as 32 hex digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.parent.trace_id()
    }

    /// The headers by which a message says so.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let state = self.state.as_deref().map(|state| (TRACESTATE, state.to_owned()));
        std::iter::once((TRACEPARENT, self.parent.to_string())).chain(state)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            None => self.parent.fmt(f),
            Some(state) => write!(f, "{} {state}", self.parent),
        }
    }
}

impl FromStr for TraceContext {
    type Err = TraceError;

    fn from_str(text: &str) -> Result<Self, TraceError> {
        let (parent, rest) = text.split_once(' ').unwrap_or((text, ""));
        Ok(Self { parent: parent.parse()?, state: state([rest].into_iter()) })
    }
}

/// The members of all values of a `tracestate`, in their order, without the white space around them; none
/// when one is malformed, or they are too many or too long.
fn state<'a>(values: impl Iterator<Item = &'a str>) -> Option<Arc<str>> {
    let members = values.flat_map(|value| value.split(','));
    let members = members.map(|member| member.trim_matches([' ', '\t']));
    let members: Vec<_> =
        members.filter(|member| !member.is_empty()).take(MEMBERS_MAX + 1).collect();
    let mut keys = members.iter().map(|member| key(member)).collect::<Option<Vec<_>>>()?;
    keys.sort_unstable();
    keys.dedup();
    let text = members.join(",");
    let sound = keys.len() == members.len() && members.len() <= MEMBERS_MAX;
    (sound && !text.is_empty() && text.len() <= STATE_BYTES_MAX).then(|| text.into())
}

/// The key of a member, if that is well-formed.
fn key(member: &str) -> Option<&str> {
    let (key, value) = member.split_once('=')?;
    let known = |b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let first = key.bytes().next()?;
    let sound = key.len() <= KEY_BYTES_MAX
        && (first.is_ascii_lowercase() || first.is_ascii_digit())
        && key.bytes().all(known)
        && (1..=VALUE_BYTES_MAX).contains(&value.len())
        && value.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'=');
    sound.then_some(key)
}

/// A `traceparent` of version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

impl TraceParent {
    /// The same trace with a span of its own. The span's id is a function of `name` (an
    /// `Amends-Id`), so that a message that is sent again carries the same header.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let hash = Sha256::digest(name.as_bytes());
        let span_id = hash.iter().take(8).fold(0, |n: u64, byte| (n << 8) | u64::from(*byte));
        Self { span_id: span_id.max(1), ..*self }
    }

    /// The trace id as 32 hex digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// Not a `traceparent`; the trace is then dropped, as the specification asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent")]
pub struct TraceError;

impl FromStr for TraceParent {
    type Err = TraceError;

    fn from_str(text: &str) -> Result<Self, TraceError> {
        let mut parts = text.split('-');
        let mut hex = |len: usize| {
            let part = parts.next().filter(|p| p.len() == len).ok_or(TraceError)?;
            let lower = part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            if !lower {
                return Err(TraceError);
            }
            u128::from_str_radix(part, 16).map_err(|_| TraceError)
        };
        let (version, trace_id, span_id, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        if version == 0xff
            || trace_id == 0
            || span_id == 0
            || (version == 0 && parts.next().is_some())
        {
            return Err(TraceError);
        }
        let span_id = u64::try_from(span_id).map_err(|_| TraceError)?;
        let flags = u8::try_from(flags).map_err(|_| TraceError)?;
        Ok(Self { trace_id, span_id, flags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(headers: &[(&str, &str)]) -> Option<String> {
        let headers = headers.iter().copied().collect();
        TraceContext::of(&headers).map(|context| context.to_string())
    }

    #[test]
    fn a_context_is_read_and_handed_on() {
        let parent = ("traceparent", PARENT);
        let whole = format!("{PARENT} a=1,b@c=x y,0/_-*=!~");
        for headers in [
            &[parent, ("tracestate", "a=1,b@c=x y,0/_-*=!~")][..],
            &[("TraceState", " a=1 ,,\tb@c=x y ,0/_-*=!~,"), ("Traceparent", PARENT)],
            &[parent, ("tracestate", "a=1"), ("tracestate", "b@c=x y, 0/_-*=!~")],
        ] {
            let read = read(headers).unwrap();
            assert_eq!(read, whole);
            let context: TraceContext = read.parse().unwrap();
            assert_eq!(context.to_string(), whole, "as it is stored");
            let child = context.child("a");
            assert_eq!(child.trace_id(), context.trace_id());
            let headers: Vec<_> = child.headers().collect();
            assert_eq!(headers[0].0, TRACEPARENT);
            assert_ne!(headers[0].1, PARENT);
            assert_eq!(headers[1], (TRACESTATE, "a=1,b@c=x y,0/_-*=!~".to_owned()));
        }
        assert_eq!(read(&[parent]).as_deref(), Some(PARENT));
        assert_eq!(PARENT.parse::<TraceContext>().unwrap().headers().count(), 1);
    }

    #[test]
    fn what_is_malformed_or_long_is_ignored() {
        let member = |n: usize| format!("k{n}={}", "v".repeat(10));
        let many = |n| (0..n).map(member).collect::<Vec<_>>().join(",");
        let (long, longer) = (format!("k={}", "v".repeat(256)), format!("k={}", "v".repeat(257)));
        let full = format!("{long},l={}", "v".repeat(250));
        assert_eq!(full.len(), STATE_BYTES_MAX - 1);
        let short = (0..32).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        for (state, sound) in [
            (full.as_str(), true),
            (&format!("{full}v"), true),
            (&format!("{full}vv"), false),
            (&long, true),
            (&longer, false),
            (&short, true),
            (&format!("{short},z=v"), false),
            (&many(33), false),
            ("", false),
            (" , ", false),
            ("a", false),
            ("a=", false),
            ("=1", false),
            ("A=1", false),
            ("a =1", false),
            ("_a=1", false),
            ("a=1=2", false),
            ("a=1,a=2", false),
            ("a=1,b", false),
            ("a=\u{e9}", false),
            ("a=\u{7f}", false),
            ("a=x\ty", false),
        ] {
            let expected = if sound { format!("{PARENT} {state}") } else { PARENT.to_owned() };
            let context = read(&[("traceparent", PARENT), ("tracestate", state)]);
            assert_eq!(context, Some(expected), "{state}");
        }
        assert_eq!(read(&[("tracestate", "a=1")]), None);
        assert_eq!(read(&[("traceparent", "x"), ("tracestate", "a=1")]), None);
        let twice = [("traceparent", PARENT), ("traceparent", PARENT)];
        assert_eq!(read(&twice), None);
    }

    #[test]
    fn a_child_keeps_the_trace() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent: TraceParent = text.parse().unwrap();
        assert_eq!(parent.to_string(), text);
        let child = parent.child("a");
        assert_eq!(child.trace_id(), parent.trace_id());
        assert_ne!(child, parent.child("b"));
        assert_eq!(child.to_string().parse(), Ok(child));
        for bad in [
            "",
            "00-0-0-0",
            &text.to_uppercase(),
            &format!("{text}-x"),
            &text.replace("00-", "ff-"),
        ] {
            assert_eq!(bad.parse::<TraceParent>(), Err(TraceError), "{bad}");
        }
    }
}
