//! What is written when, against Ingresses in memory, with a clock that stands still between events.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::super::fixed;
use super::*;

/// A server that holds Ingresses and tells the watch of every change.
#[derive(Clone)]
struct Server {
    objects: Arc<Mutex<BTreeMap<ObjectKey, DynamicObject>>>,
    statuses: Arc<IngressStatuses>,
    /// Requests to read and to write.
    requests: Arc<Mutex<(usize, usize)>>,
    /// Writes that are refused because somebody else was first.
    conflicts: Arc<AtomicUsize>,
    /// Ingresses of which no status can be written.
    broken: Arc<Mutex<Vec<ObjectKey>>>,
    /// Requests at the moment, and most at the same time.
    busy: Arc<Mutex<(usize, usize)>>,
}

impl Server {
    fn new(names: &[&str]) -> Self {
        let server = Self {
            objects: Arc::default(),
            statuses: Arc::default(),
            requests: Arc::default(),
            conflicts: Arc::default(),
            broken: Arc::default(),
            busy: Arc::default(),
        };
        names.iter().for_each(|name| server.create(name, "1"));
        server
    }

    fn create(&self, name: &str, uid: &str) {
        self.put(name, uid, &json!({ "loadBalancer": {}, "others": { "kept": true } }));
    }

    fn put(&self, name: &str, uid: &str, status: &Value) {
        let object: DynamicObject = serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "n", "uid": uid, "resourceVersion": "1" },
            "spec": { "unknown": "field" },
            "status": status,
        }))
        .unwrap();
        self.store(&key(name), object);
    }

    fn store(&self, key: &ObjectKey, object: DynamicObject) {
        self.statuses.put(key, &object);
        self.objects.lock().unwrap().insert(key.clone(), object);
    }

    fn status(&self, name: &str) -> Value {
        self.objects.lock().unwrap()[&key(name)].data["status"].clone()
    }

    fn addresses(&self, name: &str) -> Value {
        self.status(name)["loadBalancer"].get("ingress").cloned().unwrap_or(json!([]))
    }

    fn requests(&self) -> (usize, usize) {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    async fn answer(&self) {
        let most = |busy: &mut (usize, usize)| *busy = (busy.0 + 1, busy.1.max(busy.0 + 1));
        most(&mut self.busy.lock().unwrap());
        sleep(Duration::from_millis(5)).await;
        self.busy.lock().unwrap().0 -= 1;
    }
}

impl Ingresses for Server {
    async fn get(&self, key: &ObjectKey) -> Result<Option<DynamicObject>, WriteError> {
        self.requests.lock().unwrap().0 += 1;
        self.answer().await;
        Ok(self.objects.lock().unwrap().get(key).cloned())
    }

