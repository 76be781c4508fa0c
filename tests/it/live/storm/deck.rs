//! Faults in an order that chance decides: each comes once before one comes again.

use std::fmt::Debug;

use crate::support::Chance;

pub(super) struct Deck<T> {
    all: Vec<T>,
    left: Vec<T>,
}

impl<T: Copy + Debug> Deck<T> {
    /// Those of these that are wanted; `None` if none is.
    pub(super) fn of(faults: &[T]) -> Option<Self> {
        let only = std::env::var("AMENDS_STORM_ONLY").ok();
        let wanted = |fault: &T| {
            let name = format!("{fault:?}");
            only.as_ref().is_none_or(|only| only.split(',').any(|wanted| wanted == name))
        };
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
