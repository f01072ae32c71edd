//! Where the certificate is kept and who is told of its CA: a Secret and a `ValidatingWebhookConfiguration`, by name.

use std::future::Future;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PostParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Client, Error};
use portcullis_translate::ObjectKey;

/// Why an object was not read or written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else wrote it meanwhile, or took it away.
    #[error("it was changed at the same time")]
    Conflict,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Access to the two objects. Replacing is of the version that the object names.
pub trait Store: Send + Sync {
    /// The Secret; none where there is none.
    fn secret(&self) -> impl Future<Output = Result<Option<Secret>, StoreError>> + Send;

    /// Creates it; a conflict where it is there.
    fn create_secret(&self, secret: &Secret) -> impl Future<Output = Result<Secret, StoreError>> + Send;

    /// Replaces it.
    fn replace_secret(&self, secret: &Secret) -> impl Future<Output = Result<Secret, StoreError>> + Send;

    /// The webhook's configuration, with all that newer servers have in it; none where there is none.
    fn configuration(&self) -> impl Future<Output = Result<Option<DynamicObject>, StoreError>> + Send;

    /// Replaces it.
    fn replace_configuration(&self, new: &DynamicObject) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The objects of the API server.
#[derive(Clone, Debug)]
pub struct ApiStore {
    secrets: Api<Secret>,
    configurations: Api<DynamicObject>,
    secret: String,
    configuration: String,
}

impl ApiStore {
    /// Those with these names.
    #[must_use]
    pub fn new(client: &Client, secret: &ObjectKey, configuration: &str) -> Self {
        let kind = ApiResource::erase::<ValidatingWebhookConfiguration>(&());
        Self {
            secrets: Api::namespaced(client.clone(), &secret.namespace),
            configurations: Api::all_with(client.clone(), &kind),
            secret: secret.name.to_string(),
            configuration: configuration.to_owned(),
        }
    }
}

impl Store for ApiStore {
    async fn secret(&self) -> Result<Option<Secret>, StoreError> {
        self.secrets.get_opt(&self.secret).await.map_err(|error| fault(&error, &[]))
    }

    async fn create_secret(&self, secret: &Secret) -> Result<Secret, StoreError> {
        self.secrets.create(&PostParams::default(), secret).await.map_err(|error| fault(&error, &[409]))
    }

    async fn replace_secret(&self, secret: &Secret) -> Result<Secret, StoreError> {
        self.secrets.replace(&self.secret, &PostParams::default(), secret).await.map_err(|error| fault(&error, CHANGED))
    }

    async fn configuration(&self) -> Result<Option<DynamicObject>, StoreError> {
        self.configurations.get_opt(&self.configuration).await.map_err(|error| fault(&error, &[]))
    }

    async fn replace_configuration(&self, new: &DynamicObject) -> Result<(), StoreError> {
        let replaced = self.configurations.replace(&self.configuration, &PostParams::default(), new).await;
        replaced.map(drop).map_err(|error| fault(&error, CHANGED))
    }
}

/// Most characters of what the API server says.
const MAX_REASON: usize = 300;

/// Status codes of a server that has another version by now, or none.
const CHANGED: &[u16] = &[404, 409];

fn fault(error: &Error, conflicts: &[u16]) -> StoreError {
    match error {
        Error::Api(status) if conflicts.contains(&status.code) => StoreError::Conflict,
        Error::Api(status) => StoreError::Failed(status.message.chars().take(MAX_REASON).collect()),
        // It would quote from the Secret.
        Error::SerdeError(_) => StoreError::Failed("the answer of the API server cannot be read".to_owned()),
        _ => StoreError::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_not_quoted() {
        let error = serde_json::from_str::<u8>("\"top secret\"").unwrap_err();
        assert!(error.to_string().contains("top secret"));
        let StoreError::Failed(reason) = fault(&Error::SerdeError(error), &[]) else { panic!() };
        assert!(!reason.contains("top secret"), "{reason}");
    }
}
