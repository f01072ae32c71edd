//! The log of the controller: to stderr, one line per event.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicU64, Ordering};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Starts logging. `filter` is in the form of `RUST_LOG` and has precedence; else `verbosity` counts as klog's does: from 3 on
/// debug, from 5 on trace. Does nothing when logging has been started.
pub fn start(filter: Option<&str>, verbosity: i64) {
    let level = match verbosity {
        ..3 => LevelFilter::INFO,
        3..5 => LevelFilter::DEBUG,
        5.. => LevelFilter::TRACE,
    };
    // The client of the API server warns with the whole text of an answer that it cannot read, which may be a Secret.
    // That of its watches warns at every failure, also of those that may fail; the source tells what users should know.
    let default = format!("warn,kube_client::client=error,kube_runtime::watcher=error,portcullis={level}");
    let filter = EnvFilter::builder().parse_lossy(filter.unwrap_or(&default));
    let log = tracing_subscriber::fmt().compact().with_env_filter(filter).with_writer(io::stderr);
    let started = log.with_ansi(io::stderr().is_terminal()).try_init();
    if started.is_err() {
        tracing::debug!("logging has been started before");
    }
}

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts and logs panics. They end the task in which they happen, never the process.
pub fn count_panics() {
    std::panic::set_hook(Box::new(|panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or_default();
        tracing::error!(location, message, "panic: this is a fault of Portcullis, please report it");
    }));
}

/// How many panics there were.
#[must_use]
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}
