//! Reads the annotations of one Ingress, and says what is wrong with them.

mod verdict;

use std::collections::BTreeMap;

use portcullis_model::policy::Closed;

use super::Scope;
use super::spec::{Group, Key, OnError, Spec};
use super::value::Fault;
use crate::{Config, Finding, ObjectKey, ObjectRef, Options, quoted};
pub(super) use verdict::Rejection;
pub(crate) use verdict::rejection;
use verdict::{REJECTED, REJECTED_AND_CLOSED};

/// Knows the object, the flags and the ConfigMap, so that groups name neither.
pub(super) struct Reader<'a> {
    pub(super) config: &'a Config,
    options: &'a Options,
    ingress: &'a ObjectKey,
    object: ObjectRef,
    entries: Vec<Entry<'a>>,
    findings: &'a mut Vec<Finding>,
    group: &'static str,
    /// Whether the Ingress is a canary, which takes most settings from its primary.
    pub(super) on_canary: bool,
    rejected: Option<&'static str>,
    closed: Option<Closed>,
    closed_host: Option<Closed>,
}

/// An annotation of ours.
pub(super) struct Entry<'a> {
    /// Name without prefix.
    pub(super) key: &'a str,
    pub(super) value: &'a str,
    read: bool,
}

/// The rest of a group is to be passed over.
#[derive(Debug)]
pub(super) struct Ignored;

