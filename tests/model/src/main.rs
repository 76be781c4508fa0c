//! Explores the settings, and prints what was found: with `--long` the large ones, and those alone that
//! are named.

use std::{
    io::{Write as _, stderr, stdout},
    process::ExitCode,
};

fn main() -> ExitCode {
    match amends_model::run(std::env::args().skip(1), &mut stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Where nothing can be written, nothing can be said.
            writeln!(stderr(), "{error}").ok();
            ExitCode::FAILURE
        }
    }
}
