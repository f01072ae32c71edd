//! What annotations do to their Ingress, and what is said about them.

use std::sync::Arc;

use portcullis_model::policy::Closed;

use super::super::spec::{Scope, Spec};
use super::Reader;
use crate::annotations::Draft;
use crate::{Finding, ObjectKey, Severity};

/// Why an Ingress is taken out.
pub(in crate::annotations) struct Rejection<'s> {
    /// What the draft names.
    pub(in crate::annotations) key: &'static str,
    /// The protecting key whose routes stay closed.
    pub(in crate::annotations) closing: Option<&'s Spec>,
    pub(in crate::annotations) code: &'static str,
    pub(in crate::annotations) message: String,
    pub(in crate::annotations) help: &'s str,
}

pub(super) const REJECTED: &str = "the Ingress is not served";
pub(super) const REJECTED_AND_CLOSED: &str =
    "the Ingress is not served; because the key protects, its paths answer 503 so that no other rule does";

/// Why an Ingress is taken out, where that is what a finding says: its message without what happens then.
pub(crate) fn rejection(finding: &Finding) -> Option<&str> {
    let message = Some(&*finding.message).filter(|_| finding.severity == Severity::Error)?;
    let message = message.strip_suffix(REJECTED).or_else(|| message.strip_suffix(REJECTED_AND_CLOSED))?;
    Some(message.trim_end_matches("; "))
}

impl Reader<'_> {
    /// Says that a value is not used as it stands, and what happens instead.
    pub(in crate::annotations) fn adjusted(&mut self, spec: &Spec, message: String) {
        let help = format!("expected: {}", spec.value);
        self.push(Finding::warning(&self.object, &self.field(spec.key), "invalid-annotation", message, &help));
    }

    /// Says that part of what the key asks for is left out.
    pub(in crate::annotations) fn left_out(&mut self, spec: &Spec, message: String) {
        let help = format!("expected: {}", spec.value);
        self.push(Finding::error(&self.object, &self.field(spec.key), "invalid-annotation", message, &help));
    }

    /// Says something worth knowing about a value that is used.
    pub(in crate::annotations) fn remark(&mut self, spec: &Spec, code: &'static str, message: String) {
        self.push(Finding::info(&self.object, &self.field(spec.key), code, message, ""));
    }

    /// Says that a key does nothing here.
    pub(in crate::annotations) fn no_effect(&mut self, key: &str, reason: &str) {
        let message = format!("no effect: {}", reason.trim_end_matches('.'));
        self.push(Finding::info(&self.object, &self.field(key), "no-effect", message, "remove it"));
    }

    /// Warns about a key.
    pub(in crate::annotations) fn warn(&mut self, key: &str, code: &'static str, message: String, help: &str) {
        self.push(Finding::warning(&self.object, &self.field(key), code, message, help));
    }

    /// Says that a value is understood and not honoured yet.
    pub(in crate::annotations) fn not_yet(&mut self, spec: &Spec, what: &str) {
        let field = self.field(self.written(spec));
        if spec.protects {
            self.close_all(spec);
            let reach = if spec.scope == Scope::Host { "every path of its hosts" } else { "every path of the Ingress" };
            let message = format!("{what} is not supported yet; because it keeps requests out, {reach} answers 503");
            let help = "remove it only if the paths may be open to everyone";
            self.push(Finding::error(&self.object, &field, "not-yet-supported", message, help));
        } else {
            let message = format!("{what} is not supported yet, and has no effect");
            self.push(Finding::warning(&self.object, &field, "not-yet-supported", message, ""));
        }
    }

    /// Says that the Ingress cannot work with this value, and closes it.
    pub(in crate::annotations) fn cannot_serve(&mut self, spec: &Spec, what: &str) {
        if self.on_canary {
            return self.no_effect(spec.key, "a canary takes it from its primary");
        }
        self.close(spec);
        let message = format!("{what} is not supported yet; every path of the Ingress answers 503");
        self.push(Finding::error(&self.object, &self.field(spec.key), "not-yet-supported", message, ""));
    }

    /// Accepts the Ingress and closes it, since a value can never be honoured.
    pub(in crate::annotations) fn deny(&mut self, spec: &Spec, code: &'static str, reason: &str, help: &str) {
        if self.on_canary {
            return self.no_effect(spec.key, "a canary takes it from its primary");
        }
        self.close_all(spec);
        let message = format!("{reason}; every path of the Ingress answers 503");
        self.push(Finding::error(&self.object, &self.field(spec.key), code, message, help));
    }

    /// Namespace and name of the Ingress.
    pub(in crate::annotations) fn ingress(&self) -> &ObjectKey {
        self.ingress
    }

    /// Takes the Ingress out because of one annotation, whatever the others say.
    pub(in crate::annotations) fn reject(&mut self, key: &str, because: &Rejection<'_>) {
        self.rejected.get_or_insert(because.key);
        if let Some(spec) = because.closing {
            self.close(spec);
        }
        let end = if because.closing.is_some() { REJECTED_AND_CLOSED } else { REJECTED };
        let message = format!("{}; {end}", because.message);
        self.push(Finding::error(&self.object, &self.field(key), because.code, message, because.help));
    }

    /// Refuses what a snippet asks for and goes on without it.
    pub(in crate::annotations) fn drop_snippet(&mut self, spec: &Spec, message: String, help: &str) {
        self.push(Finding::error(&self.object, &self.field(spec.key), "snippet-refused", message, help));
    }

    /// Closes the routes of the Ingress.
    pub(super) fn close(&mut self, spec: &Spec) {
        self.closed.get_or_insert_with(|| Closed { key: Arc::from(spec.key) });
    }

    /// Closes whatever the key protects: all routes of the hosts, also those of other Ingresses, where it acts on hosts.
    pub(super) fn close_all(&mut self, spec: &Spec) {
        self.close(spec);
        if spec.scope == Scope::Host {
            self.closed_host.get_or_insert_with(|| Closed { key: Arc::from(spec.key) });
        }
    }

    /// Hands the verdicts over. A canary has no routes of its own, so there is nothing to close.
    pub(in crate::annotations) fn finish(self, draft: &mut Draft) {
        draft.rejected = self.rejected;
        if !self.on_canary {
            draft.closed = draft.closed.take().or(self.closed);
            draft.closed_host = self.closed_host;
        }
    }
}
