//! Where objects come from: manifest files and folders.

mod changes;
mod documents;
mod files;
mod index;
mod legacy;
mod locate;
mod object;
mod parse;
mod read;
mod scan;
mod typed;
mod watch;
mod yaml;

pub use changes::{ChangeSet, Changes};
pub use files::{FileSource, Refresh, SourceError};
