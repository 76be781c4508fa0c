//! Faults in an order that chance decides: each comes once before one comes again.

use std::fmt::Debug;

use super::{
    nats::NatsFault, network::NetworkFault, postgres::PostgresFault, processes::ProcessFault,
};
use crate::support::Chance;

const ONLY: &str = "AMENDS_STORM_ONLY";

/// The names of the faults to draw from, if not from all.
pub(super) fn only() -> Option<Vec<String>> {
    let only = std::env::var(ONLY).ok()?;
    let only: Vec<_> = only.split(',').map(str::to_owned).collect();
    let mut all = names(&PostgresFault::ALL);
    all.extend(
        [names(&NatsFault::ALL), names(&NetworkFault::ALL), names(&ProcessFault::ALL)].concat(),
    );
    for name in &only {
        assert!(all.contains(name), "{ONLY}: there is no fault `{name}`: there are {all:?}");
    }
    Some(only)
}

fn names<T: Debug>(faults: &[T]) -> Vec<String> {
    faults.iter().map(|fault| format!("{fault:?}")).collect()
}

pub(super) struct Deck<T> {
    all: Vec<T>,
    left: Vec<T>,
}

impl<T: Copy + Debug> Deck<T> {
    /// Those of these that are wanted; `None` if none is.
    pub(super) fn of(faults: &[T], only: Option<&[String]>) -> Option<Self> {
        let wanted = |fault: &T| only.is_none_or(|only| only.contains(&format!("{fault:?}")));
        let all: Vec<_> = faults.iter().copied().filter(wanted).collect();
        (!all.is_empty()).then(|| Self { all, left: Vec::new() })
    }

    pub(super) fn deal(&mut self, chance: &mut Chance) -> T {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
        }
        self.left.swap_remove(chance.below(self.left.len()))
    }
}
