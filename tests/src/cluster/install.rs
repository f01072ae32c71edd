//! Portcullis as its chart installs it, behind a NodePort Service.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Namespace, at_node, helm_with};

/// The chart.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/chart");

/// The image that `tests/cluster/run` brings along.
pub const IMAGE: &str = concat!("portcullis/portcullis:", env!("CARGO_PKG_VERSION"));

/// How long Helm may wait until everything is ready.
const TIMEOUT: &str = "--timeout=60s";

/// An installation in the making.
#[derive(Clone, Debug)]
pub struct Install {
    replicas: usize,
    flags: BTreeMap<String, String>,
    config: BTreeMap<String, String>,
    values: Value,
}

/// Portcullis in a namespace, with an IngressClass that has the name of the namespace.
#[derive(Debug)]
pub struct Portcullis {
    /// Name of its IngressClass, and the value of the label `app` of its Pods.
    pub class: String,
    /// Name of its Deployment, Service and ConfigMap.
    pub deployment: String,
    /// Where the node answers HTTP for it.
    pub http: SocketAddr,
    /// Where the node answers HTTPS for it.
    pub https: SocketAddr,
}

impl Install {
    /// One replica.
    pub fn new() -> Self {
        Self { replicas: 1, flags: BTreeMap::new(), config: BTreeMap::new(), values: json!({}) }
    }

    /// So many replicas.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Sets a flag, named without its dashes.
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets a key of its ConfigMap.
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.config.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Lays values of the chart over those that it has otherwise.
    pub fn values(mut self, values: Value) -> Self {
        lay_over(&mut self.values, values);
        self
    }

    /// Installs it and waits until all replicas are ready.
    pub fn start(&self, namespace: &Namespace) -> Portcullis {
        self.helm("install", namespace)
    }

    /// Changes what was installed, and waits until that is in force.
    pub fn upgrade(&self, namespace: &Namespace) -> Portcullis {
        self.helm("upgrade", namespace)
    }

    fn helm(&self, verb: &str, namespace: &Namespace) -> Portcullis {
        let name = namespace.name();
        let place = ["--namespace", name, "--values", "-", "--wait", TIMEOUT];
        helm_with(&[&[verb, name, CHART][..], &place].concat(), &self.all_values(name).to_string());
        Portcullis::of(namespace, name, &format!("{name}-controller"))
    }

    /// Names of objects and classes are those of the namespace, as some belong to the whole cluster. So does the webhook,
    /// which would be asked about the Ingresses of other tests.
    fn all_values(&self, name: &str) -> Value {
        let mut values = json!({
            "fullnameOverride": name,
            "controller": {
                "replicaCount": self.replicas,
                "podLabels": {"app": name},
                "service": {"type": "NodePort"},
                "ingressClass": name,
                "ingressClassResource": {"name": name, "controllerValue": format!("test.example/{name}")},
                "admissionWebhooks": {"enabled": false},
                "extraArgs": self.flags,
                "config": self.config,
            },
        });
        lay_over(&mut values, self.values.clone());
        values
    }
}

impl Default for Install {
    fn default() -> Self {
        Self::new()
    }
}

impl Portcullis {
    /// One that serves a class and answers behind a Service: waits until the node has its ports.
    pub fn of(namespace: &Namespace, class: &str, service: &str) -> Self {
        let port = |port: &str| {
            let path = format!("{{.spec.ports[?(@.name==\"{port}\")].nodePort}}");
            at_node(namespace.field(&format!("service/{service}"), &path).parse().expect("a NodePort"))
        };
        let (http, https) = (port("http"), port("https"));
        namespace.reachable(http);
        namespace.reachable(https);
        Self { class: class.to_owned(), deployment: service.to_owned(), http, https }
    }

    /// What Pods of it are found by.
    pub fn label(&self) -> String {
        format!("app={}", self.class)
    }
}

/// Merges as Helm does: objects key by key, anything else as a whole.
fn lay_over(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                lay_over(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}
