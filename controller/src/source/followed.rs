//! Manifest files that are read again when they change.

use std::sync::Arc;

use portcullis_translate::{Finding, Resources};

use super::{Changes, FileSource, Inbox, ObjectSource, Refresh, Step};

/// Manifest files and the mailbox that tells their changes.
#[derive(Debug)]
pub struct FollowedFiles {
    files: FileSource,
    changes: Arc<Changes>,
}

impl FollowedFiles {
    /// `files`, read again as `changes` says.
    #[must_use]
    pub fn new(files: FileSource, changes: Arc<Changes>) -> Self {
        Self { files, changes }
    }
}

impl ObjectSource for FollowedFiles {
    fn resources(&self) -> &Resources {
        self.files.resources()
    }

    fn findings(&self) -> Vec<Finding> {
        self.files.findings()
    }

    fn file_count(&self) -> usize {
        self.files.file_count()
    }

    fn next(&mut self) -> Option<Step> {
        let changes = self.changes.wait()?;
        let nudged = changes.is_empty();
        let Refresh { files, changed } = self.files.refresh(&changes);
        Some(Step { looked: files, changed, nudged })
    }
}

impl Inbox for Changes {
    fn nudge(&self) {
        Self::nudge(self);
    }

    fn close(&self) {
        Self::close(self);
    }
}
