//! What an annotation is: one definition that the parser, `docs`, `lint` and the webhook read.

use serde::Serialize;

use super::chars::Chars;
use super::reader::Reader;
use super::value::Fault;
use super::{Draft, Risk};

/// One annotation, by its name without prefix.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spec {
    /// Name without prefix.
    pub key: &'static str,
    /// Other names it may have; the name in [`Spec::key`] wins.
    pub aliases: &'static [&'static str],
    /// Syntax of the value, for people.
    pub value: &'static str,
    /// What holds where the key is absent, as a value; empty where nothing does.
    pub default: &'static str,
    /// The ConfigMap key that replaces [`Spec::default`].
    pub config_key: Option<&'static str>,
    /// What it acts on.
    pub scope: Scope,
    /// Compared with the ConfigMap's `annotations-risk-level`.
    pub risk: Risk,
    /// What a bad value does.
    pub on_error: OnError,
    /// Whether leaving it out would let requests in that it keeps out. Such a key is never ignored: its routes are closed instead.
    pub protects: bool,
    /// How far it is honoured.
    pub support: Support,
    /// Characters that ingress-nginx accepts.
    #[serde(skip)]
    pub(super) chars: Chars,
    /// What it does, for people.
    pub doc: &'static str,
}

impl Spec {
    /// What most keys have in common.
    pub(super) const BASE: Self = Self {
        key: "",
        aliases: &[],
        value: "",
        default: "",
        config_key: None,
        scope: Scope::Route,
        risk: Risk::Low,
        on_error: OnError::UseDefault,
        protects: false,
        support: Support::Full,
        chars: Chars::Typed,
        doc: "",
    };
}

/// What an annotation acts on. Where several Ingresses meet on a host or Service port, the oldest one that sets the key decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Scope {
    /// Every path of the Ingress, and nothing else.
    Route,
    /// The hosts of the Ingress, also where other Ingresses serve them.
    Host,
    /// The Service ports of the Ingress, wherever they are used.
    Cluster,
    /// The Ingress as a whole.
    Ingress,
}

/// What a bad value does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum OnError {
    /// The Ingress is not served. Where the key protects, it keeps its hosts and paths, which answer 503.
    Reject,
    /// Every path of the Ingress answers 503.
    DenyRoute,
    /// The annotations of the same feature act as absent.
    IgnoreGroup,
    /// The default holds.
    UseDefault,
}

/// How far an annotation is honoured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Support {
    /// As ingress-nginx does.
    Full,
    /// Some values, which the documentation of the key names.
    Partial,
    /// Known, without effect yet; a finding says so.
    NotYet,
    /// Known and meant to stay without effect.
    Never,
}

/// A feature: annotations that are read together.
pub struct Group {
    /// Name, which is also that of its module.
    pub name: &'static str,
    /// What it does for users.
    pub doc: &'static str,
    pub(super) keys: &'static [&'static dyn Registered],
    pub(super) parse: fn(&mut Reader<'_>, &mut Draft),
}

impl Group {
    /// The annotations of the group.
    pub fn specs(&self) -> impl Iterator<Item = &'static Spec> {
        self.keys.iter().map(|key| key.spec())
    }
}

/// An annotation with the parser of its value.
pub(super) struct Key<T: 'static> {
    pub(super) spec: Spec,
    /// Reads a value that is not empty and whose characters were looked at.
    pub(super) parse: fn(&str) -> Result<T, Fault>,
}

/// A [`Key`] of any type, as the registry lists it.
pub(super) trait Registered: Sync {
    fn spec(&self) -> &Spec;

    /// Whether the parser takes the value.
    #[cfg(test)]
    fn check(&self, text: &str) -> Result<(), Fault>;
}

impl<T> Registered for Key<T> {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    #[cfg(test)]
    fn check(&self, text: &str) -> Result<(), Fault> {
        (self.parse)(text).map(drop)
    }
}
