//! Backends: Deployments of the echo image, each behind a Service of its name.

use super::Namespace;

/// The image that `tests/cluster/run` brings along: the program of `tests/cluster/echo`.
pub const ECHO_IMAGE: &str = "cluster.test/echo:1";

/// A Deployment of echo backends in the making.
#[derive(Clone, Debug)]
pub struct Echo {
    name: String,
    replicas: usize,
    arguments: Vec<String>,
    kind: &'static str,
    streams: bool,
}

impl Echo {
    /// One replica, behind a Service on port 80.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), replicas: 1, arguments: Vec::new(), kind: "ClusterIP", streams: false }
    }

    /// So many replicas.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Ends at once when asked to, whatever is in flight.
    pub fn rude(mut self) -> Self {
        self.arguments.push("--rude".to_owned());
        self
    }

    /// Answers on a port of the node, too.
    pub fn node_port(mut self) -> Self {
        self.kind = "NodePort";
        self
    }

    /// Answers TCP and UDP, too, on port 9000 of the Service: see `tests/cluster/echo/src/streams.rs`.
    pub fn streams(mut self) -> Self {
        self.arguments.extend(["--tcp", "9000", "--udp", "9000"].map(str::to_owned));
        self.streams = true;
        self
    }

    /// Creates both objects and waits until all replicas are available.
    pub fn start(&self, namespace: &Namespace) {
        namespace.apply(&self.manifests());
        self.wait(namespace);
    }

    fn wait(&self, namespace: &Namespace) {
        namespace.rolled_out(&self.name);
        namespace.reachable(namespace.service_address(&self.name));
        if self.kind == "NodePort" {
            namespace.reachable(namespace.node_port(&self.name));
        }
    }

    /// Starts several at once.
    pub fn start_all(all: &[Self], namespace: &Namespace) {
        let manifests: Vec<String> = all.iter().map(Self::manifests).collect();
        namespace.apply(&manifests.join("---\n"));
        all.iter().for_each(|echo| echo.wait(namespace));
    }

    fn manifests(&self) -> String {
        let Self { name, replicas, arguments, kind, streams } = self;
        let ports = if *streams {
            "\n  - {name: tcp, port: 9000, protocol: TCP}\n  - {name: udp, port: 9000, protocol: UDP}"
        } else {
            ""
        };
        let arguments: String = arguments.iter().map(|argument| format!(", {argument:?}")).collect();
        // A rolling update keeps as many ready as there are replicas.
        format!(
            "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  strategy: {{rollingUpdate: {{maxUnavailable: 0, maxSurge: 1}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 20
      containers:
      - name: echo
        image: {ECHO_IMAGE}
        args: [--name, {name}{arguments}]
        ports: [{{name: http, containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: /healthz, port: http}}, periodSeconds: 1}}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          runAsNonRoot: true
          capabilities: {{drop: [ALL]}}
          seccompProfile: {{type: RuntimeDefault}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  type: {kind}
  selector: {{app: {name}}}
  ports:
  - {{name: http, port: 80, targetPort: http}}{ports}
"
        )
    }
}
