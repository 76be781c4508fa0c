//! The product's own binary, built beside the tests so that they can start it.

use std::process::ExitCode;

fn main() -> ExitCode {
    amends_cli::main()
}
