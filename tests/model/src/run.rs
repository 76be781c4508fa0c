//! What the program does.

use std::io::{Error, Write};

use crate::{
    explore::{Order, explore},
    settings::{Size, settings},
};

/// Threads of an exploration.
pub(crate) const THREADS: usize = 2;

/// Explores the small settings, or with `--long` the large ones, and of these those alone that are named;
/// writes what is found, and returns whether all is sound.
///
/// # Errors
/// It cannot be written, or a plan is none.
pub fn run(
    arguments: impl IntoIterator<Item = String>,
    out: &mut impl Write,
) -> Result<bool, Error> {
    let (flags, names): (Vec<_>, Vec<_>) = arguments.into_iter().partition(|a| a == "--long");
    // What is large is visited depth first: that takes little memory.
    let (size, order) =
        if flags.is_empty() { (Size::Small, Order::Breadth) } else { (Size::Large, Order::Depth) };
    let (mut states, mut steps, mut seconds, mut sound) = (0, 0, 0.0, true);
    for setting in settings(size).map_err(Error::other)? {
        if !names.is_empty() && !names.iter().any(|name| name == setting.name) {
            continue;
        }
        let report = explore(setting, order, THREADS);
        writeln!(out, "{report}")?;
        (states, steps) = (states + report.states, steps + report.steps);
        seconds += report.took.as_secs_f64();
        sound &= report.broken.is_none() && report.missed.is_empty();
    }
    writeln!(out, "{states} distinct states, {steps} steps, {seconds:.0} s")?;
    Ok(sound)
}
