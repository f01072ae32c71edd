//! `portcullis docs`: references made from the definitions that the program itself reads.

use std::fmt::Write;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use portcullis_translate::{Config, annotations};

use super::flags::{Effect, FLAGS, Flag, Kind, SECTIONS, Side};
use super::output;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// What to print, as Markdown.
    #[arg(value_enum)]
    about: About,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum About {
    /// Annotations of Ingresses.
    Annotations,
    /// Keys of the controller's ConfigMap.
    Configmap,
    /// Flags of `serve` and `run`.
    Flags,
}

#[expect(clippy::unnecessary_wraps, reason = "all commands have one signature")]
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    output::print(&match arguments.about {
        About::Annotations => annotations::render_markdown(),
        About::Configmap => Config::render_markdown(),
        About::Flags => flags(),
    });
    Ok(ExitCode::SUCCESS)
}

fn flags() -> String {
    let mut text = String::from(
        "# Flags\n\nOf `serve` and `run`. Names and defaults of `run` are those of ingress-nginx; values are given as `--flag=value` or \
         `--flag value`, switches as `--flag`, `--flag=true` or `--flag=false`. A flag that has no effect is accepted, and said \
         to have none.\n",
    );
    for section in SECTIONS {
        let _infallible = write!(
            text,
            "\n## {section}\n\n| Flag | Value | Default | In force | What it does |\n| --- | --- | --- | --- | --- |\n"
        );
        for flag in FLAGS.iter().filter(|flag| flag.section == *section) {
            let value = if flag.kind == Kind::Switch { "" } else { flag.kind.metavariable() };
            let default = of_both(flag, |side| match side.default {
                "" => "–".to_owned(),
                default => format!("`{default}`"),
            });
            let effect = of_both(flag, |side| match side.effect {
                Effect::InForce => "yes".to_owned(),
                Effect::NotYet => "not yet".to_owned(),
                Effect::Nothing(why) => format!("no: {why}"),
            });
            let _infallible = writeln!(text, "| `--{}` | {value} | {default} | {effect} | {} |", flag.name, flag.doc);
        }
    }
    text
}

/// What is said of a flag; of each command where they differ.
fn of_both(flag: &Flag, say: impl Fn(Side) -> String) -> String {
    let [serve, run] = [flag.files, flag.cluster].map(say);
    if serve == run { serve } else { format!("`run`: {run}; `serve`: {serve}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_in_the_reference() {
        let text = flags();
        for flag in FLAGS {
            assert!(text.contains(&format!("\n| `--{}` |", flag.name)), "{}", flag.name);
        }
    }
}
