//! What is said about an object, and the Event it becomes (`core/v1`, the kind that ingress-nginx's role allows).

use std::borrow::Cow;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use portcullis_translate::{Finding, ObjectRef, Severity};

use crate::source::cluster::Reference;

/// The name that ingress-nginx gives as the source of its Events.
pub(super) const COMPONENT: &str = "nginx-ingress-controller";

/// Longest message, in octets, as in `events.k8s.io`.
const LONGEST: usize = 1_024;

/// Longest name of an object (Kubernetes: DNS subdomain names).
const LONGEST_NAME: usize = 253;

/// What the Ingress is told that has a path others want, too.
const CONFLICT_WON: &str = "path-conflict-won";

/// `type` of an Event.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Weight {
    /// As it should be.
    Normal,
    /// Something is wrong.
    Warning,
}

/// Something to say about an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Note {
    pub(super) object: ObjectRef,
    pub(super) reference: Reference,
    pub(super) weight: Weight,
    pub(super) reason: Cow<'static, str>,
    pub(super) message: String,
    /// Whether it happens now; otherwise it may have been said before, and an Event that says so is left as it is.
    pub(super) fresh: bool,
    pub(super) at: Timestamp,
}

impl Note {
    pub(super) fn new(
        object: ObjectRef,
        reference: Reference,
        (weight, reason): (Weight, Cow<'static, str>),
        message: &str,
        fresh: bool,
    ) -> Self {
        Self { object, reference, weight, reason, message: cut(message).into_owned(), fresh, at: Timestamp::now() }
    }

    /// Whether a finding is said: an error, or who won a conflict.
    pub(super) fn is_said(finding: &Finding) -> bool {
        weight(finding).is_some()
    }

    /// What a finding says; none for one that is not said.
    pub(super) fn of_finding(finding: &Finding, reference: Reference, fresh: bool) -> Option<Self> {
        let weight = weight(finding)?;
        let Finding { object, field, code, message, help, .. } = finding;
        let is_annotation = object.kind == "Ingress" && field.contains('/');
        let (reason, begin) = if is_annotation {
            (Cow::Borrowed("AnnotationParsingFailed"), "Error parsing annotations: ")
        } else {
            (Cow::Owned(camel_case(code)), "")
        };
        let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
        let help = if help.is_empty() { String::new() } else { format!(" ({help})") };
        let text = format!("{begin}{field}{message}{help}");
        Some(Self::new(object.clone(), reference, (weight, reason), &text, fresh))
    }

    /// The same for all that is said alike about this very object, by every replica and after a restart.
    pub(super) fn id(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.object.kind, &*self.reference.uid, &*self.reason, &self.message).hash(&mut hasher);
        hasher.finish()
    }

    /// Where the Event is: with its object, or in `default` where that has no namespace.
    pub(super) fn namespace(&self) -> &str {
        match &*self.object.namespace {
            "" => "default",
            namespace => namespace,
        }
    }

    /// Name of the Event.
    pub(super) fn name(&self) -> String {
        let end = format!(".{:016x}", self.id());
        let object = &self.object.name;
        let longest = object.floor_char_boundary(LONGEST_NAME - end.len());
        let (begin, _) = object.split_at(longest);
        // A part of a name ends with a letter or a digit.
        format!("{}{end}", begin.trim_end_matches(['.', '-']))
    }

    /// The Event, as it is said for the first time by the Pod `instance`.
    pub(super) fn event(&self, instance: &str) -> Event {
        let Self { object, reference, weight, reason, message, .. } = self;
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Event {
            metadata: ObjectMeta {
                name: Some(self.name()),
                namespace: Some(self.namespace().to_owned()),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: text(reference.api_version),
                kind: text(object.kind),
                namespace: text(&object.namespace),
                name: text(&object.name),
                uid: text(&reference.uid),
                resource_version: text(&reference.version),
                field_path: None,
            },
            type_: Some(format!("{weight:?}")),
            reason: text(reason),
            message: text(message),
            source: Some(EventSource { component: text(COMPONENT), host: None }),
            reporting_component: text(COMPONENT),
            reporting_instance: text(instance),
            first_timestamp: Some(Time(self.at)),
            last_timestamp: Some(Time(self.at)),
            count: Some(1),
            ..Event::default()
        }
    }
}

fn weight(finding: &Finding) -> Option<Weight> {
    match finding.severity {
        Severity::Error => Some(Weight::Warning),
        Severity::Info if finding.code == CONFLICT_WON => Some(Weight::Normal),
        Severity::Warning | Severity::Info => None,
    }
}

/// `PathConflict` for `path-conflict`.
fn camel_case(code: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    code.split('-').map(capital).collect()
}

/// A message that is not too long.
fn cut(message: &str) -> Cow<'_, str> {
    const MARK: char = '…';
    if message.len() <= LONGEST {
        return Cow::Borrowed(message);
    }
    let (begin, _) = message.split_at(message.floor_char_boundary(LONGEST - MARK.len_utf8()));
    Cow::Owned(format!("{begin}{MARK}"))
}

