//! Which objects a list or a watch is about: of a namespace, and by fields.

use serde_json::{Value, json};

/// The namespace of a path and the `fieldSelector` of a query.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Selection {
    /// Empty for all.
    pub(super) namespace: String,
    /// `metadata.name`, where one object is asked for.
    pub(super) name: Option<String>,
    /// Not of this `type`.
    other_than: Option<String>,
    /// Whether metadata is all that is asked for.
    pub(super) metadata_only: bool,
}

impl Selection {
    /// Reads them. Selectors by labels are passed over.
    pub(super) fn parse(namespace: &str, fields: Option<&str>) -> Self {
        let fields = fields.unwrap_or_default().replace("%3D", "=").replace("%2C", ",").replace("%21", "!");
        let mut selection = Self { namespace: namespace.to_owned(), ..Self::default() };
        for field in fields.split(',').filter(|field| !field.is_empty()) {
            match field.split_once('=').expect("a field and its value") {
                ("metadata.name", name) => selection.name = Some(name.to_owned()),
                ("type!", other) => selection.other_than = Some(other.replace("%2F", "/")),
                other => panic!("{other:?} cannot be selected by"),
            }
        }
        selection
    }

    /// What of an object is asked for.
    pub(super) fn part(&self, object: &Value) -> Value {
        if !self.metadata_only {
            return object.clone();
        }
        json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"] })
    }

    pub(super) fn fits(&self, object: &Value) -> bool {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        (self.namespace.is_empty() || self.namespace == text(&metadata["namespace"]))
            && self.name.as_ref().is_none_or(|name| *name == text(&metadata["name"]))
            && self.other_than.as_ref().is_none_or(|other| *other != text(&object["type"]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_selected_by_namespace_name_and_type() {
        let object = json!({ "metadata": { "namespace": "n", "name": "a" }, "type": "helm.sh/release.v1" });
        for (namespace, fields, fits) in [
            ("", None, true),
            ("n", None, true),
            ("m", None, false),
            ("n", Some("metadata.name%3Da"), true),
            ("n", Some("metadata.name%3Db"), false),
            ("", Some("type%21%3Dhelm.sh%2Frelease.v1"), false),
            ("", Some("metadata.name%3Da%2Ctype%21%3DOpaque"), true),
        ] {
            assert_eq!(Selection::parse(namespace, fields).fits(&object), fits, "{namespace} {fields:?}");
        }
    }
}
