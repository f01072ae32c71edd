//! What commands print. A reader that went away is no fault of ours.
use std::io::{self, Write};

/// Prints a result.
pub(super) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Says what went wrong.
pub(super) fn error(text: &str) {
    note(&format!("error: {text}"));
}

/// Says something beside the result.
pub(super) fn note(text: &str) {
    let _gone = writeln!(io::stderr(), "{text}");
}

/// How a result is written.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(super) enum Format {
    /// For reading.
    #[default]
    Text,
    /// For programs.
    Json,
}
