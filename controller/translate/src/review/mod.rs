//! The verdict of the admission webhook about one Ingress, as if it were among the others already.
//!
//! Denied is what would not be served at all, and what ingress-nginx denies on purpose: suspicious strings, paths that do not
//! fit their type, forbidden words, snippets, paths that another Ingress has. Whatever else the translation finds is a warning,
//! also where paths will answer 503: ingress-nginx takes such objects.

mod overlap;
mod related;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::api::networking::v1::Ingress;

use crate::annotations::{Risk, rejection};
use crate::class::{Classes, Verdict};
use crate::ingress::Parsed;
use crate::translation::translate_only;
use crate::{Config, Finding, Memo, ObjectKey, ObjectRef, Options, Resources, Severity, inspect, quoted};

/// Most warnings of one review; the API server hands on 4 KiB of them (Kubernetes: admission webhooks, response).
const MAX_WARNINGS: usize = 20;

/// Findings that are no warnings here: what is missing now is often created next, in the same breath or by another controller.
/// Secrets may even be there: what one holds is read only when a stored Ingress names it.
const OFTEN_TOO_EARLY: [&str; 3] = ["service-not-found", "secret-not-found", "default-certificate"];

/// What is said about an Ingress before it is stored.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Review {
    /// Why it is denied; none where it is allowed.
    pub refusal: Option<String>,
    /// What its author should know, whether it is allowed or not; one line each.
    pub warnings: Vec<String>,
    /// How many Ingresses were translated for it, itself among them; 0 where it was not necessary or it is not one of ours.
    pub translated: usize,
}

impl Review {
    fn denied(refusal: String) -> Self {
        Self { refusal: Some(refusal), ..Self::default() }
    }
}

/// Reviews an Ingress that is to be created, or to take the place of the one of that name.
///
/// Only the Ingresses that share a host with it are translated, so that the time depends on those, and on a look at the hosts of
/// all.
#[must_use]
pub fn review(resources: &Resources, options: &Options, key: &ObjectKey, ingress: &Arc<Ingress>) -> Review {
    if ingress.metadata.deletion_timestamp.is_some() {
        return Review::default();
    }
    // As in ingress-nginx, whoever's class it is of.
    if options.deep_inspect
        && let Some((field, text)) = inspect::suspicious(ingress)
    {
        return Review::denied(format!("invalid object: {}: invalid value found: {}", place(&field), quoted(text)));
    }
    let Verdict::Ours = Classes::new(resources, options).verdict(key, ingress) else { return Review::default() };
    let ingresses = related::with(key, ingress, resources, options);
    let mut memo = Memo::default();
    let mut findings = translate_only(&ingresses, resources, options, &mut memo).findings;
    let object = ObjectRef::new("Ingress", key);
    findings.retain(|finding| finding.object == object && finding.severity != Severity::Info);
    let parsed: Vec<Arc<Parsed>> = memo.ingresses.values().map(|(_, parsed)| Arc::clone(parsed)).collect();
    let inquiry = Inquiry { ingress, options, config: &Config::of(resources, options), findings: &findings };
    let is_new = !resources.ingresses.contains_key(key);
    let overlap = overlap::find(key, parsed, &ingresses, options, is_new);
    let is_told = |finding: &Finding| {
        inquiry.denies(finding)
            || OFTEN_TOO_EARLY.contains(&finding.code)
            || (overlap.is_some() && finding.code == "path-conflict")
    };
    let warnings = findings.iter().filter(|finding| !is_told(finding)).map(|finding| line(finding, &finding.message));
    let warnings = warnings.take(MAX_WARNINGS).collect();
    Review { warnings, refusal: inquiry.refusal().or(overlap), translated: ingresses.len() }
}

/// One Ingress of ours, and what the translation says about it.
struct Inquiry<'a> {
    ingress: &'a Ingress,
    options: &'a Options,
    config: &'a Config,
    findings: &'a [Finding],
}

