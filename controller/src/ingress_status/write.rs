//! One Ingress: reads it, and replaces its status where that has other addresses.

use std::future::Future;

use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::{Client, Error};
use portcullis_translate::ObjectKey;
use serde_json::{Value, json};

use super::Address;

/// How often an Ingress is read anew where somebody else writes at the same time.
const TRIES: usize = 4;

/// Who is named beside the fields that are written.
const MANAGER: &str = "portcullis";

/// Why a status was not written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum WriteError {
    /// Somebody else wrote the object since it was read.
    #[error("it is changed by somebody else all the time")]
    Conflict,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Access to Ingresses: reading, and replacing the status, which is all that the role of ingress-nginx allows.
pub(super) trait Ingresses: Send + Sync {
    /// Reads one; none where there is none.
    fn get(&self, key: &ObjectKey) -> impl Future<Output = Result<Option<DynamicObject>, WriteError>> + Send;

    /// Replaces the status of one, as long as it is the version that was read.
    fn replace_status(
        &self,
        key: &ObjectKey,
        ingress: &DynamicObject,
    ) -> impl Future<Output = Result<(), WriteError>> + Send;
}

/// Brings the addresses of one into its status; whether it wrote. One that is gone is as it should be.
pub(super) async fn write(
    ingresses: &impl Ingresses,
    key: &ObjectKey,
    addresses: &[Address],
) -> Result<bool, WriteError> {
    for _ in 0..TRIES {
        let Some(mut ingress) = ingresses.get(key).await? else { return Ok(false) };
        if Address::of_status(ingress.data.get("status").unwrap_or(&Value::Null)) == addresses {
            return Ok(false);
        }
        put_addresses(&mut ingress.data, addresses);
        match ingresses.replace_status(key, &ingress).await {
            Err(WriteError::Conflict) => {}
            written => return written.map(|()| true),
        }
    }
    Err(WriteError::Conflict)
}

/// Replaces the addresses, and nothing else of the status.
fn put_addresses(object: &mut Value, addresses: &[Address]) {
    let list: Value = addresses.iter().map(Address::to_value).collect();
    let balancer = if addresses.is_empty() { json!({}) } else { json!({ "ingress": list }) };
    let Some(object) = object.as_object_mut() else { return };
    match object.get_mut("status").and_then(Value::as_object_mut) {
        Some(status) => drop(status.insert("loadBalancer".to_owned(), balancer)),
        None => drop(object.insert("status".to_owned(), json!({ "loadBalancer": balancer }))),
    }
}

/// Ingresses of the API server. They are kept untyped, so that no field is lost that is not known here.
#[derive(Clone)]
pub(super) struct ApiIngresses {
    client: Client,
    resource: ApiResource,
}

impl ApiIngresses {
    pub(super) fn new(client: Client) -> Self {
        Self { client, resource: ApiResource::erase::<Ingress>(&()) }
    }

    fn api(&self, key: &ObjectKey) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &key.namespace, &self.resource)
    }
}

impl Ingresses for ApiIngresses {
    async fn get(&self, key: &ObjectKey) -> Result<Option<DynamicObject>, WriteError> {
        match self.api(key).get(&key.name).await {
            Ok(ingress) => Ok(Some(ingress)),
            Err(Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(WriteError::Failed(error.to_string())),
        }
    }

    async fn replace_status(&self, key: &ObjectKey, ingress: &DynamicObject) -> Result<(), WriteError> {
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let written = self.api(key).replace_subresource("status", &key.name, &parameters, ingress).await;
        match written {
            Ok(_) => Ok(()),
            // Gone meanwhile: reading it again says so.
            Err(Error::Api(status)) if matches!(status.code, 404 | 409) => Err(WriteError::Conflict),
            Err(error) => Err(WriteError::Failed(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api_server::testing::Server;

    const PATH: &str = "/apis/networking.k8s.io/v1/namespaces/n/ingresses/a";

    fn ingress(status: &Value) -> Value {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": { "name": "a", "namespace": "n", "annotations": { "kept": "yes" } },
            "spec": { "field": "of tomorrow" }, "status": status,
        })
    }

    #[tokio::test]
    async fn an_ingress_is_read_and_its_status_replaced_where_it_differs() {
        let (server, client) = Server::start();
        let (ingresses, key) = (ApiIngresses::new(client), ObjectKey::new("n", "a"));
        let addresses = [Address::from_text("192.0.2.1").unwrap()];
        assert_eq!(write(&ingresses, &key, &addresses).await, Ok(false), "there is none");
        assert_eq!(server.requests(), [format!("GET {PATH}")]);
        for (status, want) in [
            (json!(null), json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } })),
            (
                json!({ "loadBalancer": { "ingress": [{ "hostname": "old" }] }, "conditions": [1] }),
                json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] }, "conditions": [1] }),
            ),
        ] {
            server.put(PATH, ingress(&status));
            assert_eq!(write(&ingresses, &key, &addresses).await, Ok(true));
            assert_eq!(server.requests(), [format!("GET {PATH}"), format!("PUT {PATH}/status")]);
            let written = server.get(PATH).unwrap();
            assert_eq!(written["status"], want);
            assert_eq!(
                (&written["spec"], &written["metadata"]["annotations"]),
                (&json!({ "field": "of tomorrow" }), &json!({ "kept": "yes" }))
            );
        }
        assert_eq!(write(&ingresses, &key, &addresses).await, Ok(false), "it is as it should be");
        assert_eq!(server.requests(), [format!("GET {PATH}")]);
        assert_eq!(write(&ingresses, &key, &[]).await, Ok(true));
        assert_eq!(server.get(PATH).unwrap()["status"]["loadBalancer"], json!({}));
        server.fail_next(500);
        assert!(matches!(write(&ingresses, &key, &addresses).await, Err(WriteError::Failed(_))));
    }
}
