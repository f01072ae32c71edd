//! Many Ingresses at once.

use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::Client;
use portcullis_tests::cluster::{Api, Connection, Echo, Install, Namespace, Pod, Portcullis, measured};
use serde_json::json;

use super::histogram::Histogram;

const INGRESSES: usize = 1000;

/// Ingresses that come when the others are there.
const LATER: usize = 50;

/// From the event of a watch until requests see the change.
const PROPAGATION: Duration = Duration::from_millis(100);

/// From the start of the program until it serves all of them.
const START: Duration = Duration::from_secs(2);

#[test]
fn a_thousand_ingresses_are_each_served_at_once_and_a_pod_that_starts_then_is_ready_soon() {
    let namespace = Namespace::new("scale");
    let portcullis = Install::new().start(&namespace);
    Echo::new("wear").start(&namespace);
    let [pod] = &namespace.pods(&portcullis.label())[..] else { panic!("one Pod") };
    let pod = Pod::running(&namespace, pod);
    let scale = Scale { api: Api::open(), namespace, portcullis };

    let patience = patience(&pod);
    scale.created_as_fast_as_they_are_taken(&pod, patience);
    scale.created_one_by_one(patience);
    scale.a_pod_starts(patience);
}

struct Scale {
    namespace: Namespace,
    portcullis: Portcullis,
    api: Api,
}

impl Scale {
    fn created_as_fast_as_they_are_taken(&self, pod: &Pod, patience: u32) {
        let objects: Vec<String> = (0..INGRESSES).map(|number| ingress(&self.portcullis.class, number)).collect();
        let begin = Instant::now();
        self.api.create_all(&self.path(), &objects);
        let created = begin.elapsed();
        let last = self
            .namespace
            .wait_until("the last ones are served", || (INGRESSES - 8..INGRESSES).all(|number| self.is_served(number)));
        for number in 0..INGRESSES {
            assert!(self.is_served(number), "{}", host(number));
        }
        let times = Histogram::read(&metrics(pod), "portcullis_propagation_seconds", "kind=\"Ingress\"");
        measured(&format!("{INGRESSES} Ingresses created in {created:.1?}, the last ones served {last:.1?} later"));
        measured(&format!("from the event of the watch until requests see it: {times}"));
        // More where Ingresses of tests before are still being deleted.
        assert!(times.count() >= INGRESSES as u64, "{times}");
        let limit = (PROPAGATION * patience).as_secs_f64();
        // Now and then a thread waits for a CPU, of which API server and etcd want both.
        assert!(times.quantile(0.99) <= limit && times.quantile(1.0) <= 2.0 * limit, "{times}");
    }

    /// Seen from outside: what the API server takes to tell of it is in there, too.
    fn created_one_by_one(&self, patience: u32) {
        let mut times: Vec<Duration> = (INGRESSES..INGRESSES + LATER)
            .map(|number| {
                self.api.create_all(&self.path(), &[ingress(&self.portcullis.class, number)]);
                let created = Instant::now();
                let mut connection = Connection::open(self.portcullis.http).expect("a connection");
                while connection.get(&host(number), "/").expect("an answer").code != 200 {
                    assert!(created.elapsed() < Duration::from_secs(5), "{}", host(number));
                    thread::sleep(Duration::from_millis(2));
                }
                created.elapsed()
            })
            .collect();
        times.sort();
        let (half, most) = (times[LATER / 2], times[LATER - 1]);
        measured(&format!("one more Ingress beside them served {half:.1?} after it was created, at most {most:.1?}"));
        assert!(half <= PROPAGATION * patience, "{times:?}");
    }

    fn a_pod_starts(&self, patience: u32) {
        let label = self.portcullis.label();
        let before = self.namespace.pods(&label);
        self.namespace.kubectl(&["delete", "pod", &before[0], "--wait=false"]);
        let mut name = None;
        self.namespace.wait_until("there is another Pod", || {
            name = self.namespace.pods(&label).into_iter().find(|pod| !before.contains(pod));
            name.is_some()
        });
        let name = name.expect("waited for");
        let pod = Pod::running(&self.namespace, &name);
        let answers = |path: &str, host: &str, port: u16| {
            Client::new("GET", host, path).send(pod.at(port)).is_ok_and(|answer| answer.status == 200)
        };
        while !answers("/readyz", "health", 10254) {
            assert!(pod.age() < 5 * START, "still not ready");
            thread::sleep(Duration::from_millis(5));
        }
        let ready = pod.age();
        for number in 0..INGRESSES + LATER {
            assert!(answers("/", &host(number), 80), "ready without {}", host(number));
        }
        self.namespace.kubectl(&["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=30s"]);
        measured(&format!("with {} Ingresses there, ready {ready:.2?} after the program started", INGRESSES + LATER));
        assert!(ready <= START * patience, "{ready:?}");
    }

    fn is_served(&self, number: usize) -> bool {
        let answer = Client::new("GET", &host(number), "/").send(self.portcullis.http);
        answer.is_ok_and(|answer| answer.status == 200)
    }

    fn path(&self) -> String {
        format!("/apis/networking.k8s.io/v1/namespaces/{}/ingresses", self.namespace.name())
    }
}

/// A build without optimizations may take so many times as long.
fn patience(pod: &Pod) -> u32 {
    if metrics(pod).contains("build=\"debug\"") { 20 } else { 1 }
}

fn metrics(pod: &Pod) -> String {
    Client::new("GET", "metrics", "/metrics").send(pod.at(10254)).expect("metrics").body
}

fn host(number: usize) -> String {
    format!("shop-{number}.example")
}

fn ingress(class: &str, number: usize) -> String {
    let backend = json!({"service": {"name": "wear", "port": {"number": 80}}});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": format!("shop-{number}")},
        "spec": {"ingressClassName": class, "rules": [{
            "host": host(number), "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
        }]},
    })
    .to_string()
}