impl Inquiry<'_> {
    /// Why it is denied whatever other Ingresses there are; in the order of ingress-nginx.
    fn refusal(&self) -> Option<String> {
        self.catch_all()
            .or_else(|| self.uid())
            .or_else(|| self.told("ingress contains invalid paths: ", |finding| self.is_bad_path(finding)))
            .or_else(|| self.told("", |finding| finding.code == "stock-prefix"))
            .or_else(|| self.told("", |finding| finding.code == "forbidden-word"))
            .or_else(|| self.snippet())
            .or_else(|| self.told("", |finding| self.denies(finding)))
    }

    /// Whether a finding alone denies the Ingress.
    fn denies(&self, finding: &Finding) -> bool {
        let rejects = rejection(finding).is_some() && !self.is_accepted_snippet(finding);
        rejects || self.is_bad_path(finding) || ["stock-prefix", "catch-all-disabled"].contains(&finding.code)
    }

    /// Where the ConfigMap accepts snippets, ingress-nginx takes them; what is not understood here is a warning.
    fn is_accepted_snippet(&self, finding: &Finding) -> bool {
        let accepted = self.config.allow_snippets && self.config.risk_level == Risk::Critical;
        accepted && finding.code == "snippet-refused"
    }

    fn is_bad_path(&self, finding: &Finding) -> bool {
        self.config.strict_path_types && ["path-not-valid-for-type", "invalid-path"].contains(&finding.code)
    }

    fn told(&self, start: &str, wanted: impl Fn(&Finding) -> bool) -> Option<String> {
        let told = self.findings.iter().filter(|finding| wanted(finding));
        let told = told.map(|finding| line(finding, rejection(finding).unwrap_or(&finding.message)));
        let told: Vec<String> = told.collect();
        (!told.is_empty()).then(|| format!("{start}{}", told.join("; ")))
    }

    fn catch_all(&self) -> Option<String> {
        let has_default = self.ingress.spec.as_ref().is_some_and(|spec| spec.default_backend.is_some());
        (self.options.disable_catch_all && has_default).then(|| {
            "this would be a catch-all Ingress, which --disable-catch-all forbids: remove spec.defaultBackend"
                .to_owned()
        })
    }

    fn uid(&self) -> Option<String> {
        let uid = self.ingress.metadata.uid.as_deref().unwrap_or_default();
        (!is_uuid(uid)).then(|| format!("ingress has invalid UID: {} is not a UUID", quoted(uid)))
    }

    /// Any key that ends so, of whatever prefix.
    fn snippet(&self) -> Option<String> {
        let mut keys = self.ingress.metadata.annotations.iter().flatten().map(|(key, _)| key);
        let key = keys.find(|key| key.ends_with("-snippet")).filter(|_| !self.config.allow_snippets)?;
        Some(format!(
            "{key} annotation cannot be used. Snippet directives are disabled by the ConfigMap key \
             allow-snippet-annotations, and are never executed here"
        ))
    }
}

/// A finding in one line, with this message.
fn line(finding: &Finding, message: &str) -> String {
    let Finding { field, help, .. } = finding;
    let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
    let help = if help.is_empty() { String::new() } else { format!(" ({})", help.replace('\n', " ")) };
    format!("{field}{message}{help}")
}

/// What a string of the spec is, as ingress-nginx calls it.
fn place(field: &str) -> &'static str {
    match field.rsplit('.').next() {
        Some("path") => "invalid http path",
        Some("secretName") => "invalid secret",
        _ => "invalid host",
    }
}

/// Whether a text is a UUID as Kubernetes makes them: lower case, with hyphens.
fn is_uuid(text: &str) -> bool {
    let is_hyphen = |place: usize| [8, 13, 18, 23].contains(&place);
    let fits = |(place, octet): (usize, u8)| match octet {
        b'-' => is_hyphen(place),
        b'0'..=b'9' | b'a'..=b'f' => !is_hyphen(place),
        _ => false,
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}
