//! What a `ValidatingWebhookConfiguration` says of the Services of its webhooks, and the CA in it.

use k8s_openapi::ByteString;
use kube::core::DynamicObject;
use serde_json::{Value, json};

/// Most Services whose names are put into one certificate.
const MAX_SERVICES: usize = 16;

/// The Services of the webhooks under the names that the API server asks for: `name.namespace.svc`.
pub(super) fn services(configuration: &DynamicObject) -> Vec<String> {
    let services = webhooks(configuration).filter_map(|webhook| webhook.pointer("/clientConfig/service"));
    let name = |service: &Value| {
        let text = |key: &str| service.get(key).and_then(Value::as_str);
        Some(format!("{}.{}.svc", text("name")?, text("namespace")?))
    };
    let mut names: Vec<String> = services.filter_map(name).take(MAX_SERVICES).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Puts the CA, in PEM form, into every webhook; false where it is there already.
pub(super) fn put_ca(configuration: &mut DynamicObject, ca: &[u8]) -> bool {
    let wanted = json!(ByteString(ca.to_vec()));
    let mut changed = false;
    let webhooks = configuration.data.get_mut("webhooks").and_then(Value::as_array_mut);
    for webhook in webhooks.into_iter().flatten() {
        let Some(client) = webhook.get_mut("clientConfig").and_then(Value::as_object_mut) else { continue };
        if client.get("caBundle") != Some(&wanted) {
            client.insert("caBundle".to_owned(), wanted.clone());
            changed = true;
        }
    }
    changed
}

fn webhooks(configuration: &DynamicObject) -> impl Iterator<Item = &Value> {
    configuration.data.get("webhooks").and_then(Value::as_array).into_iter().flatten()
}