/// An annotation as it was found: under which name, and its value.
struct Found<'a> {
    key: &'a str,
    raw: &'a str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        ingress: &'a ObjectKey,
        annotations: &'a BTreeMap<String, String>,
        options: &'a Options,
        config: &'a Config,
        findings: &'a mut Vec<Finding>,
    ) -> Self {
        let own = |key: &'a str| key.strip_prefix(options.annotations_prefix.as_str())?.strip_prefix('/');
        let entries = annotations.iter().filter_map(|(key, value)| Some(Entry { key: own(key)?, value, read: false }));
        Self {
            config,
            options,
            ingress,
            object: ObjectRef::new("Ingress", ingress),
            entries: entries.collect(),
            findings,
            group: "",
            on_canary: false,
            rejected: None,
            closed: None,
            closed_host: None,
        }
    }

    /// Every annotation of ours, sorted by name.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.entries.iter().map(|entry| (entry.key, entry.value))
    }

    /// Those that no group has read so far.
    pub(super) fn unread(&self) -> impl Iterator<Item = &Entry<'a>> {
        self.entries.iter().filter(|entry| !entry.read)
    }

    /// Whether this annotation is there, under whichever name.
    pub(super) fn has(&self, spec: &Spec) -> bool {
        self.entries.iter().any(|entry| is_named(spec, entry.key))
    }

    /// Turns to the next group.
    pub(super) fn enter(&mut self, group: &Group) {
        self.group = group.name;
    }

    /// The value of a key that stands for itself: nothing where it is absent or refused.
    pub(super) fn value<T>(&mut self, key: &Key<T>) -> Option<T> {
        let found = self.find(&key.spec)?;
        self.parse(key, &found).map_err(|refusal| self.refuse(&key.spec, &found, &refusal, Reach::Key)).ok()
    }

    /// The value of a key whose group falls with it.
    ///
    /// # Errors
    ///
    /// When its value is refused such that the group acts as absent.
    pub(super) fn grouped<T>(&mut self, key: &Key<T>) -> Result<Option<T>, Ignored> {
        let Some(found) = self.find(&key.spec) else { return Ok(None) };
        match self.parse(key, &found) {
            Ok(value) => Ok(Some(value)),
            Err(refusal) => match self.refuse(&key.spec, &found, &refusal, Reach::Group) {
                OnError::IgnoreGroup => Err(Ignored),
                OnError::Reject | OnError::DenyRoute | OnError::UseDefault => Ok(None),
            },
        }
    }

    /// The value as written, without looking at it.
    pub(super) fn raw(&mut self, spec: &Spec) -> Option<&'a str> {
        self.find(spec).map(|found| found.raw)
    }

    /// The key itself, or an alias where the key is absent or empty. An empty alias is as none. All of them count as read.
    fn find(&mut self, spec: &Spec) -> Option<Found<'a>> {
        let mut named = None;
        let mut alias = None;
        for entry in self.entries.iter_mut().filter(|entry| is_named(spec, entry.key)) {
            entry.read = true;
            let found = Found { key: entry.key, raw: entry.value };
            if entry.key == spec.key {
                named = Some(found);
            } else if alias.is_none() && !entry.value.is_empty() {
                alias = Some(found);
            }
        }
        match named {
            Some(found) if found.raw.is_empty() => alias.or(Some(found)),
            Some(found) => Some(found),
            None => alias,
        }
    }

    fn parse<T>(&self, key: &Key<T>, found: &Found<'_>) -> Result<T, Refusal> {
        if found.raw.is_empty() {
            return Err(Refusal::Empty);
        }
        if self.options.annotation_validation {
            key.spec.chars.admit(found.raw).map_err(Refusal::Invalid)?;
        }
        let text = key.spec.chars.normalise(found.raw);
        if text.is_empty() {
            return Err(Refusal::Empty);
        }
        (key.parse)(&text).map_err(Refusal::Invalid)
    }

    /// Records what a refused value does, and says so.
    fn refuse(&mut self, spec: &Spec, found: &Found<'_>, refusal: &Refusal, reach: Reach) -> OnError {
        let outcome = self.outcome(spec, refusal);
        match outcome {
            OnError::Reject => {
                self.rejected.get_or_insert(spec.key);
                if spec.protects {
                    self.close(spec);
                }
            }
            OnError::DenyRoute => self.close_all(spec),
            OnError::IgnoreGroup | OnError::UseDefault => {}
        }
        let (code, fault) = match refusal {
            Refusal::Empty => ("empty-annotation", "the value is empty".to_owned()),
            Refusal::Invalid(fault) => ("invalid-annotation", format!("{} {}", quoted(found.raw), fault.verdict())),
        };
        let message = format!("{fault}; {}", self.consequence(spec, outcome, reach));
        let help = format!("expected: {}", spec.value);
        let make = match (outcome, refusal) {
            (OnError::Reject | OnError::DenyRoute, _) => Finding::error,
            (OnError::IgnoreGroup | OnError::UseDefault, Refusal::Invalid(_)) => Finding::warning,
            (OnError::IgnoreGroup | OnError::UseDefault, Refusal::Empty) => Finding::info,
        };
        self.push(make(&self.object, &self.field(found.key), code, message, &help));
        outcome
    }

    /// An empty value, and a bad one without validation, never take an Ingress out; what protects is closed all the same.
    fn outcome(&self, spec: &Spec, refusal: &Refusal) -> OnError {
        let lenient = matches!(refusal, Refusal::Empty) || !self.options.annotation_validation;
        match spec.on_error {
            OnError::Reject if lenient && spec.protects => OnError::DenyRoute,
            OnError::Reject if lenient => OnError::IgnoreGroup,
            OnError::DenyRoute if self.on_canary => OnError::IgnoreGroup,
            other => other,
        }
    }

    fn consequence(&self, spec: &Spec, outcome: OnError, reach: Reach) -> String {
        match (outcome, reach) {
            (OnError::Reject, _) if spec.protects && !self.on_canary => REJECTED_AND_CLOSED.to_owned(),
            (OnError::Reject, _) => REJECTED.to_owned(),
            (OnError::DenyRoute, _) if spec.scope == Scope::Host => "every path of its hosts answers 503".to_owned(),
            (OnError::DenyRoute, _) => "every path of the Ingress answers 503".to_owned(),
            (OnError::IgnoreGroup, Reach::Group) => {
                format!("all annotations of the group {} act as absent", self.group)
            }
            (OnError::UseDefault, _) if spec.config_key.is_some() => "the default is used".to_owned(),
            (OnError::UseDefault, _) if !spec.default.is_empty() => format!("the default {} is used", spec.default),
            (OnError::IgnoreGroup | OnError::UseDefault, _) => "it acts as absent".to_owned(),
        }
    }

    /// The name under which a key was written.
    fn written<'s>(&'s self, spec: &'s Spec) -> &'s str {
        let found = self.entries.iter().find(|entry| is_named(spec, entry.key) && !entry.value.is_empty());
        found.map_or(spec.key, |entry| entry.key)
    }

    fn field(&self, key: &str) -> String {
        format!("{}/{key}", self.options.annotations_prefix)
    }

    fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }
}

enum Refusal {
    Empty,
    Invalid(Fault),
}

/// How much falls with a key that is ignored.
#[derive(Clone, Copy)]
enum Reach {
    Key,
    Group,
}

fn is_named(spec: &Spec, key: &str) -> bool {
    spec.key == key || spec.aliases.contains(&key)
}
