//! Panics of users' functions.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::wire;

/// Runs a user's function: its panic must not take the other sagas of a lane along.
///
/// # Errors
/// That `what` panicked, with the panic's message, which may say anything, at any length.
pub(crate) fn caught<T>(what: &str, f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| match panic_message(&*panic) {
        Some(message) => wire::cut(format!("{what} panicked: {message}")),
        None => format!("{what} panicked"),
    })
}

/// The message of a panic; of one that was raised with something else than a text, none.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
}
