//! Where request and response bodies go that are too large for memory, and what to know about it.

use std::sync::Arc;

use portcullis_proxy::server::BufferConfig;
use portcullis_translate::{Finding, ObjectRef, Severity};

/// The folder for temporary files: `TMPDIR`, else `/tmp`.
#[must_use]
pub fn folder() -> BufferConfig {
    BufferConfig::new(std::env::temp_dir())
}

/// Says what happens where nothing can be written, as in a container with a read-only root and no volume at `/tmp`.
#[must_use]
pub fn finding(buffers: &BufferConfig) -> Option<Finding> {
    let error = buffers.probe().err()?;
    Some(Finding {
        object: ObjectRef {
            kind: "Folder",
            namespace: Arc::from(""),
            name: Arc::from(buffers.directory.display().to_string().as_str()),
        },
        field: String::new(),
        severity: Severity::Warning,
        code: "storage-not-writable",
        message: format!(
            "nothing can be written there ({error}), so a request whose body does not fit in memory is answered with 413"
        ),
        help: "mount a volume there that the user of the process may write to, such as an emptyDir".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_that_takes_nothing_is_worth_a_word() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(finding(&BufferConfig::new(folder.path().to_owned())), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
        let missing = folder.path().join("missing");
        let finding = finding(&BufferConfig::new(missing.clone())).unwrap();
        assert_eq!((finding.code, &*finding.object.name), ("storage-not-writable", &*missing.to_string_lossy()));
        assert!(finding.message.contains("413"), "{finding}");
    }
}
