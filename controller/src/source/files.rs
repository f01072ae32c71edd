//! Manifest files as a source of objects: reads them, keeps the last good state of each, and follows their changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use portcullis_translate::{Finding, Resources, Severity};

use super::changes::{ChangeSet, Changes};
use super::index::{FileId, Index};
use super::parse::{Format, Parsed, REFUSED, file_finding, hash_of, parse};
use super::read::{Unreadable, format_of, read};
use super::scan::{MAX_FILES, Root, Scan, Stamp, is_manifest, scan};
use super::watch::Watcher;

/// Objects from manifest files.
///
/// A file of which a document cannot be read keeps the objects of its last good version; an object with a value of a wrong
/// type keeps its own. What was wrong from the start is left out alone.
#[derive(Debug)]
pub struct FileSource {
    roots: Vec<Root>,
    files: BTreeMap<FileId, FileState>,
    index: Index,
    /// Folders that the last walk went through.
    folders: BTreeSet<PathBuf>,
    /// What the last walk could not read.
    walk_findings: Vec<Finding>,
    watcher: Option<(Watcher, Arc<Changes>)>,
}

/// What is known of a file.
#[derive(Debug, Default)]
struct FileState {
    stamp: Option<Stamp>,
    content: Option<u64>,
    /// Whether its objects are those of a version without broken documents.
    good: bool,
    findings: Vec<Finding>,
}

/// What a look at the files led to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Refresh {
    /// Files that were read again or are gone.
    pub files: usize,
    /// Whether an object changed.
    pub changed: bool,
}

/// Why manifests cannot be served at all.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A path that is not there.
    #[error("{}: {error}", path.display())]
    Path {
        /// The path as it was given.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl FileSource {
    /// Reads all files once.
    ///
    /// # Errors
    ///
    /// When one of the paths is not there.
    pub fn read(paths: &[PathBuf]) -> Result<Self, SourceError> {
        Self::open(paths, None)
    }

    /// Reads all files, and tells `changes` what happens to them from now on.
    ///
    /// # Errors
    ///
    /// When one of the paths is not there.
    pub fn watch(paths: &[PathBuf], changes: Arc<Changes>) -> Result<Self, SourceError> {
        Self::open(paths, Some((Watcher::new(changes.clone()), changes)))
    }

    /// Objects of texts that are in no file, by name. They never change.
    #[must_use]
    pub fn of_texts(texts: &[(String, String)]) -> Self {
        let mut source = Self::empty(Vec::new(), None);
        for (root, (name, text)) in texts.iter().enumerate() {
            let file = FileId { root, path: Arc::from(Path::new(name)) };
            let mut state = FileState::default();
            take(&mut state, parse(name, text, Format::Yaml), &file, &mut source.index);
            source.files.insert(file, state);
        }
        source
    }

    fn empty(roots: Vec<Root>, watcher: Option<(Watcher, Arc<Changes>)>) -> Self {
        Self {
            roots,
            files: BTreeMap::new(),
            index: Index::default(),
            folders: BTreeSet::new(),
            walk_findings: Vec::new(),
            watcher,
        }
    }

    fn open(paths: &[PathBuf], watcher: Option<(Watcher, Arc<Changes>)>) -> Result<Self, SourceError> {
        let roots = paths.iter().map(|path| root(path)).collect::<Result<_, _>>()?;
        let mut source = Self::empty(roots, watcher);
        source.look_at_everything();
        Ok(source)
    }

    /// The objects at the moment.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        self.index.resources()
    }

    /// What to know about files and objects, sorted.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = self.walk_findings.clone();
        findings.extend(self.files.values().flat_map(|state| state.findings.iter().cloned()));
        findings.extend(self.index.findings(|file| self.shown(file)));
        findings.sort();
        findings.dedup();
        findings
    }

    /// How many files are read.
    #[must_use]
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    /// Reads again what changed.
    pub fn refresh(&mut self, changes: &ChangeSet) -> Refresh {
        let files = match changes.everything {
            true => None,
            false => changes.paths.iter().map(|path| self.files_at(path)).collect::<Option<Vec<_>>>(),
        };
        let Some(files) = files else { return self.look_at_everything() };
        let mut done = Refresh::default();
        for file in files.into_iter().flatten() {
            let metadata = fs::metadata(&file.path).ok().filter(|metadata| !metadata.is_dir());
            self.look_at(&file, metadata.map(|metadata| Stamp::of(&metadata)), &mut done);
        }
        done
    }

    /// The files that a change at `path` concerns: `None` when only a walk can tell.
    fn files_at(&self, path: &Path) -> Option<Vec<FileId>> {
        let name = path.file_name().unwrap_or_default();
        let is_root = |root: &Root| root.path == path;
        if self.roots.iter().any(is_root) || self.folders.contains(path) || name.as_encoded_bytes().starts_with(b"..") {
            return None;
        }
        let ids = (0..self.roots.len()).map(|root| FileId { root, path: Arc::from(path) });
        let known: Vec<FileId> = ids.filter(|file| self.files.contains_key(file)).collect();
        if !known.is_empty() {
            return Some(known);
        }
        // A new folder, or a file that a symbolic link from elsewhere leads to.
        let inside = |root: &Root| path.starts_with(&root.path);
        if path.is_dir() || !self.roots.iter().any(inside) {
            return None;
        }
        if !is_manifest(path) {
            return Some(Vec::new());
        }
        // A new link has to be followed to where it leads.
        let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
        if is_link || self.files.len() >= MAX_FILES {
            return None;
        }
        let root = self.roots.iter().position(inside)?;
        Some(vec![FileId { root, path: Arc::from(path) }])
    }

    fn look_at_everything(&mut self) -> Refresh {
        let mut found = scan(&self.roots, &mut |folder| {
            if let Some((watcher, _)) = &mut self.watcher {
                watcher.watch(folder);
            }
        });
        self.watch_around(&found);
        let mut done = Refresh::default();
        let gone: Vec<FileId> = self.files.keys().filter(|file| !found.files.contains_key(file)).cloned().collect();
        for file in gone.iter().filter(|file| !found.missing.contains(&file.root) && !found.hides(&file.path)) {
            self.look_at(file, None, &mut done);
        }
        for (file, stamp) in std::mem::take(&mut found.files) {
            self.look_at(&file, Some(stamp), &mut done);
        }
        self.walk_findings = self.findings_of(&found);
        self.folders = found.folders;
        done
    }

    /// Watches for roots that are replaced, and ends watches nobody needs.
    fn watch_around(&mut self, found: &Scan) {
        let Some((watcher, changes)) = &mut self.watcher else { return };
        let mut wanted = found.folders.clone();
        let mut only: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
        for root in &self.roots {
            let Some(folder) = root.path.parent() else { continue };
            wanted.insert(folder.to_owned());
            if !found.folders.contains(folder) {
                only.entry(folder.to_owned()).or_default().extend([root.path.clone(), folder.join("..data")]);
            }
        }
        changes.only(only);
        if !found.missing.is_empty() {
            // The watch on the folder around a root may have gone with it, and nobody tells when both are back.
            changes.sweep();
        }
        wanted.iter().for_each(|folder| watcher.watch(folder));
        watcher.retain(&wanted);
    }

    /// Reads a file if it differs from what is known, and forgets it where there is none any more.
    fn look_at(&mut self, file: &FileId, stamp: Option<Stamp>, done: &mut Refresh) {
        let Some(stamp) = stamp else {
            if self.files.remove(file).is_some() {
                done.files += 1;
                done.changed |= self.index.set(file, Vec::new(), &[]);
            }
            return;
        };
        if self.files.get(file).is_some_and(|state| state.stamp == Some(stamp)) {
            return;
        }
        done.files += 1;
        let shown = self.shown(file);
        let state = self.files.entry(file.clone()).or_default();
        state.stamp = Some(stamp);
        match read(&file.path) {
            Ok(text) => {
                let content = hash_of(&text);
                if state.content.replace(content) != Some(content) {
                    let parsed = parse(&shown, &text, format_of(&file.path));
                    done.changed |= take(state, parsed, file, &mut self.index);
                }
            }
            Err(Unreadable { code, reason }) => {
                state.content = None;
                let mut finding = file_finding(&shown, None, Severity::Error, code, reason, "");
                finding.message.push_str(if state.good { KEPT } else { "; it is left out" });
                state.findings = vec![finding];
            }
        }
    }

    /// The path of a file as the user would write it.
    fn shown(&self, file: &FileId) -> String {
        shown_below(self.roots.get(file.root), &file.path)
    }

    fn findings_of(&self, found: &Scan) -> Vec<Finding> {
        let missing = found.missing.iter().filter_map(|number| self.roots.get(*number)).map(|root| {
            let message = "is not there any more; what was last read of it is served".to_owned();
            file_finding(
                &root.given.to_string_lossy(),
                None,
                Severity::Error,
                "missing-path",
                message,
                "put it back, or restart without it",
            )
        });
        let unreadable = found.unreadable.iter().map(|(path, reason)| {
            let root = self.roots.iter().find(|root| path.starts_with(&root.path));
            let message = format!("cannot be listed: {reason}");
            file_finding(&shown_below(root, path), None, Severity::Error, "unreadable-file", message, "")
        });
        let truncated = found.truncated.then(|| {
            let message = format!("there are more than {MAX_FILES} files; the rest is left out");
            file_finding("", None, Severity::Error, "too-many-files", message, "put several objects into one file")
        });
        missing.chain(unreadable).chain(truncated).collect()
    }
}

