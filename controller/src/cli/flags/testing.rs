//! Flags as tests give them.

use super::{ClusterFlags, FlagSet};

/// Those of `run` with these arguments.
pub(crate) fn flags_of_run(arguments: &[&str]) -> FlagSet {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: ClusterFlags,
    }
    <Line as clap::Parser>::parse_from(["run"].iter().chain(arguments)).flags.0
}
