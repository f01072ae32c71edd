//! The life of a replica's duties, against a small API server in memory.

use kube::api::DynamicObject;
use portcullis_translate::ObjectKey;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::*;
use crate::api_server::testing::Server;
use crate::ingress_status::{AddressSource, fixed};

const INGRESS: &str = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/wear";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/gate/leases/leader";
const PODS: &str = "/api/v1/namespaces/gate/pods";

/// A cluster with one Ingress, and one replica with its Pod.
struct Cluster {
    server: Arc<Server>,
    client: Client,
    statuses: Arc<IngressStatuses>,
    published: watch::Sender<Arc<Published>>,
}

impl Cluster {
    fn start() -> Self {
        let (server, client) = Server::start();
        let served = [key()].into();
        let published = watch::Sender::new(Arc::new(Published { served, ..Published::default() }));
        let cluster = Self { server, client, statuses: Arc::default(), published };
        cluster.server.put(
            INGRESS,
            json!({ "metadata": { "name": "wear", "namespace": "shop", "uid": "1" }, "spec": {}, "status": {} }),
        );
        cluster.see();
        cluster.add_pod("one");
        cluster
    }

    fn add_pod(&self, name: &str) {
        let labels = json!({ "app": "gate", "pod-template-hash": name });
        let metadata = json!({ "name": name, "namespace": "gate", "labels": labels });
        let pod = json!({ "metadata": metadata, "status": { "phase": "Running" } });
        self.server.put(&format!("{PODS}/{name}"), pod);
    }

    /// As the watch does.
    fn see(&self) {
        let object: DynamicObject = serde_json::from_value(self.server.get(INGRESS).unwrap()).unwrap();
        self.statuses.put(&key(), &object);
    }

    fn duties(&self, addresses: &str, change: impl FnOnce(&mut Config)) -> Duties {
        let [namespace, name, holder] = ["gate", "leader", "one"].map(str::to_owned);
        let election = LeaseConfig { namespace, name, holder, ttl: Duration::from_secs(30) };
        let status = ingress_status::Config {
            source: AddressSource::Fixed(fixed(addresses).0),
            pod: Some(ObjectKey::new("gate", "one")),
            clear_at_end: true,
            interval: Duration::from_secs(60),
        };
        let mut config = Config {
            client: self.client.clone(),
            election: Some(election),
            status: Some(status),
            statuses: self.statuses.clone(),
            events: None,
        };
        change(&mut config);
        Duties::new(config)
    }

    fn start_duties(&self, duties: Duties) -> Running {
        duties.start(self.published.subscribe(), &Handle::current())
    }

    fn addresses(&self) -> Value {
        self.server.get(INGRESS).unwrap()["status"]["loadBalancer"]["ingress"].clone()
    }

    fn holder(&self) -> Value {
        self.server.get(LEASE).map(|lease| lease["spec"]["holderIdentity"].clone()).unwrap_or_default()
    }

    async fn until_written(&self) {
        let begin = Instant::now();
        while self.addresses() == Value::Null {
            assert!(begin.elapsed() < Duration::from_secs(10));
            sleep(Duration::from_millis(5)).await;
        }
        self.see();
    }
}

fn key() -> ObjectKey {
    ObjectKey::new("shop", "wear")
}

