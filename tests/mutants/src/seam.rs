//! Which bug is planted in this thread.

use std::cell::Cell;

macro_rules! bugs {
    ($($bug:ident),+) => {
        /// A bug of the protocol.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Bug {
            $($bug),+
        }

        impl Bug {
            pub(crate) const ALL: &[Self] = &[$(Self::$bug),+];
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/bugs.rs"));

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Whether the bug is planted.
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Plants a bug in this thread, or takes it out.
pub(crate) fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}
