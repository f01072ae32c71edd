//! Inputs shared by the benchmarks: sites of many hosts, as a snapshot and as Kubernetes objects.

mod objects;
mod site;

pub use objects::{change, options, resources};
pub use site::{Request, certificate, requests, snapshot};

/// Which hosts of a site are in regex mode.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Regex {
    /// None.
    Never,
    /// Every tenth.
    OneInTen,
    /// All.
    Always,
}

impl Regex {
    /// Whether the host of this number is in regex mode.
    #[must_use]
    pub fn applies(self, host: usize) -> bool {
        match self {
            Self::Never => false,
            Self::OneInTen => host.is_multiple_of(10),
            Self::Always => true,
        }
    }
}

/// The name of a host by its number.
#[must_use]
pub fn host_name(host: usize) -> String {
    format!("shop-{host:05}.tenant-{:03}.example.com", host % 500)
}