#[tokio::test(start_paused = true)]
async fn the_last_replica_clears_the_status_after_the_grace_period_and_then_gives_up_the_lease() {
    let cluster = Cluster::start();
    let running = cluster.start_duties(cluster.duties("192.0.2.1", |_| {}));
    cluster.until_written().await;
    assert_eq!((cluster.addresses(), cluster.holder()), (json!([{ "ip": "192.0.2.1" }]), json!("one")));
    let (over, grace) = oneshot::channel::<()>();
    let ending = tokio::spawn(running.end(async { drop(grace.await) }));
    sleep(Duration::from_millis(300)).await;
    assert_eq!(
        (cluster.addresses(), cluster.holder()),
        (json!([{ "ip": "192.0.2.1" }]), json!("one")),
        "still serving"
    );
    cluster.server.requests();
    drop(over);
    ending.await.unwrap();
    assert_eq!((cluster.addresses(), cluster.holder()), (Value::Null, json!("")));
    let writes: Vec<String> =
        cluster.server.requests().into_iter().filter(|request| request.starts_with("PUT")).collect();
    assert_eq!(writes, [format!("PUT {INGRESS}/status"), format!("PUT {LEASE}")]);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_to_be_cleared_the_lease_is_given_up_at_once() {
    type Change = fn(&Cluster, &mut Config);
    let other: Change = |cluster, _| cluster.add_pod("two");
    let told: Change = |_, config| config.status.as_mut().unwrap().clear_at_end = false;
    for (reason, addresses, change) in [
        ("another Pod goes on", "192.0.2.1", other),
        ("--update-status-on-shutdown=false", "192.0.2.1", told),
        ("there are several addresses", "192.0.2.1,192.0.2.2", |_, _| {}),
    ] {
        let cluster = Cluster::start();
        let running = cluster.start_duties(cluster.duties(addresses, |config| change(&cluster, config)));
        cluster.until_written().await;
        running.end(std::future::pending()).await;
        assert_ne!(cluster.addresses(), Value::Null, "{reason}");
        assert_eq!(cluster.holder(), "", "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_comes_during_the_grace_period_keeps_the_status() {
    let cluster = Cluster::start();
    let running = cluster.start_duties(cluster.duties("192.0.2.1", |_| {}));
    cluster.until_written().await;
    running.end(async { cluster.add_pod("two") }).await;
    assert_eq!((cluster.addresses(), cluster.holder()), (json!([{ "ip": "192.0.2.1" }]), json!("")));
}

#[tokio::test(start_paused = true)]
async fn pods_at_their_end_are_no_reason_to_keep_it() {
    let cluster = Cluster::start();
    for (name, metadata, phase) in
        [("two", json!({ "deletionTimestamp": "2026-01-02T03:04:05Z" }), "Running"), ("three", json!({}), "Failed")]
    {
        let mut pod = json!({ "metadata": metadata, "status": { "phase": phase } });
        pod["metadata"]["name"] = json!(name);
        cluster.server.put(&format!("{PODS}/{name}"), pod);
    }
    let running = cluster.start_duties(cluster.duties("192.0.2.1", |_| {}));
    cluster.until_written().await;
    running.end(async {}).await;
    assert_eq!(cluster.addresses(), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_lead_writes_nothing_and_clears_nothing() {
    let cluster = Cluster::start();
    let lease = json!({
        "metadata": { "name": "leader", "namespace": "gate" },
        "spec": { "holderIdentity": "two", "leaseDurationSeconds": 30 },
    });
    cluster.server.put(LEASE, lease);
    let duties = cluster.duties("192.0.2.1", |_| {});
    let leadership = duties.leadership();
    let running = cluster.start_duties(duties);
    sleep(Duration::from_millis(300)).await;
    running.end(std::future::pending()).await;
    assert_eq!((cluster.addresses(), cluster.holder(), *leadership.borrow()), (Value::Null, json!("two"), false));
    assert!(cluster.server.requests().iter().all(|request| *request == format!("GET {LEASE}")));
}

#[tokio::test(start_paused = true)]
async fn without_election_every_replica_leads() {
    let cluster = Cluster::start();
    let duties = cluster.duties("192.0.2.1", |config| (config.election, config.status) = (None, None));
    let leadership = duties.leadership();
    assert!(*leadership.borrow());
    let running = cluster.start_duties(duties);
    sleep(Duration::from_millis(50)).await;
    assert!(*leadership.borrow());
    running.end(std::future::pending()).await;
    assert!(cluster.server.requests().is_empty());
}
