//! W3C trace context (<https://www.w3.org/TR/trace-context/>): handed on from trigger to commands
//! and replies.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

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
