//! One run of a matrix, and its name.

use std::{fmt, str::FromStr};

use super::{fault::Planned, random::SplitMix64};

/// Accidents of a mixture, at most.
const ACCIDENTS_MAX: usize = 400;

/// What goes wrong in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Case {
    /// These faults and nothing else.
    Faults(Vec<Planned>),
    /// A mixture, with so many accidents.
    Seed(u64, u32),
}

impl Case {
    pub(crate) fn seed(seed: u64) -> Self {
        let accidents = SplitMix64::new(!seed).pick(ACCIDENTS_MAX + 1);
        Self::Seed(seed, u32::try_from(accidents).unwrap_or(0))
    }

    /// The same mixture with fewer accidents, fewest first.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        match self {
            Self::Faults(_) => Vec::new(),
            Self::Seed(seed, accidents) => (0..*accidents).map(|n| Self::Seed(*seed, n)).collect(),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faults(faults) if faults.is_empty() => f.write_str("no fault"),
            Self::Faults(faults) => {
                let words: Vec<_> = faults.iter().map(Planned::to_string).collect();
                f.write_str(&words.join(" + "))
            }
            Self::Seed(seed, accidents) => write!(f, "seed {seed}/{accidents}"),
        }
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no case: `seed 17/240` is one");
        if text == "no fault" {
            return Ok(Self::Faults(Vec::new()));
        }
        let Some(seed) = text.strip_prefix("seed ") else {
            return text.split(" + ").map(str::parse).collect::<Result<_, _>>().map(Self::Faults);
        };
        match seed.split_once('/') {
            Some((seed, accidents)) => Ok(Self::Seed(
                seed.parse().map_err(|_| wrong())?,
                accidents.parse().map_err(|_| wrong())?,
            )),
            None => Ok(Self::seed(seed.parse().map_err(|_| wrong())?)),
        }
    }
}
