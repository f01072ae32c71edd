//! The program `portcullis`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
