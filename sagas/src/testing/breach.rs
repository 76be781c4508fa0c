//! What is promised of every run, and how a broken promise is reported.

use std::fmt;

/// A promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Guarantee {
    Once,
    Order,
    Unknown,
    Committed,
    Acked,
    Told,
    Ends,
    Fold,
    Again,
    Patience,
    Plan,
    Reason,
    Wire,
    Operators,
    Panic,
    Invariant,
}

impl Guarantee {
    /// As a sentence.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Once => {
                "a saga that completed did every effect once, one that turned back undid it"
            }
            Self::Order => "compensations run in the reverse order of the plan",
            Self::Unknown => "an unknown outcome, and a late success, is compensated and recorded",
            Self::Committed => "nothing is published that was not committed",
            Self::Acked => "nothing is acked before it is committed and published",
            Self::Told => "the end of a saga is published",
            Self::Ends => "every saga ends, or is visibly stuck",
            Self::Fold => "the fold of the facts is the state",
            Self::Again => "the same event once more changes nothing",
            Self::Patience => "attempts are repeated as their policy says",
            Self::Plan => "steps run in the order of the plan",
            Self::Reason => "a change of status says why",
            Self::Wire => "commands and replies carry what belongs to them",
            Self::Operators => "operators' acts are done or refused, once",
            Self::Panic => "nothing panics",
            Self::Invariant => "the world's invariant",
        }
    }
}

/// A promise that a run broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Breach {
    pub(crate) guarantee: Guarantee,
    pub(crate) what: String,
}

impl Breach {
    pub(crate) const fn new(guarantee: Guarantee, what: String) -> Self {
        Self { guarantee, what }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken: {}\n  {}", self.guarantee.as_str(), self.what)
    }
}

/// Whether a run keeps its promises.
pub(crate) type Kept<T = ()> = Result<T, Breach>;

/// Leaves with a breach unless the condition holds.
macro_rules! hold {
    ($condition:expr, $guarantee:ident, $($what:tt)+) => {
        if !$condition {
            let guarantee = $crate::testing::breach::Guarantee::$guarantee;
            return Err($crate::testing::breach::Breach::new(guarantee, format!($($what)+)));
        }
    };
}
pub(crate) use hold;