const KEPT: &str = "; the objects of its last good version are served";

/// Takes what a file holds over; whether an object changed.
fn take(state: &mut FileState, parsed: Parsed, file: &FileId, index: &mut Index) -> bool {
    let Parsed { objects, refused, broken, mut findings } = parsed;
    if broken && state.good {
        for finding in
            findings.iter_mut().filter(|finding| finding.object.kind == "File" && finding.severity == Severity::Error)
        {
            finding.message.push_str(KEPT);
        }
        state.findings = findings;
        return false;
    }
    state.good |= !broken;
    let changed = index.set(file, objects, &refused);
    for finding in findings.iter_mut().filter(|finding| finding.code == REFUSED) {
        let kept = refused.iter().any(|identity| identity.to_ref() == finding.object && index.has(file, identity));
        finding.message.push_str(if kept {
            "; the last good version of the object is served"
        } else {
            "; the object is left out"
        });
    }
    state.findings = findings;
    changed
}

fn root(given: &Path) -> Result<Root, SourceError> {
    let fault = |error| SourceError::Path { path: given.to_owned(), error };
    let path = std::path::absolute(given).map_err(fault)?;
    fs::metadata(&path).map_err(fault)?;
    Ok(Root { given: given.to_owned(), path })
}

fn shown_below(root: Option<&Root>, path: &Path) -> String {
    let below = root.and_then(|root| {
        let rest = path.strip_prefix(&root.path).ok()?;
        Some(if rest.as_os_str().is_empty() { root.given.clone() } else { root.given.join(rest) })
    });
    below.as_deref().unwrap_or(path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
