//! `portcullis serve`: manifests from files, without a cluster.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use portcullis::instance::{self, Listening};
use portcullis::source::{Changes, FileSource, FollowedFiles};
use portcullis::{reconcile, telemetry};

use super::flags::{FlagSet, UsageError};
use super::output;
use super::settings::Settings;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Manifest files, and folders whose *.yaml, *.yml and *.json files are read.
    #[arg(required_unless_present = "version", value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    flags: FlagSet,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let flags = &arguments.flags;
    if flags.is_on("version") {
        output::print(concat!("portcullis ", env!("CARGO_PKG_VERSION"), "\n"));
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.paths.is_empty() {
        return Err(UsageError("give the files or folders to serve".to_owned()).into());
    }
    let settings = Settings::resolve(flags)?;
    start_log(flags);
    let changes = Arc::new(Changes::default());
    let source = FileSource::watch(&arguments.paths, changes.clone())?;
    let input = reconcile::Input {
        source: Box::new(FollowedFiles::new(source, changes.clone())),
        options: settings.translation.clone(),
        findings: flags.findings(),
        dns: settings.dns.clone(),
    };
    instance::run(instance::control_runtime()?, settings.instance(changes), input, announce)?;
    Ok(ExitCode::SUCCESS)
}

/// Starts the log of the controller: `RUST_LOG`, else `--v`.
pub(super) fn start_log(flags: &FlagSet) {
    let filter = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    telemetry::start(filter.as_deref(), flags.text("v").parse().unwrap_or(0));
    telemetry::count_panics();
}

/// The one line that says where requests are answered, for programs that wait for it.
pub(super) fn announce(listening: &Listening) {
    let mut line = serde_json::json!({
        "event": "listening",
        "http": listening.http.to_string(),
        "https": listening.https.to_string(),
        "admin": listening.admin.to_string(),
    });
    if let (Some(health), Some(fields)) = (listening.health, line.as_object_mut()) {
        fields.insert("health".to_owned(), health.to_string().into());
    }
    if let (Some(webhook), Some(fields)) = (listening.webhook, line.as_object_mut()) {
        fields.insert("webhook".to_owned(), webhook.to_string().into());
    }
    output::print(&format!("{line}\n"));
}
