//! Reads one file, within bounds.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::parse::Format;

/// Largest file that is read, in bytes: some 50,000 Ingresses.
const MAX_BYTES: u64 = 64 << 20;

/// How a file of this name is written.
pub(super) fn format_of(path: &Path) -> Format {
    if path.extension().is_some_and(|extension| extension == "json") { Format::Json } else { Format::Yaml }
}

/// A file whose text cannot be had.
pub(super) struct Unreadable {
    /// Code of the finding.
    pub(super) code: &'static str,
    /// What is the matter.
    pub(super) reason: String,
}

/// The text of a file.
pub(super) fn read(path: &Path) -> Result<String, Unreadable> {
    let fault = |code| move |error: io::Error| Unreadable { code, reason: error.to_string() };
    // Opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(fault("unreadable-file"))?.is_file() {
        return Err(Unreadable { code: "unreadable-file", reason: "this is not a regular file".to_owned() });
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fault("unreadable-file"))?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(fault("unreadable-file"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Unreadable {
            code: "file-too-large",
            reason: format!("the file has more than {} MiB", MAX_BYTES >> 20),
        });
    }
    String::from_utf8(bytes).map_err(|error| {
        let line =
            1 + error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|byte| **byte == b'\n').count();
        Unreadable { code: "invalid-utf8", reason: format!("line {line} is not UTF-8") }
    })
}
