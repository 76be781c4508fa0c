//! The `amends` binary.

use std::process::ExitCode;

/// Measured: the message path allocates and frees small blocks on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    amends_cli::main()
}
