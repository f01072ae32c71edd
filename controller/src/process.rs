//! What the process reads from the ConfigMap at its start, and what is said when that changes later.

use std::num::NonZeroUsize;

use portcullis_model::ProcessSettings;
use portcullis_translate::{Config, Finding, ObjectKey, ObjectRef, Options, Resources};

use crate::workers;

/// What a process was started with.
#[derive(Clone, Debug)]
pub struct Started {
    config_map: Option<ObjectKey>,
    settings: ProcessSettings,
}

impl Started {
    /// Reads the ConfigMap among `resources`.
    #[must_use]
    pub fn with(resources: &Resources, options: &Options) -> Self {
        let settings = Config::of(resources, options).settings.process;
        Self { config_map: options.config_map.clone(), settings }
    }

    /// How many workers serve requests.
    #[must_use]
    pub fn workers(&self) -> NonZeroUsize {
        self.settings.workers.unwrap_or_else(workers::count)
    }

    /// Client connections per worker, where so many files may be open.
    #[must_use]
    pub fn connections(&self, open_files: Option<u64>) -> NonZeroUsize {
        self.settings.connections.unwrap_or_else(|| {
            let files = open_files.and_then(|files| usize::try_from(files).ok()).unwrap_or(LEAST_FILES);
            let share = (files / 4 * 3).checked_div(self.workers().get()).unwrap_or(files);
            NonZeroUsize::new(share).unwrap_or(NonZeroUsize::MIN)
        })
    }

    /// What to know where `now` differs from what the process was started with.
    pub(crate) fn findings(&self, now: &ProcessSettings) -> impl Iterator<Item = Finding> {
        let ProcessSettings { workers, connections, shutdown_timeout: _ } = self.settings;
        let changed =
            [("worker-processes", workers != now.workers), ("max-worker-connections", connections != now.connections)];
        let object = self.config_map.as_ref().map(|key| ObjectRef::new("ConfigMap", key));
        let changed = changed.into_iter().filter_map(|(key, changed)| changed.then_some(key));
        object.into_iter().flat_map(move |object| {
            changed.clone().map(move |key| {
                let message =
                    "read at the start: the change has no effect until the program is started again".to_owned();
                Finding::warning(&object, key, "needs-restart", message, "restart the program when it suits you")
            })
        })
    }
}

/// Where the system does not say how many files may be open.
const LEAST_FILES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn started(settings: ProcessSettings) -> Started {
        Started { config_map: Some(ObjectKey::new("demo", "config")), settings }
    }

    #[test]
    fn a_later_change_is_said_by_key() {
        let start = ProcessSettings::default();
        let more = ProcessSettings { workers: NonZeroUsize::new(7), ..start };
        let slower = ProcessSettings { shutdown_timeout: std::time::Duration::ZERO, ..start };
        let fields = |now| started(start).findings(now).map(|finding| finding.field).collect::<Vec<_>>();
        assert_eq!(fields(&more), ["worker-processes"]);
        assert_eq!(fields(&slower), [""; 0]);
        assert_eq!(fields(&start), [""; 0]);
    }

    #[test]
    fn connections_are_a_number_or_a_share_of_the_open_files() {
        let two = ProcessSettings { workers: NonZeroUsize::new(2), ..ProcessSettings::default() };
        assert_eq!(started(two).connections(Some(4096)).get(), 16_384);
        let shared = ProcessSettings { connections: None, ..two };
        assert_eq!(started(shared).connections(Some(4096)).get(), 1536);
        assert_eq!(started(shared).connections(Some(1)).get(), 1);
    }
}
