//! The flags of `serve` and `run`: those of ingress-nginx by the same names, and a few of our own, from one table.
//!
//! Parser, documentation and the findings about flags without effect all read [`table::FLAGS`].

mod table;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command};
use portcullis_translate::{Finding, ObjectRef, Severity};
pub(super) use table::{FLAGS, SECTIONS};
pub(super) use value::{Kind, duration, endpoint, nameserver, namespaced_name, switch};

/// One flag.
#[derive(Debug)]
pub(super) struct Flag {
    /// Name without dashes.
    pub(super) name: &'static str,
    /// Heading under which it is listed.
    pub(super) section: &'static str,
    /// What values it takes.
    pub(super) kind: Kind,
    /// Without a cluster.
    pub(super) files: Side,
    /// In a cluster.
    pub(super) cluster: Side,
    /// What it is for.
    pub(super) doc: &'static str,
}

/// What a flag is with one of the commands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Side {
    /// Value where it is not given, as it would be written.
    pub(super) default: &'static str,
    /// Whether it does something.
    pub(super) effect: Effect,
}

/// Where objects come from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Place {
    /// Files: `serve` and its relatives.
    #[default]
    Files,
    /// The API server: `run`.
    Cluster,
}

impl Flag {
    /// What it is at a place.
    pub(super) fn at(&self, place: Place) -> Side {
        match place {
            Place::Files => self.files,
            Place::Cluster => self.cluster,
        }
    }

    /// The same, but in a cluster.
    const fn in_cluster(self, default: &'static str, effect: Effect) -> Self {
        Self { cluster: Side { default, effect }, ..self }
    }
}

/// Whether a flag does something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Effect {
    /// It does what it says.
    InForce,
    /// Accepted; what it asks for is not built yet.
    NotYet,
    /// Accepted; there is nothing to do for this reason.
    Nothing(&'static str),
}

/// The other spelling of klog's names.
fn alias(name: &str) -> Option<&'static str> {
    Some(match name {
        "legacy_stderr_threshold_behavior" => "legacy-stderr-threshold-behavior",
        "log_backtrace_at" => "log-backtrace-at",
        "log_dir" => "log-dir",
        "log_file" => "log-file",
        "log_file_max_size" => "log-file-max-size",
        "add_dir_header" => "add-dir-header",
        "one_output" => "one-output",
        "skip_headers" => "skip-headers",
        "skip_log_headers" => "skip-log-headers",
        _ => return None,
    })
}

fn add_to(command: Command, place: Place, hidden: bool) -> Command {
    FLAGS.iter().fold(command.args_override_self(true), |command, flag| command.arg(argument(flag, place).hide(hidden)))
}

fn argument(flag: &'static Flag, place: Place) -> Arg {
    let kind = flag.kind;
    let argument = Arg::new(flag.name)
        .long(flag.name)
        .aliases(alias(flag.name))
        .help_heading(flag.section)
        .help(help(flag, flag.at(place)))
        .value_name(kind.metavariable())
        .value_parser(move |text: &str| kind.check(text).map(|()| text.to_owned()));
    let argument = match flag.name {
        "v" => argument.short('v'),
        _ => argument,
    };
    match kind {
        // As in GNU style, the next argument is never the value of a switch.
        Kind::Switch => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::Endpoint => argument.action(ArgAction::Append),
        _ => argument,
    }
}

fn help(flag: &Flag, side: Side) -> String {
    let default = if side.default.is_empty() { String::new() } else { format!(" [default: {}]", side.default) };
    let effect = match side.effect {
        Effect::InForce => "",
        Effect::NotYet => " (no effect yet)",
        Effect::Nothing(_) => " (no effect)",
    };
    format!("{}{default}{effect}", flag.doc)
}

/// The flags that were given. Every value has passed the check of its kind.
#[derive(Clone, Debug, Default)]
pub(super) struct FlagSet {
    place: Place,
    given: BTreeMap<&'static str, Vec<String>>,
}

impl clap::FromArgMatches for FlagSet {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self::from_matches(matches, Place::Files))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_matches(matches, Place::Files);
        Ok(())
    }
}

impl clap::Args for FlagSet {
    fn augment_args(command: Command) -> Command {
        add_to(command, Place::Files, false)
    }

    fn augment_args_for_update(command: Command) -> Command {
        add_to(command, Place::Files, false)
    }
}

/// The same flags, left out of the help: for commands that accept those of `serve`, so that one can paste them.
#[derive(Clone, Debug, Default)]
pub(super) struct HiddenFlags(pub(super) FlagSet);

