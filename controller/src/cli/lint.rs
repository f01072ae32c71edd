//! `portcullis lint`: findings about manifests, without serving them.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use portcullis::source::FileSource;
use portcullis_translate::{Finding, Memo, Severity, translate};
use serde::Serialize;

use super::flags::HiddenFlags;
use super::output::{self, Format};
use super::settings;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Manifest files and folders.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How findings are written.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
    /// Every flag of `serve`: those about class, scope and configuration decide what is served.
    #[command(flatten)]
    flags: HiddenFlags,
}

/// All findings, and how many there are of each kind.
#[derive(Serialize)]
struct Report<'f> {
    errors: usize,
    warnings: usize,
    infos: usize,
    findings: &'f [Finding],
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let flags = &arguments.flags.0;
    flags.check_together()?;
    let options = settings::translation(flags)?;
    let source = FileSource::read(&arguments.paths)?;
    let translated = translate(source.resources(), &options, &mut Memo::default()).findings;
    let mut findings = flags.findings();
    findings.extend(source.findings());
    findings.extend(translated);
    findings.sort();
    findings.dedup();
    let report = Report::new(&findings);
    output::print(&match arguments.output {
        Format::Text => report.text(source.file_count()),
        Format::Json => serde_json::to_string_pretty(&report)? + "\n",
    });
    Ok(if report.errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl<'f> Report<'f> {
    fn new(findings: &'f [Finding]) -> Self {
        let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        Self { errors: of(Severity::Error), warnings: of(Severity::Warning), infos: of(Severity::Info), findings }
    }

    fn text(&self, files: usize) -> String {
        let mut text = String::new();
        for finding in self.findings {
            write_finding(&mut text, finding);
        }
        let Self { errors, warnings, infos, .. } = self;
        let _infallible = writeln!(text, "{files} files: {errors} errors, {warnings} warnings, {infos} notes");
        text
    }
}

fn write_finding(text: &mut String, finding: &Finding) {
    let Finding { object, field, severity, code, message, help } = finding;
    let field = if field.is_empty() { String::new() } else { format!(", {field}") };
    let _infallible = writeln!(text, "{severity}[{code}] {object}{field}\n  {message}");
    for line in help.lines() {
        let _infallible = writeln!(text, "  > {line}");
    }
}
