//! How long ago something was, for people.

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
}
