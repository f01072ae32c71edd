//! What is said about an object: the same words in `lint`, Events, the webhook's answer and the log.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::ObjectKey;

/// Something a user should know about an object.
///
/// Findings are ordered by object, field and code, so that output does not depend on the order of work.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Finding {
    /// The object it is about.
    pub object: ObjectRef,
    /// Annotation key, ConfigMap key, or path of the field (`spec.rules[0].host`); empty for the object as a whole.
    pub field: String,
    /// How bad it is.
    pub severity: Severity,
    /// Stable code in kebab case, such as `invalid-annotation`.
    pub code: &'static str,
    /// What is the matter: what was read, and what happens because of it.
    pub message: String,
    /// What to do about it; empty where there is nothing to do.
    pub help: String,
}

/// How bad a finding is. `lint` fails on errors only.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Part of what the user asked for is not served.
    Error,
    /// Served, but perhaps not as meant.
    Warning,
    /// Served differently from ingress-nginx on purpose, or worth knowing.
    Info,
}

impl Finding {
    /// An error about `object`.
    #[must_use]
    pub fn error(object: &ObjectRef, field: &str, code: &'static str, message: String, help: &str) -> Self {
        Self::new(Severity::Error, object, field, code, message, help)
    }

    /// A warning about `object`.
    #[must_use]
    pub fn warning(object: &ObjectRef, field: &str, code: &'static str, message: String, help: &str) -> Self {
        Self::new(Severity::Warning, object, field, code, message, help)
    }

    /// Something worth knowing about `object`.
    #[must_use]
    pub fn info(object: &ObjectRef, field: &str, code: &'static str, message: String, help: &str) -> Self {
        Self::new(Severity::Info, object, field, code, message, help)
    }

    fn new(
        severity: Severity,
        object: &ObjectRef,
        field: &str,
        code: &'static str,
        message: String,
        help: &str,
    ) -> Self {
        Self { object: object.clone(), field: field.to_owned(), severity, code, message, help: help.to_owned() }
    }
}

/// A text of a user, for messages: control characters escaped, and cut where it gets long.
#[must_use]
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_default).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

impl fmt::Display for Severity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}

/// Kind, namespace and name of an object.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ObjectRef {
    /// Kind, such as `Ingress`.
    pub kind: &'static str,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl ObjectRef {
    /// An object of this kind, namespace and name.
    #[must_use]
    pub fn new(kind: &'static str, key: &ObjectKey) -> Self {
        Self { kind, namespace: key.namespace.clone(), name: key.name.clone() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.namespace {
            "" => write!(out, "{} {}", self.kind, self.name),
            namespace => write!(out, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}[{}] {}", self.severity, self.code, self.object)?;
        if !self.field.is_empty() {
            write!(out, " {}", self.field)?;
        }
        write!(out, ": {}", self.message)?;
        if !self.help.is_empty() {
            write!(out, " ({})", self.help)?;
        }
        Ok(())
    }
}
