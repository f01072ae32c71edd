//! The two kinds, and their definitions as `kubectl apply` takes them.

use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ControllerSettings;

/// Controller-wide settings that an IngressClass names in `spec.parameters` with `scope: Namespace`. They mean what the keys of
/// the ConfigMap mean, and win over them.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, Serialize)]
#[kube(group = "portcullis.dev", version = "v1alpha1", kind = "IngressClassParameters", namespaced)]
#[kube(plural = "ingressclassparameters", singular = "ingressclassparameters")]
#[kube(
    doc = "Controller-wide settings that an IngressClass names in `spec.parameters` with `scope: Namespace`. They mean what the keys of the ConfigMap mean, and win over them."
)]
pub struct IngressClassParametersSpec {
    /// The settings.
    #[serde(flatten)]
    pub settings: ControllerSettings,
}

/// The same for an IngressClass that names them with `scope: Cluster`, which is the default.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, Serialize)]
#[kube(group = "portcullis.dev", version = "v1alpha1", kind = "ClusterIngressClassParameters")]
#[kube(plural = "clusteringressclassparameters", singular = "clusteringressclassparameters")]
#[kube(
    doc = "Controller-wide settings that an IngressClass names in `spec.parameters` with `scope: Cluster`, the default. They mean what the keys of the ConfigMap mean, and win over them."
)]
pub struct ClusterIngressClassParametersSpec {
    /// The settings.
    #[serde(flatten)]
    pub settings: ControllerSettings,
}

/// A CustomResourceDefinition.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Name of its file.
    pub file_name: String,
    /// The object.
    pub object: Value,
}

/// The definitions of both kinds.
///
/// # Errors
///
/// What made one impossible to write down, which no input decides.
pub fn definitions() -> Result<[Definition; 2], serde_json::Error> {
    let of = |plural: String, object: Result<Value, serde_json::Error>| {
        let mut object = object?;
        simplify(&mut object);
        Ok(Definition { file_name: format!("{plural}.yaml"), object })
    };
    Ok([
        of(
            ClusterIngressClassParameters::crd().spec.names.plural,
            serde_json::to_value(ClusterIngressClassParameters::crd()),
        )?,
        of(IngressClassParameters::crd().spec.names.plural, serde_json::to_value(IngressClassParameters::crd()))?,
    ])
}

impl Definition {
    /// The schemas of the settings by their names.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &Value)> {
        let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
        let settings = self.object.pointer(spec).and_then(Value::as_object);
        settings.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
    }

    /// The object as YAML.
    ///
    /// # Errors
    ///
    /// What made it impossible to write down, which no input decides.
    pub fn yaml(&self) -> Result<String, serde_saphyr::ser::Error> {
        Ok(format!("# Made from crds/src by `make crds`.\n{}", serde_saphyr::to_string(&self.object)?))
    }
}

/// Takes out that optional values may be null, which says nothing more, and line breaks of descriptions.
fn simplify(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| name != "nullable" && !value.is_null());
            if let Some(Value::String(description)) = fields.get_mut("description") {
                *description = description.replace('\n', " ");
            }
            fields.values_mut().for_each(simplify);
        }
        Value::Array(entries) => {
            entries.retain(|entry| !entry.is_null());
            entries.iter_mut().for_each(simplify);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
