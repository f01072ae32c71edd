//! A namespace of one test.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{at_node, command};

/// How long anything in the cluster may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Deleted with everything in it when the test is over; where the test failed, its state is printed before.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

/// Pods of what profile a namespace takes, see the Pod security standards of Kubernetes.
const RESTRICTED: &str = "restricted";
const PRIVILEGED: &str = "privileged";

impl Namespace {
    /// A new one, called `NAME-NUMBER`, that takes only Pods of the restricted profile.
    pub fn new(name: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        Self::create(format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed)), RESTRICTED)
    }

    /// A new one of exactly this name that takes any Pod, as one does that nobody has labelled.
    pub fn unrestricted(name: &str) -> Self {
        Self::create(name.to_owned(), PRIVILEGED)
    }

    /// A new one of exactly this name that takes only Pods of the restricted profile.
    pub fn named(name: &str) -> Self {
        Self::create(name.to_owned(), RESTRICTED)
    }

    /// One that something else has made, such as a manifest; it is deleted in the end all the same.
    pub fn existing(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    fn create(name: String, profile: &str) -> Self {
        let labels = format!("{{pod-security.kubernetes.io/enforce: {profile}}}");
        let manifest = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}\n");
        command::kubectl_with(&["create", "-f", "-"], &manifest);
        let namespace = Self { name };
        // Without it no Pod is admitted.
        namespace.wait_until("the default ServiceAccount", || {
            namespace.try_kubectl(&["get", "serviceaccount", "default"]).is_ok()
        });
        namespace
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs kubectl in it.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        command::kubectl(&[&["--namespace", &self.name], arguments].concat())
    }

    /// Runs kubectl in it; its stderr where it fails.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        command::tried("kubectl", &[&["--namespace", &self.name], arguments].concat(), "")
    }

    /// Applies manifests.
    pub fn apply(&self, manifests: &str) {
        command::kubectl_with(&["--namespace", &self.name, "apply", "-f", "-"], manifests);
    }

    /// Waits until all replicas of a Deployment are new and available.
    pub fn rolled_out(&self, deployment: &str) {
        let name = format!("deployment/{deployment}");
        self.kubectl(&["rollout", "status", &name, &format!("--timeout={}s", PATIENCE.as_secs())]);
    }

    /// Replaces all Pods of a Deployment, and waits for the end of it.
    pub fn restart(&self, deployment: &str) {
        self.kubectl(&["rollout", "restart", &format!("deployment/{deployment}")]);
        self.rolled_out(deployment);
    }

    /// A field of an object as `-o jsonpath` finds it.
    pub fn field(&self, object: &str, path: &str) -> String {
        self.kubectl(&["get", object, "-o", &format!("jsonpath={path}")])
    }

    /// Names of the Pods with a label that are not on their way out, sorted.
    pub fn pods(&self, label: &str) -> Vec<String> {
        let template = "{range .items[*]}{.metadata.deletionTimestamp}|{.metadata.name}{\"\\n\"}{end}";
        let text = self.kubectl(&["get", "pods", "-l", label, "-o", &format!("jsonpath={template}")]);
        let mut names: Vec<String> =
            text.lines().filter_map(|line| line.strip_prefix('|')).map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Names of all Pods with a label, also of those that are on their way out.
    pub fn all_pods(&self, label: &str) -> Vec<String> {
        let text = self.kubectl(&["get", "pods", "-l", label, "-o", "name"]);
        text.lines().map(|line| line.trim_start_matches("pod/").to_owned()).collect()
    }

    /// A Pod at one of its ports.
    pub fn address_of(&self, pod: &str, port: u16) -> SocketAddr {
        let address = self.field(&format!("pod/{pod}"), "{.status.podIP}");
        SocketAddr::new(address.parse().unwrap_or_else(|_| panic!("{pod} has no address, but {address:?}")), port)
    }

    /// Where the node answers for the first port of a Service.
    pub fn node_port(&self, service: &str) -> SocketAddr {
        let port = self.field(&format!("service/{service}"), "{.spec.ports[0].nodePort}");
        at_node(port.parse().unwrap_or_else(|_| panic!("{service} has no NodePort, but {port:?}")))
    }

    /// Where the node answers for the port of a Service that has this name.
    pub fn node_port_of(&self, service: &str, name: &str) -> SocketAddr {
        let port =
            self.field(&format!("service/{service}"), &format!("{{.spec.ports[?(@.name==\"{name}\")].nodePort}}"));
        at_node(port.parse().unwrap_or_else(|_| panic!("{service} has no NodePort for {name}, but {port:?}")))
    }

    /// The cluster address and first port of a Service.
    pub fn service_address(&self, service: &str) -> SocketAddr {
        let text = self.field(&format!("service/{service}"), "{.spec.clusterIP}:{.spec.ports[0].port}");
        text.parse().unwrap_or_else(|_| panic!("{service} has no address, but {text:?}"))
    }

    /// The first Pod with a label, at one of its ports: past the Services, whose rules the node makes anew after an outage
    /// of the API server.
    pub fn pod_address(&self, label: &str, port: u16) -> SocketAddr {
        let address = self.kubectl(&["get", "pods", "-l", label, "-o", "jsonpath={.items[0].status.podIP}"]);
        SocketAddr::new(address.parse().unwrap_or_else(|_| panic!("{label} has no address, but {address:?}")), port)
    }

    /// Waits until a Service takes connections: the node learns of ready Pods a little later than the API server.
    pub fn reachable(&self, address: SocketAddr) {
        self.wait_until(&format!("{address} takes connections"), || {
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
        });
    }

    /// Waits until something holds, and returns how long it took.
    pub fn wait_until(&self, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
        let begin = Instant::now();
        while !holds() {
            assert!(begin.elapsed() < PATIENCE, "{}: {what}: still not after {PATIENCE:?}", self.name);
            thread::sleep(Duration::from_millis(50));
        }
        begin.elapsed()
    }

    /// What a reader of a failed test wants to see.
    fn describe(&self) -> String {
        let asked: [&[&str]; 3] = [
            &["get", "pods,services,endpointslices,ingresses", "-o", "wide"],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &["logs", "--all-containers", "--prefix", "--tail=30", "-l", "!none"],
        ];
        let answers = asked.map(|arguments| self.try_kubectl(arguments).unwrap_or_else(|error| error));
        format!("--- namespace {}\n{}", self.name, answers.join("\n"))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.describe());
        }
        // The cluster ends soon after, with whatever is left.
        let _left = command::tried("kubectl", &["delete", "namespace", &self.name, "--wait=false"], "");
    }
}
