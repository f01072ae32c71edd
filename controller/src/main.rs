//! The program `portcullis`.

mod cli;

use std::process::ExitCode;

/// Requests take and give back many small pieces, which the C library's allocator needs several times as many steps for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
