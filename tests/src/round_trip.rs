//! A program with nothing but the saga that `doctor` starts.

use std::process::ExitCode;

use amends_app::{App, RoundTrip};

fn main() -> ExitCode {
    App::new("checked").saga::<RoundTrip>().main()
}
