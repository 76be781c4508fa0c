//! What a run has seen: one that never saw something proves nothing about it.

use std::{collections::BTreeMap, fmt, sync::Mutex};

/// Counts by name.
#[derive(Default)]
pub(super) struct Seen(Mutex<BTreeMap<String, u64>>);

impl Seen {
    pub(super) fn saw(&self, what: &str) {
        self.add(what, 1);
    }

    pub(super) fn add(&self, what: &str, times: u64) {
        *self.0.lock().unwrap().entry(what.to_owned()).or_default() += times;
    }

    pub(super) fn count(&self, what: &str) -> u64 {
        self.0.lock().unwrap().get(what).copied().unwrap_or(0)
    }

    /// Those of these that never happened.
    pub(super) fn missing<'a>(&self, wanted: &[&'a str]) -> Vec<&'a str> {
        wanted.iter().copied().filter(|what| self.count(what) == 0).collect()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, times) in &*self.0.lock().unwrap() {
            writeln!(f, "{times:>7}  {what}")?;
        }
        Ok(())
    }
}
