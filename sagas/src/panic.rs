//! Panics of users' functions.

use std::any::Any;

/// The message of a panic; of one that was raised with something else than a text, none.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
}
