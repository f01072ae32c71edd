//! Which settings an IngressClass of ours names in `spec.parameters` (Kubernetes: IngressClass, parameters).

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{IngressClass, IngressClassParametersReference};
use portcullis_crds::{CLUSTER_KIND, GROUP, NAMESPACED_KIND, field_name};

use crate::class;
use crate::{Finding, ObjectKey, ObjectRef, Options, Resources, quoted};

/// What is laid over the ConfigMap.
#[derive(Clone, Debug)]
pub(crate) struct Parameters<'a> {
    pub(crate) object: ObjectRef,
    /// Hash of its content.
    pub(crate) hash: u64,
    /// Texts by field.
    pub(crate) fields: &'a BTreeMap<String, String>,
}

/// The parameters that hold, if there are any: those of the oldest class of ours that has some.
///
/// Where these are not there, the ConfigMap alone holds, rather than those of another class: which settings hold must not
/// depend on which object happens to be missing.
pub(crate) fn of<'a>(
    resources: &'a Resources,
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Option<Parameters<'a>> {
    let mut classes = with_parameters(resources, options).into_iter();
    let (first, reference) = classes.next()?;
    let chosen = target(reference);
    for (other, reference) in classes {
        if target(reference) != chosen {
            findings.push(ignored(other, first));
        }
    }
    let class = ObjectRef::new("IngressClass", first);
    match chosen.and_then(|object| found(object, resources)) {
        Ok(parameters) => Some(parameters),
        Err(refusal) => {
            findings.push(refusal.finding(&class));
            None
        }
    }
}

/// Where a setting comes from that was given under a key: the object and its field.
#[must_use]
pub fn origin(key: &str, resources: &Resources, options: &Options) -> Option<(ObjectRef, String)> {
    let field = field_name(key);
    let config_map = options.config_map.as_ref().map(|map| (ObjectRef::new("ConfigMap", map), key.to_owned()));
    match of(resources, options, &mut Vec::new()) {
        Some(parameters) if parameters.fields.contains_key(&field) => Some((parameters.object, path(&field))),
        Some(parameters) => config_map.or_else(|| Some((parameters.object, path(&field)))),
        None => config_map,
    }
}

/// Where a field is in its object.
pub(crate) fn path(field: &str) -> String {
    format!("spec.{field}")
}

/// Classes of ours with parameters, the oldest first; of equal age the first by name.
fn with_parameters<'a>(
    resources: &'a Resources,
    options: &Options,
) -> Vec<(&'a ObjectKey, &'a IngressClassParametersReference)> {
    let reference = |class: &'a IngressClass| class.spec.as_ref()?.parameters.as_ref();
    let ours = resources.classes.iter().filter(|(key, class)| class::is_ours(key, &class.value, options));
    let mut classes: Vec<_> = ours
        .filter_map(|(key, class)| {
            Some((class.value.metadata.creation_timestamp.as_ref(), key, reference(&class.value)?))
        })
        .collect();
    classes.sort_by_key(|(created, key, _)| (*created, *key));
    classes.into_iter().map(|(_, key, reference)| (key, reference)).collect()
}

/// Why a reference leads nowhere.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Refusal {
    /// Whether the reference was meant for us.
    is_error: bool,
    code: &'static str,
    field: &'static str,
    fault: String,
    help: String,
}

impl Refusal {
    fn finding(self, class: &ObjectRef) -> Finding {
        let Self { is_error, code, field, fault, help } = self;
        let make = if is_error { Finding::error } else { Finding::warning };
        make(class, field, code, format!("{fault}; the ConfigMap alone holds"), &help)
    }
}

/// Which object a reference names.
fn target(reference: &IngressClassParametersReference) -> Result<ObjectRef, Refusal> {
    let IngressClassParametersReference { api_group, kind, name, namespace, scope } = reference;
    let group = api_group.as_deref().unwrap_or_default();
    let unknown = |is_error| Refusal {
        is_error,
        code: "unknown-parameters",
        field: "spec.parameters",
        fault: format!("{} of the API group {} is no kind of settings that is read here", quoted(kind), quoted(group)),
        help: format!("name a {CLUSTER_KIND} or a {NAMESPACED_KIND} of {GROUP}"),
    };
    if group != GROUP {
        return Err(unknown(false));
    }
    let scope = scope.as_deref().unwrap_or("Cluster");
    let invalid = |wanted: &str| Refusal {
        is_error: true,
        code: "invalid-parameters-scope",
        field: "spec.parameters.scope",
        fault: format!("{} with the scope {} and {} names nothing", quoted(kind), quoted(scope), in_words(namespace)),
        help: format!("a {kind} has {wanted}"),
    };
    let namespace = namespace.as_deref().filter(|namespace| !namespace.is_empty());
    match (kind.as_str(), scope, namespace) {
        (CLUSTER_KIND, "Cluster", None) => Ok(ObjectRef::new(CLUSTER_KIND, &ObjectKey::new("", name))),
        (NAMESPACED_KIND, "Namespace", Some(namespace)) => {
            Ok(ObjectRef::new(NAMESPACED_KIND, &ObjectKey::new(namespace, name)))
        }
        (CLUSTER_KIND, ..) => Err(invalid("`scope: Cluster` and no namespace")),
        (NAMESPACED_KIND, ..) => Err(invalid("`scope: Namespace` and a namespace")),
        _ => Err(unknown(true)),
    }
}

fn in_words(namespace: &Option<String>) -> String {
    namespace.as_ref().map_or_else(|| "no namespace".to_owned(), |name| format!("the namespace {}", quoted(name)))
}

fn found(object: ObjectRef, resources: &Resources) -> Result<Parameters<'_>, Refusal> {
    let key = ObjectKey { namespace: object.namespace.clone(), name: object.name.clone() };
    let Some(parameters) = resources.class_parameters.get(&key) else {
        return Err(Refusal {
            is_error: true,
            code: "parameters-not-found",
            field: "spec.parameters",
            fault: format!("the {object} does not exist, or cannot be read"),
            help: "create it, and see that its definition is installed and the role allows to read it".to_owned(),
        });
    };
    Ok(Parameters { object, hash: parameters.hash, fields: &parameters.value.fields })
}

fn ignored(class: &ObjectKey, first: &ObjectKey) -> Finding {
    let message = format!(
        "the IngressClass {} is older and names other parameters, which hold for the whole controller",
        quoted(&first.name)
    );
    let help = "name the same parameters in both classes, or remove them from one";
    let class = ObjectRef::new("IngressClass", class);
    Finding::warning(&class, "spec.parameters", "parameters-ignored", message, help)
}

#[cfg(test)]
mod tests;
