//! Where objects come from: manifest files and folders, or the API server of a cluster.

mod changes;
pub mod cluster;
mod documents;
mod files;
mod followed;
mod index;
mod legacy;
mod locate;
mod object;
mod parse;
mod read;
mod reviewed;
mod scan;
mod typed;
mod watch;
mod yaml;

use std::fmt::Debug;

use portcullis_translate::{Finding, Resources};

pub use changes::{ChangeSet, Changes};
pub use files::{FileSource, Refresh, SourceError};
pub use followed::FollowedFiles;
pub(crate) use reviewed::ingress_of;

/// Where the loop takes objects from. The loop is its only owner.
pub trait ObjectSource: Debug + Send {
    /// The objects at the moment.
    fn resources(&self) -> &Resources;

    /// What to know about them.
    fn findings(&self) -> Vec<Finding>;

    /// How many files they are in.
    fn file_count(&self) -> usize {
        0
    }

    /// Blocks until all objects are there for the first time; false if the inbox was closed before.
    fn wait_complete(&mut self) -> bool {
        true
    }

    /// Blocks until something came, and takes all of it in; `None` once the inbox is closed.
    fn next(&mut self) -> Option<Step>;

    /// What was taken in is served.
    fn served(&mut self) {}
}

/// What came.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Step {
    /// Files or objects that were looked at.
    pub looked: usize,
    /// Whether an object changed.
    pub changed: bool,
    /// Whether nothing came but a nudge.
    pub nudged: bool,
}

/// The other end of a source: wakes and ends it.
pub trait Inbox: Debug + Send + Sync {
    /// Ends the wait of the source that is, or the next one: there is something to do besides.
    fn nudge(&self);

    /// Ends every wait of the source, now and later.
    fn close(&self);
}