    async fn replace_status(&self, key: &ObjectKey, ingress: &DynamicObject) -> Result<(), WriteError> {
        self.requests.lock().unwrap().1 += 1;
        self.answer().await;
        if self.broken.lock().unwrap().contains(key) {
            return Err(WriteError::Failed("refused".to_owned()));
        }
        if self.conflicts.load(Ordering::Relaxed) > 0 {
            self.conflicts.fetch_sub(1, Ordering::Relaxed);
            return Err(WriteError::Conflict);
        }
        assert_eq!(ingress.data["spec"]["unknown"], "field", "nothing is lost");
        self.store(key, ingress.clone());
        Ok(())
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("n", name)
}

/// What is served.
fn published(names: &[&str]) -> Arc<Published> {
    Arc::new(Published { served: names.iter().map(|name| key(name)).collect(), ..Published::default() })
}

struct Leader {
    server: Server,
    published: watch::Sender<Arc<Published>>,
    wanted: watch::Sender<Option<Vec<Address>>>,
    writes: Arc<Writes>,
    task: tokio::task::JoinHandle<()>,
}

impl Leader {
    fn start(server: &Server, served: &[&str], addresses: &str) -> Self {
        let published = watch::Sender::new(published(served));
        let wanted = watch::Sender::new(Some(fixed(addresses).0));
        let writes = Arc::new(Writes::default());
        let writer = writer(server, published.subscribe(), writes.clone());
        let receiver = wanted.subscribe();
        let task = tokio::spawn(async move { writer.follow(receiver).await });
        Self { server: server.clone(), published, wanted, writes, task }
    }
}

fn writer(server: &Server, published: watch::Receiver<Arc<Published>>, writes: Arc<Writes>) -> Writer<Server> {
    let interval = Duration::from_secs(60);
    Writer { ingresses: server.clone(), statuses: server.statuses.clone(), published, writes, interval }
}

async fn soon() {
    sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn only_what_is_served_and_differs_is_written_and_only_once() {
    let server = Server::new(&["a", "b", "other-class"]);
    server.put(
        "right",
        "1",
        &json!({ "loadBalancer": { "ingress": [{ "hostname": "lb.example" }, { "ip": "1.1.0.0" }] } }),
    );
    let leader = Leader::start(&server, &["a", "b", "right", "gone"], "1.1.0.0, lb.example");
    soon().await;
    let want = json!([{ "ip": "1.1.0.0" }, { "hostname": "lb.example" }]);
    assert_eq!((server.addresses("a"), server.addresses("b")), (want.clone(), want));
    assert_eq!(server.status("a")["others"], json!({ "kept": true }));
    assert_eq!(server.addresses("other-class"), json!([]));
    assert_eq!(server.requests(), (2, 2));
    sleep(Duration::from_secs(600)).await;
    assert_eq!(server.requests(), (0, 0), "nothing changes, so nothing is asked");
    assert_eq!(leader.writes.counts(), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_new_ingress_and_new_addresses_are_written_at_once() {
    let server = Server::new(&["a"]);
    let leader = Leader::start(&server, &["a"], "192.0.2.1");
    soon().await;
    server.create("b", "1");
    leader.published.send_replace(published(&["a", "b"]));
    soon().await;
    assert_eq!(server.addresses("b"), json!([{ "ip": "192.0.2.1" }]));
    leader.wanted.send_replace(Some(fixed("192.0.2.2").0));
    soon().await;
    for name in ["a", "b"] {
        assert_eq!(server.addresses(name), json!([{ "ip": "192.0.2.2" }]));
    }
    server.create("b", "2");
    soon().await;
    assert_eq!(server.addresses("b"), json!([{ "ip": "192.0.2.2" }]), "created anew under its name");
    server.requests();
    leader.published.send_replace(published(&[]));
    soon().await;
    assert_eq!(server.requests(), (0, 0), "one that is no longer served keeps its status");
    leader.wanted.send_replace(None);
    leader.published.send_replace(published(&["a"]));
    server.create("a", "9");
    soon().await;
    assert_eq!(server.requests(), (0, 0), "no address is known");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_writes_is_put_right_once_an_interval() {
    let server = Server::new(&["a"]);
    let _leader = Leader::start(&server, &["a"], "192.0.2.1");
    soon().await;
    server.requests();
    for _ in 0..600 {
        server.put("a", "1", &json!({ "loadBalancer": { "ingress": [{ "ip": "203.0.113.1" }] } }));
        soon().await;
    }
    let (_, written) = server.requests();
    assert!((9..=11).contains(&written), "{written}");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_read_again() {
    let server = Server::new(&["a"]);
    server.conflicts.store(2, Ordering::Relaxed);
    let leader = Leader::start(&server, &["a"], "192.0.2.1");
    soon().await;
    assert_eq!(server.addresses("a"), json!([{ "ip": "192.0.2.1" }]));
    assert_eq!((server.requests(), leader.writes.counts()), ((3, 3), (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_written_holds_up_nobody_and_is_tried_with_pauses() {
    let server = Server::new(&["a", "broken"]);
    server.broken.lock().unwrap().push(key("broken"));
    let leader = Leader::start(&server, &["a", "broken"], "192.0.2.1");
    soon().await;
    assert_eq!(server.addresses("a"), json!([{ "ip": "192.0.2.1" }]));
    sleep(Duration::from_secs(300)).await;
    let (_, written) = server.requests();
    assert!((8..=40).contains(&written), "{written}");
    server.create("b", "1");
    leader.published.send_replace(published(&["a", "b", "broken"]));
    soon().await;
    assert_eq!(server.addresses("b"), json!([{ "ip": "192.0.2.1" }]));
    server.broken.lock().unwrap().clear();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(server.addresses("broken"), json!([{ "ip": "192.0.2.1" }]));
    assert!(leader.writes.counts().1 >= 8);
}

#[tokio::test(start_paused = true)]
async fn many_are_written_a_few_at_a_time() {
    let names: Vec<String> = (0..500).map(|number| format!("i{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let server = Server::new(&names);
    let leader = Leader::start(&server, &names, "192.0.2.1");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(leader.writes.counts(), (500, 0));
    assert_eq!(leader.server.busy.lock().unwrap().1, PARALLEL);
}

#[tokio::test(start_paused = true)]
async fn one_that_leads_no_more_writes_nothing() {
    let names: Vec<String> = (0..500).map(|number| format!("i{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let server = Server::new(&names);
    let leader = Leader::start(&server, &names, "192.0.2.1");
    sleep(Duration::from_millis(20)).await;
    leader.task.abort();
    assert!(leader.task.await.unwrap_err().is_cancelled());
    let (_, begun) = server.requests();
    assert!((1..500).contains(&begun), "{begun}");
    soon().await;
    assert_eq!(server.requests(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn clearing_empties_what_is_served_and_nothing_else() {
    let server = Server::new(&["empty"]);
    let addresses = json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] }, "others": { "kept": true } });
    for name in ["a", "other-class"] {
        server.put(name, "1", &addresses);
    }
    let published = watch::Sender::new(published(&["a", "empty"]));
    writer(&server, published.subscribe(), Arc::default()).clear().await;
    assert_eq!(server.status("a"), json!({ "loadBalancer": {}, "others": { "kept": true } }));
    assert_eq!(server.status("other-class"), addresses);
    assert_eq!(server.requests(), (1, 1));
}
