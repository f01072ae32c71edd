//! What the process reads from the ConfigMap and class parameters at its start, and what is said when that changes later.

use std::num::NonZeroUsize;

use portcullis_model::ProcessSettings;
use portcullis_translate::{Config, Finding, ObjectRef, Options, Resources};

use crate::workers;

/// What a process was started with.
#[derive(Clone, Debug)]
pub struct Started {
    settings: ProcessSettings,
}

impl Started {
    /// Reads what is among `resources`.
    #[must_use]
    pub fn with(resources: &Resources, options: &Options) -> Self {
        let settings = Config::of(resources, options).settings.process;
        Self { settings }
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

    /// What to know where `now` differs from what the process was started with; `origin` says where a key is set.
    pub(crate) fn findings(
        &self,
        now: &ProcessSettings,
        origin: impl Fn(&str) -> Option<(ObjectRef, String)>,
    ) -> impl Iterator<Item = Finding> {
        let ProcessSettings { workers, connections, shutdown_timeout: _ } = self.settings;
        let changed =
            [("worker-processes", workers != now.workers), ("max-worker-connections", connections != now.connections)];
        changed.into_iter().filter(|(_, changed)| *changed).filter_map(move |(key, _)| {
            let (object, field) = origin(key)?;
            let message = "read at the start: the change has no effect until the program is started again".to_owned();
            Some(Finding::warning(&object, &field, "needs-restart", message, "restart the program when it suits you"))
        })
    }
}

/// Where the system does not say how many files may be open.
const LEAST_FILES: usize = 1024;

#[cfg(test)]
mod tests {
    use portcullis_translate::ObjectKey;

    use super::*;

    fn started(settings: ProcessSettings) -> Started {
        Started { settings }
    }

    #[test]
    fn a_later_change_is_said_by_key() {
        let start = ProcessSettings::default();
        let more = ProcessSettings { workers: NonZeroUsize::new(7), ..start };
        let slower = ProcessSettings { shutdown_timeout: std::time::Duration::ZERO, ..start };
        let origin = |key: &str| Some((ObjectRef::new("ConfigMap", &ObjectKey::new("demo", "config")), key.to_owned()));
        let fields = |now| started(start).findings(now, origin).map(|finding| finding.field).collect::<Vec<_>>();
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
