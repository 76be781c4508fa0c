//! The program: `cargo run -- dev` to try it, `cargo run -- --help` for all that it can do.

use std::process::ExitCode;

fn main() -> ExitCode {
    shop::app().main()
}
