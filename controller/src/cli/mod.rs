//! The command line: what each command takes, and the exit status it ends with.
//!
//! 0: done. 1: it failed, or `lint` found errors. 2: the command line is not understood.

mod cluster_settings;
mod demo;
mod docs;
mod explain;
mod flags;
mod lint;
mod output;
mod run;
mod serve;
mod settings;
mod wait_shutdown;
mod webhook_settings;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use flags::UsageError;
use portcullis::capability;

/// A Layer-7 ingress controller for Kubernetes that takes the manifests, annotations, ConfigMap and flags of ingress-nginx as
/// they are.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the Ingresses of a cluster: what a Deployment runs.
    Run(run::Arguments),
    /// Serves manifest files and folders, without a cluster. A change on disk is served at once.
    Serve(serve::Arguments),
    /// Serves the bundled shop with embedded echo backends.
    Demo(demo::Arguments),
    /// Says what is wrong, surprising or served differently from ingress-nginx in manifests. Exit status 1 on errors.
    Lint(lint::Arguments),
    /// Says which route serves a request, and why each other lost.
    Explain(explain::Arguments),
    /// Prints a reference: of annotations, of ConfigMap keys, of flags.
    Docs(docs::Arguments),
}

/// Reads the command line, does what it says, and tells how it ended.
pub(crate) fn run() -> ExitCode {
    // Before threads, which take it over.
    if let Err(error) = capability::raise() {
        output::error(&format!("ports below 1024 may be refused: {error}"));
    }
    if is_called("wait-shutdown", std::env::args_os().next().as_deref()) {
        return ended(wait_shutdown::run());
    }
    let cli = match Cli::try_parse_from(arguments(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done where the terminal is gone.
            let _gone = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    ended(match cli.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Lint(arguments) => lint::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Docs(arguments) => docs::run(&arguments),
    })
}

fn ended(done: anyhow::Result<ExitCode>) -> ExitCode {
    done.unwrap_or_else(|error| {
        output::error(&format!("{error:#}"));
        if error.is::<UsageError>() { ExitCode::from(2) } else { ExitCode::FAILURE }
    })
}

/// Under the name of ingress-nginx's program it runs in a cluster, so that a Deployment made for it changes its image only.
fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = given.collect();
    if is_called("nginx-ingress-controller", arguments.first().map(OsString::as_os_str)) {
        arguments.insert(1, "run".into());
    }
    arguments
}

/// Whether the program was started by this name, such as that of a link to it.
fn is_called(name: &str, program: Option<&OsStr>) -> bool {
    program.and_then(|program| Path::new(program).file_name()).is_some_and(|file| file == name)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_name_of_another_program_means_to_run_in_a_cluster() {
        for (given, want) in [
            (&["/nginx-ingress-controller", "--v=2"][..], &["/nginx-ingress-controller", "run", "--v=2"][..]),
            (&["nginx-ingress-controller"], &["nginx-ingress-controller", "run"]),
            (&["/portcullis", "run"], &["/portcullis", "run"]),
            (&["/nginx-ingress-controller/portcullis", "lint"], &["/nginx-ingress-controller/portcullis", "lint"]),
            (&[], &[]),
        ] {
            assert_eq!(arguments(given.iter().map(OsString::from)), want);
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
