//! Which manifest files there are: walks the given paths.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::index::FileId;

/// Most files that are read.
pub(super) const MAX_FILES: usize = 200_000;

/// How deep folders may lie in folders.
const MAX_DEPTH: usize = 32;

/// A path that was given: a folder or a file.
#[derive(Debug)]
pub(super) struct Root {
    /// As it was given, for messages.
    pub(super) given: PathBuf,
    /// The same from `/` on.
    pub(super) path: PathBuf,
}

/// By what a file is known to have changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Manifest files.
    pub(super) files: BTreeMap<FileId, Stamp>,
    /// Folders in which something may change: those that were walked, and those that symbolic links point into.
    pub(super) folders: BTreeSet<PathBuf>,
    /// Roots that are not there.
    pub(super) missing: Vec<usize>,
    /// Folders that cannot be read, with the reason.
    pub(super) unreadable: Vec<(PathBuf, String)>,
    /// Whether there are more files than [`MAX_FILES`].
    pub(super) truncated: bool,
    /// Folders by device and inode, against loops of symbolic links.
    visited: BTreeSet<(u64, u64)>,
}

/// Walks `roots`. `watch` is called for each folder before it is read, so that no change falls between the two.
pub(super) fn scan(roots: &[Root], watch: &mut dyn FnMut(&Path)) -> Scan {
    let mut scan = Scan::default();
    for (number, root) in roots.iter().enumerate() {
        match fs::metadata(&root.path) {
            Ok(metadata) if metadata.is_dir() => scan.folder(number, &root.path, &metadata, 0, watch),
            Ok(metadata) => scan.file(FileId { root: number, path: Arc::from(root.path.as_path()) }, &metadata, watch),
            Err(_) => scan.missing.push(number),
        }
    }
    scan
}

impl Scan {
    /// Whether a file may be there and could not be seen.
    pub(super) fn hides(&self, file: &Path) -> bool {
        self.unreadable.iter().any(|(folder, _)| file.starts_with(folder))
    }

    fn folder(&mut self, root: usize, path: &Path, metadata: &Metadata, depth: usize, watch: &mut dyn FnMut(&Path)) {
        if depth > MAX_DEPTH || !self.visited.insert((metadata.dev(), metadata.ino())) {
            return;
        }
        watch(path);
        self.folders.insert(path.to_owned());
        let mut entries: Vec<PathBuf> = match fs::read_dir(path) {
            Ok(entries) => {
                entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| !is_hidden(path)).collect()
            }
            Err(error) => return self.unreadable.push((path.to_owned(), error.to_string())),
        };
        entries.sort();
        for entry in entries {
            // A link that leads nowhere is as good as nothing.
            let Ok(metadata) = fs::metadata(&entry) else { continue };
            if metadata.is_dir() {
                self.folder(root, &entry, &metadata, depth + 1, watch);
            } else if is_manifest(&entry) {
                self.file(FileId { root, path: Arc::from(entry) }, &metadata, watch);
            }
        }
    }

    fn file(&mut self, file: FileId, metadata: &Metadata, watch: &mut dyn FnMut(&Path)) {
        if self.files.len() >= MAX_FILES {
            self.truncated = true;
            return;
        }
        if let Some(target) = linked_folder(&file.path)
            && self.folders.insert(target.clone())
        {
            watch(&target);
        }
        self.files.insert(file, Stamp::of(metadata));
    }
}

/// The folder of the file that a symbolic link leads to in the end.
fn linked_folder(path: &Path) -> Option<PathBuf> {
    let link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    link.then(|| fs::canonicalize(path).ok()?.parent().map(Path::to_owned)).flatten()
}

/// Hidden entries are passed over, and with them the folders behind Kubernetes' `..data` links.
fn is_hidden(path: &Path) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with('.'))
}

/// Whether a file of this name in a folder is read.
pub(super) fn is_manifest(path: &Path) -> bool {
    !is_hidden(path)
        && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}