impl clap::FromArgMatches for HiddenFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(FlagSet::from_matches(matches, Place::Files)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = FlagSet::from_matches(matches, Place::Files);
        Ok(())
    }
}

impl clap::Args for HiddenFlags {
    fn augment_args(command: Command) -> Command {
        add_to(command, Place::Files, true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        add_to(command, Place::Files, true)
    }
}

/// The same flags as they are in a cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct ClusterFlags(pub(super) FlagSet);

impl clap::FromArgMatches for ClusterFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(FlagSet::from_matches(matches, Place::Cluster)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = FlagSet::from_matches(matches, Place::Cluster);
        Ok(())
    }
}

impl clap::Args for ClusterFlags {
    fn augment_args(command: Command) -> Command {
        add_to(command, Place::Cluster, false)
    }

    fn augment_args_for_update(command: Command) -> Command {
        add_to(command, Place::Cluster, false)
    }
}

/// A value that cannot be used, or flags that cannot be used together: exit status 2.
#[derive(Debug)]
pub(super) struct UsageError(pub(super) String);

impl fmt::Display for UsageError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

impl FlagSet {
    /// What a command line gave.
    fn from_matches(matches: &ArgMatches, place: Place) -> Self {
        let given = FLAGS.iter().filter_map(|flag| {
            let values = matches.get_many::<String>(flag.name)?.cloned().collect();
            Some((flag.name, values))
        });
        Self { place, given: given.collect() }
    }

    /// The value of a flag, the last one where it was given several times, else its default.
    pub(super) fn text(&self, name: &str) -> &str {
        let given = self.given.get(name).and_then(|values| values.last());
        given.map_or_else(|| default(name, self.place), String::as_str)
    }

    /// For which place they are.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Whether a flag is on the command line.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// Every value of a flag that can be repeated.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.given.get(name).into_iter().flatten().map(String::as_str)
    }

    /// Whether a switch is on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        switch(self.text(name)).unwrap_or(false)
    }

    /// The value of a flag, read.
    pub(super) fn read<T>(&self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Result<T, UsageError> {
        read(self.text(name)).map_err(|error| UsageError(format!("invalid value for --{name}: {error}")))
    }

    /// The value of a flag, read; nothing where it is empty.
    pub(super) fn read_some<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, UsageError> {
        match self.text(name) {
            "" => Ok(None),
            _ => self.read(name, read).map(Some),
        }
    }

    /// Refuses flags that exclude each other, as ingress-nginx does.
    pub(super) fn check_together(&self) -> Result<(), UsageError> {
        for (one, other) in
            [("publish-service", "publish-status-address"), ("watch-namespace", "watch-namespace-selector")]
        {
            if !self.text(one).is_empty() && !self.text(other).is_empty() {
                return Err(UsageError(format!("--{one} and --{other} exclude each other; give one of them")));
            }
        }
        if self.is_on("metrics-per-undefined-host") && !self.is_on("metrics-per-host") {
            return Err(UsageError("--metrics-per-undefined-host needs --metrics-per-host=true".to_owned()));
        }
        Ok(())
    }

    /// What to know about given flags: those that do nothing although they differ from their default.
    pub(super) fn findings(&self) -> Vec<Finding> {
        FLAGS.iter().filter_map(|flag| self.finding(flag)).collect()
    }

    fn finding(&self, flag: &Flag) -> Option<Finding> {
        let value = self.given.get(flag.name)?.last()?;
        let Side { default, effect } = flag.at(self.place);
        if flag.kind.same(value, default) {
            return None;
        }
        let (severity, message, help) = match effect {
            Effect::InForce => return None,
            Effect::NotYet => (
                Severity::Warning,
                format!("`{}` is accepted and has no effect yet", flag.kind.shown(value)),
                "remove it where you rely on it",
            ),
            Effect::Nothing(why) => (Severity::Info, format!("has no effect: {why}"), ""),
        };
        Some(Finding {
            object: ObjectRef {
                kind: "Flag",
                namespace: Arc::from(""),
                name: Arc::from(format!("--{}", flag.name).as_str()),
            },
            field: String::new(),
            severity,
            code: "flag-without-effect",
            message,
            help: help.to_owned(),
        })
    }
}

fn default(name: &str, place: Place) -> &'static str {
    FLAGS.iter().find(|flag| flag.name == name).map_or("", |flag| flag.at(place).default)
}

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
