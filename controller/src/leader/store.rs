//! Where the Lease is: read, created and replaced as a whole, which is all that the role of ingress-nginx allows.

use std::future::Future;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, PostParams};
use kube::{Client, Error};

use super::LeaseConfig;

/// Why the Lease was not read or written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else wrote it meanwhile, or took it away.
    #[error("it was changed at the same time")]
    Conflict,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Access to one Lease.
pub trait LeaseStore: Send + Sync {
    /// Reads it; none where there is none.
    fn get(&self) -> impl Future<Output = Result<Option<Lease>, LeaseError>> + Send;

    /// Creates it; a conflict where it is there.
    fn create(&self, lease: &Lease) -> impl Future<Output = Result<Lease, LeaseError>> + Send;

    /// Replaces it; a conflict where it is no longer the version that `lease` names.
    fn replace(&self, lease: &Lease) -> impl Future<Output = Result<Lease, LeaseError>> + Send;
}

/// A Lease of the API server.
#[derive(Clone, Debug)]
pub struct ApiLease {
    api: Api<Lease>,
    name: String,
}

impl ApiLease {
    /// That which `config` names.
    #[must_use]
    pub fn new(client: &Client, config: &LeaseConfig) -> Self {
        Self { api: Api::namespaced(client.clone(), &config.namespace), name: config.name.clone() }
    }
}

impl LeaseStore for ApiLease {
    async fn get(&self) -> Result<Option<Lease>, LeaseError> {
        match self.api.get(&self.name).await {
            Ok(lease) => Ok(Some(lease)),
            Err(Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(fault(error)),
        }
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        self.api.create(&PostParams::default(), lease).await.map_err(fault)
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        self.api.replace(&self.name, &PostParams::default(), lease).await.map_err(fault)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn fault(error: Error) -> LeaseError {
    match &error {
        Error::Api(status) if matches!(status.code, 404 | 409) => LeaseError::Conflict,
        _ => LeaseError::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::lease::{released, taken};
    use super::*;
    use crate::api_server::testing::Server;

    const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/n/leases/leader";

    #[tokio::test]
    async fn a_lease_is_created_read_and_replaced_as_the_version_it_was() {
        let (server, client) = Server::start();
        let [namespace, name, holder] = ["n", "leader", "a"].map(str::to_owned);
        let config = LeaseConfig { namespace, name, holder, ttl: Duration::from_secs(30) };
        let store = ApiLease::new(&client, &config);
        assert_eq!(store.get().await, Ok(None));
        assert_eq!(store.replace(&taken(None, &config)).await, Err(LeaseError::Conflict), "it is not there");
        let created = store.create(&taken(None, &config)).await.unwrap();
        assert_eq!(store.create(&taken(None, &config)).await, Err(LeaseError::Conflict));
        let renewed = store.replace(&taken(Some(&created), &config)).await.unwrap();
        assert_eq!(store.replace(&created).await, Err(LeaseError::Conflict), "it was renewed meanwhile");
        assert_eq!(store.get().await, Ok(Some(renewed.clone())));
        store.replace(&released(&renewed)).await.unwrap();
        assert_eq!(server.get(PATH).unwrap()["spec"]["holderIdentity"], "");
        let collection = PATH.rsplit_once('/').unwrap().0;
        let allowed = [format!("GET {PATH}"), format!("PUT {PATH}"), format!("POST {collection}")];
        assert!(server.requests().iter().all(|request| allowed.contains(request)));
        server.fail_next(403);
        assert!(matches!(store.get().await, Err(LeaseError::Failed(_))));
    }
}
