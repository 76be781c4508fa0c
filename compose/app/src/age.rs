//! How long ago something was: as people read it, and as they write it.

use std::{num::ParseIntError, time::Duration};

/// Why a text is no age.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an age is a number and s, m, h or d, e.g. 10m")]
pub(crate) struct AgeError {
    source: Option<ParseIntError>,
}

/// A time span in its two largest units.
pub(crate) fn age(span: chrono::TimeDelta) -> String {
    let seconds = span.num_seconds().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} m {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} m"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// A whole number and a unit.
pub(crate) fn parse_age(text: &str) -> Result<Duration, AgeError> {
    let at = text.len().saturating_sub(1);
    let (number, unit) = text.split_at_checked(at).ok_or(AgeError { source: None })?;
    let number: u32 = number.parse().map_err(|error| AgeError { source: Some(error) })?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(AgeError { source: None }),
    };
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units() {
        for (seconds, text) in
            [(-3, "0 s"), (59, "59 s"), (60, "1 m 0 s"), (3_725, "1 h 2 m"), (90_000, "1 d 1 h")]
        {
            assert_eq!(age(chrono::TimeDelta::seconds(seconds)), text);
        }
    }

    #[test]
    fn ages_are_read() {
        for (text, seconds) in [("0s", 0), ("10m", 600), ("36h", 129_600), ("7d", 604_800)] {
            assert_eq!(parse_age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "m", "10", "-1s", "1.5h", "10 m", "9999999999d", "1é"] {
            assert!(parse_age(wrong).is_err(), "{wrong}");
        }
    }
}
