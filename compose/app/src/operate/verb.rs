//! What an operator may ask of a saga.

use std::fmt;

use serde::{Serialize, Serializer};

/// The verb of an act, as SQL and the command line name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Retry,
    Skip,
    Resolve,
    Reply,
    Cancel,
    Pause,
    Resume,
    BreakLock,
}

impl Verb {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Skip => "skip",
            Self::Resolve => "resolve",
            Self::Reply => "reply",
            Self::Cancel => "cancel",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::BreakLock => "break-lock",
        }
    }

    /// Whether it is for one step of a saga, not for all of it.
    pub(crate) const fn needs_step(self) -> bool {
        matches!(self, Self::Skip | Self::Resolve | Self::Reply)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Verb {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
