//! The command line: what each command takes, and the exit status it ends with.
//!
//! 0: done. 1: it failed, or `lint` found errors. 2: the command line is not understood.

mod demo;
mod docs;
mod explain;
mod flags;
mod lint;
mod output;
mod serve;
mod settings;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use flags::UsageError;

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
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done where the terminal is gone.
            let _gone = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = match cli.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Lint(arguments) => lint::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Docs(arguments) => docs::run(&arguments),
    };
    done.unwrap_or_else(|error| {
        output::error(&format!("{error:#}"));
        if error.is::<UsageError>() { ExitCode::from(2) } else { ExitCode::FAILURE }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