#[cfg(test)]
pub(super) mod testing {
    use portcullis_translate::ObjectKey;

    use super::*;

    pub(crate) fn reference(uid: &str) -> Reference {
        Reference { api_version: "networking.k8s.io/v1", uid: uid.into(), version: "7".into(), content: 1 }
    }

    pub(crate) fn note(uid: &str, weight: Weight, reason: &'static str, message: &str) -> Note {
        let object = ObjectRef::new("Ingress", &ObjectKey::new("shop", "wear"));
        Note::new(object, reference(uid), (weight, reason.into()), message, true)
    }
}

#[cfg(test)]
mod tests {
    use portcullis_translate::ObjectKey;

    use super::testing::{note, reference};
    use super::*;

    fn finding(kind: &'static str, severity: Severity, field: &str, code: &'static str) -> Finding {
        let object = ObjectRef::new(kind, &ObjectKey::new("shop", "wear"));
        let (field, message, help) = (field.to_owned(), "it is wrong".to_owned(), "right it".to_owned());
        Finding { object, field, severity, code, message, help }
    }

    #[test]
    fn errors_and_won_conflicts_are_said_and_nothing_else() {
        let annotation = "nginx.ingress.kubernetes.io/proxy-body-size";
        let parsing = "Error parsing annotations: nginx.ingress.kubernetes.io/proxy-body-size: it is wrong (right it)";
        for (kind, severity, field, code, want) in [
            (
                "Ingress",
                Severity::Error,
                annotation,
                "invalid-annotation",
                Some((Weight::Warning, "AnnotationParsingFailed", parsing)),
            ),
            (
                "Ingress",
                Severity::Error,
                "spec.rules[0].http.paths[0].path",
                "path-conflict",
                Some((Weight::Warning, "PathConflict", "spec.rules[0].http.paths[0].path: it is wrong (right it)")),
            ),
            (
                "Ingress",
                Severity::Info,
                "",
                "path-conflict-won",
                Some((Weight::Normal, "PathConflictWon", "it is wrong (right it)")),
            ),
            (
                "ConfigMap",
                Severity::Error,
                "a/b",
                "invalid-config-value",
                Some((Weight::Warning, "InvalidConfigValue", "a/b: it is wrong (right it)")),
            ),
            ("Ingress", Severity::Warning, annotation, "invalid-annotation", None),
            ("Ingress", Severity::Info, annotation, "no-effect", None),
        ] {
            let note = Note::of_finding(&finding(kind, severity, field, code), reference("1"), true);
            let said = note.as_ref().map(|note| (note.weight, &*note.reason, note.message.as_str()));
            assert_eq!(said, want, "{kind} {severity} {code}");
        }
    }

    #[test]
    fn messages_are_cut_between_characters() {
        for (message, length) in [("a".repeat(1_024), 1_024), ("a".repeat(1_025), 1_024), ("ä".repeat(600), 1_023)] {
            let cut = cut(&message);
            assert_eq!(cut.len(), length);
            assert_eq!(cut.ends_with('…'), message.len() > 1_024);
        }
    }

    #[test]
    fn the_name_is_that_of_the_object_and_of_what_is_said() {
        let first = note("1", Weight::Warning, "Test", "x");
        assert_eq!(first.name(), format!("wear.{:016x}", first.id()));
        let mut again = note("1", Weight::Warning, "Test", "x");
        (again.fresh, again.reference.version) = (false, "8".into());
        assert_eq!(again.name(), first.name(), "another version of the same object");
        for other in [
            note("2", Weight::Warning, "Test", "x"),
            note("1", Weight::Warning, "Other", "x"),
            note("1", Weight::Warning, "Test", "y"),
        ] {
            assert_ne!(other.name(), first.name());
        }
        let mut long = first;
        long.object.name = format!("{}.{}", "a".repeat(235), "b".repeat(17)).into();
        let name = long.name();
        assert!(name.len() <= 253 && name.starts_with(&format!("{}.", "a".repeat(235))) && !name.contains(".."));
    }

    #[test]
    fn an_event_is_about_its_object_and_lies_beside_it() {
        let note = note("1", Weight::Warning, "Test", "x");
        let event = serde_json::to_value(note.event("gate-1")).unwrap();
        assert_eq!(
            event["involvedObject"],
            serde_json::json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "namespace": "shop", "name": "wear",
                "uid": "1", "resourceVersion": "7",
            })
        );
        let is = |field: &str, want: &str| assert_eq!(event[field], want, "{field}");
        is("type", "Warning");
        is("reason", "Test");
        is("message", "x");
        is("reportingInstance", "gate-1");
        assert_eq!(event["source"], serde_json::json!({ "component": "nginx-ingress-controller" }));
        assert_eq!((&event["metadata"]["namespace"], &event["count"]), (&"shop".into(), &1.into()));
        let mut class = note;
        class.object = ObjectRef::new("IngressClass", &ObjectKey::new("", "nginx"));
        let event = class.event("");
        assert_eq!((class.namespace(), event.involved_object.namespace), ("default", None));
    }
}
