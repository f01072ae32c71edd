//! From what is published to Events, against a small API server in memory.

use portcullis_translate::{Finding, ObjectRef};
use serde_json::Value;

use super::note::testing::reference;
use super::*;
use crate::api_server::testing::Server;
use crate::source::cluster::Reference;

const EVENTS: &str = "/api/v1/namespaces/shop/events";

/// A replica that says what is published.
struct Replica {
    server: Arc<Server>,
    references: Arc<References>,
    published: watch::Sender<Arc<Published>>,
    leading: watch::Sender<bool>,
    counts: Arc<Counts>,
}

impl Replica {
    fn start(leads: bool) -> Self {
        let (server, client) = Server::start();
        let (references, counts) = (Arc::new(References::default()), Arc::new(Counts::default()));
        let config = Config { sync: true, config_maps: Vec::new(), instance: String::new(), references };
        let (published, leading) = (watch::Sender::default(), watch::Sender::new(leads));
        let references = config.references.clone();
        let events = Events::new(client, config, counts.clone(), published.subscribe());
        tokio::spawn(events.run(leading.subscribe()));
        Self { server, references, published, leading, counts }
    }

    /// So many Ingresses are served, the first of them with an error.
    fn publish(&self, count: usize, faulty: usize) {
        let keys: Vec<ObjectKey> = (0..count).map(|number| ObjectKey::new("shop", &format!("i{number:05}"))).collect();
        for key in &keys {
            let object = ObjectRef::new("Ingress", key);
            self.references.set(&object, Some(Reference { content: 1, ..reference(&key.name) }));
        }
        let fault = |key| Finding::error(&ObjectRef::new("Ingress", key), "", "test-fault", "bad".to_owned(), "");
        let findings = keys.iter().take(faulty).map(fault).collect();
        self.published.send_replace(Arc::new(Published { served: keys.into(), findings, generation: 1 }));
    }

    /// How many Events there are for a reason, and the sum of their counts.
    fn events(&self, reason: &str) -> (usize, i64) {
        let events: Vec<Value> =
            self.server.all(EVENTS).into_iter().filter(|event| event["reason"] == reason).collect();
        (events.len(), events.iter().map(|event| event["count"].as_i64().unwrap()).sum())
    }
}

#[tokio::test(start_paused = true)]
async fn the_leader_writes_and_nobody_else() {
    let replica = Replica::start(false);
    replica.publish(2, 1);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(replica.server.requests(), [""; 0]);
    replica.leading.send_replace(true);
    sleep(Duration::from_secs(10)).await;
    assert_eq!((replica.events("Sync"), replica.events("TestFault")), ((2, 2), (1, 1)));
    replica.leading.send_replace(false);
    sleep(Duration::from_secs(1)).await;
    replica.server.requests();
    replica.publish(3, 3);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(replica.server.requests(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_ingresses_at_the_start_are_no_avalanche() {
    let replica = Replica::start(true);
    replica.publish(10_000, 100);
    sleep(Duration::from_secs(11)).await;
    assert_eq!(replica.events("TestFault"), (100, 100), "errors go first");
    let begun = replica.server.requests().len();
    assert!(begun <= 121, "{begun}");
    sleep(Duration::from_secs(600)).await;
    assert_eq!(replica.events("Sync").0, 1_024);
    assert_eq!(replica.counts.of(counts::Outcome::Dropped), 10_000 - 1_024);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_said_every_half_hour() {
    let replica = Replica::start(true);
    replica.publish(10, 3);
    sleep(Duration::from_secs(60)).await;
    assert_eq!((replica.events("TestFault"), replica.events("Sync")), ((3, 3), (10, 10)));
    for round in 2..5 {
        sleep(AGAIN).await;
        assert_eq!((replica.events("TestFault"), replica.events("Sync")), ((3, 3 * round), (10, 10)));
    }
    replica.publish(10, 0);
    sleep(AGAIN).await;
    assert_eq!(replica.events("TestFault"), (3, 12), "it is well again");
}

#[tokio::test(start_paused = true)]
async fn while_the_server_is_away_the_queue_does_not_grow_and_afterwards_all_is_said() {
    let replica = Replica::start(true);
    for _ in 0..8 {
        replica.server.fail_next(503);
    }
    for round in 0..100 {
        replica.publish(50, round % 50);
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(300)).await;
    assert_eq!(replica.events("TestFault").0, 49);
    assert_eq!(replica.events("Sync").0, 50);
}
