//! Secrets that are named and those that are not, beside a server whose answers can be held back.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use serde_json::{Value, json};
use tower::{BoxError, service_fn};

use super::super::super::object::AnyObject;
use super::super::Scope;
use super::*;

/// Answers lists of one Secret. Their content is that of the time when they are asked for.
#[derive(Debug)]
struct Server {
    secrets: Mutex<BTreeMap<String, (u64, String)>>,
    /// Whether answers are sent.
    gate: watch::Sender<bool>,
    failing: AtomicBool,
    asked: AtomicU64,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Server {
    fn set(&self, name: &str, version: u64, value: &str) {
        self.secrets.lock().unwrap().insert(name.to_owned(), (version, value.to_owned()));
    }

    async fn answer(self: Arc<Self>, request: Request<Body>) -> Result<Response<BoxBody<Bytes, Infallible>>, BoxError> {
        let query = request.uri().query().unwrap().to_owned();
        let name = query.split("metadata.name%3D").nth(1).unwrap().split("%2C").next().unwrap();
        assert_eq!(request.uri().path(), "/api/v1/namespaces/n/secrets");
        let found = self.secrets.lock().unwrap().get(name).cloned();
        self.asked.fetch_add(1, Ordering::Relaxed);
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(running, Ordering::Relaxed);
        drop(self.gate.subscribe().wait_for(|open| *open).await);
        self.running.fetch_sub(1, Ordering::Relaxed);
        let is_failing = self.failing.load(Ordering::Relaxed);
        let body = if is_failing {
            json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": "", "code": 500 })
        } else {
            let items = found.iter().map(|(version, value)| secret(name, *version, value));
            json!({ "kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": items.collect::<Vec<_>>() })
        };
        let status = if is_failing { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        Ok(Response::builder().status(status).body(Full::from(body.to_string()).boxed()).unwrap())
    }
}

struct World {
    server: Arc<Server>,
    mailbox: Arc<Mailbox>,
    secrets: Arc<Secrets>,
}

impl World {
    fn new() -> Self {
        let server = Arc::new(Server {
            secrets: Mutex::default(),
            gate: watch::Sender::new(true),
            failing: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let of_client = server.clone();
        let client = Client::new(service_fn(move |request| of_client.clone().answer(request)), "default");
        let mailbox = Arc::new(Mailbox::new([feed()]));
        let secrets = Arc::new(Secrets::new(feed(), mailbox.clone(), client, Handle::current()));
        Self { server, mailbox, secrets }
    }

    /// What the watch sees.
    fn put(&self, name: &str, version: u64) {
        self.secrets.put(&identity(name), &bare(name, version));
    }

    fn remove(&self, name: &str, version: u64) {
        self.secrets.remove(&identity(name), &bare(name, version));
    }

    fn list(&self, secrets: &[(&str, u64)], meanwhile: impl FnOnce()) {
        self.secrets.begin();
        for (name, version) in secrets {
            self.secrets.stage(&identity(name), &bare(name, *version));
        }
        meanwhile();
        self.secrets.replace();
    }

    fn name(&self, names: &[&str]) {
        self.secrets.change(&keys(names), &[]);
    }

    fn drop(&self, names: &[&str]) {
        self.secrets.change(&[], &keys(names));
    }

    fn asked(&self) -> u64 {
        self.server.asked.load(Ordering::Relaxed)
    }

    /// What came since the last call, as `name=value` or `-name`, after all that runs has come to its end.
    async fn news(&self) -> Vec<String> {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let news = self.mailbox.take().remove(&feed()).unwrap_or_default();
        let changes = news.changes.into_iter().map(|(identity, read)| match read {
            None => format!("-{}", identity.key.name),
            Some(Ok(AnyObject::Secret(secret))) => {
                let value = &secret.value.data.as_ref().unwrap()["k"].0;
                format!("{}={}", identity.key.name, String::from_utf8_lossy(value))
            }
            Some(other) => panic!("{other:?}"),
        });
        changes.collect()
    }
}

fn feed() -> Feed {
    Feed::of(Kind::Secret, &Scope::default())
}

fn keys(names: &[&str]) -> Vec<ObjectKey> {
    names.iter().map(|name| ObjectKey::new("n", name)).collect()
}

fn identity(name: &str) -> Identity {
    super::identity(&ObjectKey::new("n", name))
}

fn secret(name: &str, version: u64, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": name, "namespace": "n", "resourceVersion": version.to_string() },
        "data": { "k": base64(value) },
    })
}

/// Its metadata alone.
fn bare(name: &str, version: u64) -> DynamicObject {
    let metadata = json!({ "name": name, "namespace": "n", "resourceVersion": version.to_string() });
    serde_json::from_value(json!({ "metadata": metadata })).unwrap()
}

/// Base64 of a value.
fn base64(value: &str) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(value.as_bytes().to_vec())).unwrap()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_before_it_is_named_and_after_it_is_not_any_more() {
    let world = World::new();
    world.put("a", 1);
    world.put("b", 2);
    world.server.set("a", 1, "one");
    assert_eq!((world.news().await, world.asked()), (vec![], 0));
    world.name(&["a", "missing"]);
    assert_eq!((world.news().await, world.asked()), (vec!["a=one".to_owned()], 1));
    world.server.set("a", 3, "three");
    world.server.set("missing", 4, "four");
    world.put("a", 3);
    world.put("b", 5);
    world.put("missing", 4);
    assert_eq!((world.news().await, world.asked()), (vec!["a=three".to_owned(), "missing=four".to_owned()], 3));
    world.drop(&["a"]);
    world.put("a", 6);
    world.remove("a", 7);
    world.remove("missing", 8);
    assert_eq!(world.news().await, ["-missing"]);
    world.name(&["a"]);
    assert_eq!((world.news().await, world.asked()), (vec![], 3), "it is gone");
}

#[tokio::test(start_paused = true)]
async fn what_changes_or_goes_while_it_is_asked_for_is_not_taken_for_what_it_was() {
    let world = World::new();
    for (name, version) in [("changed", 1), ("deleted", 2), ("made-anew", 3)] {
        world.put(name, version);
        world.server.set(name, version, "old");
    }
    world.server.gate.send_replace(false);
    world.name(&["changed", "deleted", "made-anew"]);
    assert_eq!(world.news().await, [""; 0]);
    world.server.set("changed", 4, "new");
    world.put("changed", 4);
    world.remove("deleted", 5);
    world.remove("made-anew", 6);
    world.server.set("made-anew", 7, "new");
    world.put("made-anew", 7);
    assert_eq!(world.news().await, ["-deleted", "-made-anew"]);
    world.server.gate.send_replace(true);
    assert_eq!(world.news().await, ["changed=new", "made-anew=new"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_an_earlier_question_is_not_taken() {
    let world = World::new();
    world.put("a", 1);
    world.server.set("a", 1, "old");
    world.server.gate.send_replace(false);
    world.name(&["a"]);
    assert_eq!(world.news().await, [""; 0]);
    world.drop(&["a"]);
    world.put("a", 2);
    world.server.set("a", 2, "new");
    world.name(&["a"]);
    assert_eq!(world.news().await, [""; 0]);
    world.server.gate.send_replace(true);
    assert_eq!((world.news().await, world.asked()), (vec!["a=new".to_owned()], 2));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_lags_behind_does_not_bring_back_what_was() {
    let world = World::new();
    world.put("a", 1);
    world.server.set("a", 4, "four");
    world.name(&["a"]);
    assert_eq!(world.news().await, ["a=four"]);
    world.put("a", 2);
    world.remove("a", 3);
    world.put("a", 4);
    assert_eq!((world.news().await, world.asked()), (vec![], 1));
    world.server.set("a", 5, "five");
    world.put("a", 5);
    assert_eq!(world.news().await, ["a=five"]);
    world.remove("a", 6);
    assert_eq!(world.news().await, ["-a"]);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_gone_when_it_is_asked_for_is_asked_for_again_when_it_is_back() {
    let world = World::new();
    world.put("a", 1);
    world.name(&["a"]);
    assert_eq!(world.news().await, ["-a"]);
    world.remove("a", 2);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((world.news().await, world.asked()), (vec!["-a".to_owned()], 1));
    world.server.set("a", 3, "three");
    world.put("a", 3);
    assert_eq!(world.news().await, ["a=three"]);
}

#[tokio::test(start_paused = true)]
async fn of_a_list_is_read_what_is_named_and_not_held() {
    let world = World::new();
    for name in ["named", "dropped", "late", "bare"] {
        world.server.set(name, 1, "one");
    }
    world.name(&["named", "dropped"]);
    world.list(&[("named", 1), ("dropped", 1), ("late", 1), ("bare", 1)], || {
        world.drop(&["dropped"]);
        world.name(&["late"]);
    });
    assert_eq!((world.news().await, world.asked()), (vec!["late=one".to_owned(), "named=one".to_owned()], 2));
    world.server.set("late", 3, "three");
    world.list(&[("named", 1), ("late", 3), ("bare", 2)], || {});
    assert_eq!((world.news().await, world.asked()), (vec!["late=three".to_owned()], 3));
    world.server.set("late", 2, "two");
    world.list(&[("named", 1), ("late", 2)], || {});
    assert_eq!(world.news().await, ["late=two"], "the server's data was restored");
    world.list(&[("late", 2)], || {});
    assert_eq!((world.news().await, world.asked()), (vec!["-named".to_owned()], 4));
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_before_a_list_is_not_taken() {
    let world = World::new();
    for name in ["deleted", "made-anew"] {
        world.put(name, 1);
    }
    world.server.set("deleted", 1, "old");
    world.server.gate.send_replace(false);
    world.name(&["deleted", "made-anew"]);
    assert_eq!((world.news().await, world.asked()), (vec![], 2), "the second one is not there at this moment");
    world.server.set("made-anew", 3, "new");
    world.list(&[("made-anew", 3)], || {});
    world.server.gate.send_replace(true);
    assert_eq!(world.news().await, ["-deleted", "made-anew=new"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_as_old_as_the_word_of_the_watch_and_what_is_named_anew_is_none() {
    let world = World::new();
    let since = || world.mailbox.take().remove(&feed()).unwrap().since.get(&identity("a")).copied();
    world.put("a", 1);
    world.server.set("a", 1, "one");
    world.name(&["a"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(since(), None);
    world.server.set("a", 2, "two");
    world.server.gate.send_replace(false);
    world.put("a", 2);
    let told = Instant::now();
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.server.gate.send_replace(true);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(since().unwrap() <= told);
}

#[tokio::test(start_paused = true)]
async fn the_first_list_counts_when_all_is_read_that_is_named_or_nothing_comes() {
    for opens in [true, false] {
        let world = World::new();
        world.server.set("a", 1, "one");
        world.server.gate.send_replace(false);
        world.name(&["a"]);
        world.list(&[("a", 1)], || {});
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert!(world.mailbox.is_waiting_for(&feed()));
        world.server.gate.send_replace(opens);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(world.mailbox.is_waiting_for(&feed()), !opens);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!world.mailbox.is_waiting_for(&feed()));
    }
    let world = World::new();
    world.list(&[("a", 1)], || {});
    assert!(!world.mailbox.is_waiting_for(&feed()));
}

#[tokio::test(start_paused = true)]
async fn no_more_than_sixteen_are_asked_for_at_once() {
    let world = World::new();
    let names: Vec<String> = (0..50).map(|number| format!("s{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for name in &names {
        world.put(name, 1);
        world.server.set(name, 1, "one");
    }
    world.server.gate.send_replace(false);
    world.name(&names);
    assert_eq!(world.news().await, [""; 0]);
    assert_eq!(world.server.running.load(Ordering::Relaxed), AT_ONCE);
    world.server.gate.send_replace(true);
    assert_eq!(world.news().await.len(), names.len());
    assert_eq!(world.server.most.load(Ordering::Relaxed), AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_and_tried_again_until_it_is_there_or_not_named_any_more() {
    let world = World::new();
    for name in ["a", "b"] {
        world.put(name, 1);
        world.server.set(name, 1, "one");
    }
    world.server.failing.store(true, Ordering::Relaxed);
    world.name(&["a", "b"]);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let told: Vec<_> = world.mailbox.faults().iter().map(|fault| fault.object.to_string()).collect();
    assert_eq!(told, ["Secret n/a", "Secret n/b"]);
    world.drop(&["b"]);
    world.server.failing.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(world.news().await, ["a=one"]);
    assert_eq!(world.mailbox.faults(), []);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_not_waited_for_for_ever() {
    let world = World::new();
    world.put("a", 1);
    world.server.set("a", 1, "one");
    world.server.gate.send_replace(false);
    world.name(&["a"]);
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(world.asked(), 1);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.asked(), 2);
    world.server.gate.send_replace(true);
    assert_eq!(world.news().await, ["a=one"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_waits_for_the_secrets_it_names_and_not_for_ever() {
    let world = World::new();
    world.put("a", 1);
    world.server.set("a", 1, "one");
    world.server.gate.send_replace(false);
    let begin = Instant::now();
    world.secrets.wait_for(&keys(&["a"]), begin + Duration::from_secs(10));
    world.name(&["a", "missing"]);
    world.secrets.wait_for(&keys(&["missing"]), begin + Duration::from_secs(10));
    assert!(begin.elapsed() < Duration::from_secs(5), "nothing to wait for");
    let begin = Instant::now();
    world.secrets.wait_for(&keys(&["a"]), begin + Duration::from_millis(100));
    assert!(begin.elapsed() >= Duration::from_millis(100));
    let (secrets, begin) = (world.secrets.clone(), Instant::now());
    let waiting = std::thread::spawn(move || secrets.wait_for(&keys(&["a"]), begin + Duration::from_secs(10)));
    world.server.gate.send_replace(true);
    tokio::task::spawn_blocking(|| waiting.join().unwrap()).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(world.news().await, ["a=one"]);
}
