//! Portcullis as a Deployment with its own ServiceAccount and roles, behind a NodePort Service.

use std::net::SocketAddr;

use super::{Namespace, at_node};

/// The image that `tests/cluster/run` brings along.
pub const IMAGE: &str = concat!("portcullis/portcullis:", env!("CARGO_PKG_VERSION"));

/// Its Deployment, Service, ServiceAccount and ConfigMap have this name.
pub const NAME: &str = "portcullis";

/// An installation in the making.
#[derive(Clone, Debug)]
pub struct Install {
    replicas: usize,
    flags: Vec<String>,
    config: Vec<(String, String)>,
}

/// Portcullis in a namespace, with an IngressClass that has the name of the namespace.
#[derive(Debug)]
pub struct Portcullis {
    /// Name of its IngressClass.
    pub class: String,
    /// Where the node answers HTTP for it.
    pub http: SocketAddr,
    /// Where the node answers HTTPS for it.
    pub https: SocketAddr,
}

impl Install {
    /// One replica.
    pub fn new() -> Self {
        Self { replicas: 1, flags: Vec::new(), config: Vec::new() }
    }

    /// So many replicas.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Adds a flag.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Sets a key of its ConfigMap.
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.config.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Installs it and waits until all replicas are ready.
    pub fn start(&self, namespace: &Namespace) -> Portcullis {
        namespace.apply(&self.manifests(namespace.name()));
        namespace.rolled_out(NAME);
        let port = |name: &str| {
            let path = format!("{{.spec.ports[?(@.name==\"{name}\")].nodePort}}");
            at_node(namespace.field(&format!("service/{NAME}"), &path).parse().expect("a NodePort"))
        };
        let (http, https) = (port("http"), port("https"));
        namespace.reachable(http);
        namespace.reachable(https);
        Portcullis { class: namespace.name().to_owned(), http, https }
    }

    fn manifests(&self, class: &str) -> String {
        [roles(class), self.config_map(), self.deployment(class), service(), ingress_class(class)].join("---\n")
    }

    fn config_map(&self) -> String {
        let data: String = self.config.iter().map(|(key, value)| format!("  {key}: {value:?}\n")).collect();
        let data = if data.is_empty() { "data: {}\n".to_owned() } else { format!("data:\n{data}") };
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {NAME}}}\n{data}")
    }

    fn deployment(&self, class: &str) -> String {
        let mut words = vec![
            "/portcullis".to_owned(),
            "run".to_owned(),
            format!("--controller-class={}", controller(class)),
            format!("--ingress-class={class}"),
            format!("--configmap=$(POD_NAMESPACE)/{NAME}"),
            format!("--publish-service=$(POD_NAMESPACE)/{NAME}"),
            "--http-port=8080".to_owned(),
            "--https-port=8443".to_owned(),
        ];
        words.extend(self.flags.iter().cloned());
        format!(
            "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {NAME}, labels: {{app: {NAME}}}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {NAME}}}}}
  strategy: {{rollingUpdate: {{maxUnavailable: 0, maxSurge: 1}}}}
  template:
    metadata: {{labels: {{app: {NAME}}}}}
    spec:
      serviceAccountName: {NAME}
      terminationGracePeriodSeconds: 300
      containers:
      - name: controller
        image: {IMAGE}
        command: {words:?}
        env:
        - {{name: POD_NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}
        - {{name: POD_NAMESPACE, valueFrom: {{fieldRef: {{fieldPath: metadata.namespace}}}}}}
        ports:
        - {{name: http, containerPort: 8080}}
        - {{name: https, containerPort: 8443}}
        - {{name: health, containerPort: 10254}}
        livenessProbe: {{httpGet: {{path: /livez, port: health}}, periodSeconds: 10}}
        readinessProbe: {{httpGet: {{path: /readyz, port: health}}, periodSeconds: 1}}
        volumeMounts: [{{name: tmp, mountPath: /tmp}}]
        securityContext:
          runAsUser: 101
          runAsNonRoot: true
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {{drop: [ALL]}}
          seccompProfile: {{type: RuntimeDefault}}
      volumes: [{{name: tmp, emptyDir: {{}}}}]
",
            replicas = self.replicas,
        )
    }
}

impl Default for Install {
    fn default() -> Self {
        Self::new()
    }
}

/// What an IngressClass of this installation has as its `spec.controller`.
fn controller(class: &str) -> String {
    format!("test.example/{class}")
}

fn ingress_class(class: &str) -> String {
    let controller = controller(class);
    format!(
        "apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {{name: {class}}}
spec: {{controller: {controller}}}
"
    )
}

fn service() -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {NAME}}}
spec:
  type: NodePort
  selector: {{app: {NAME}}}
  ports:
  - {{name: http, port: 80, targetPort: http}}
  - {{name: https, port: 443, targetPort: https}}
"
    )
}

/// The roles that ingress-nginx has.
fn roles(class: &str) -> String {
    format!(
        "apiVersion: v1
kind: ServiceAccount
metadata: {{name: {NAME}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {class}}}
rules:
- {{apiGroups: [''], resources: [configmaps, endpoints, nodes, pods, secrets, namespaces], verbs: [list, watch]}}
- {{apiGroups: ['', networking.k8s.io, discovery.k8s.io], resources: [services, ingresses, ingressclasses, endpointslices],
   verbs: [get, list, watch]}}
- {{apiGroups: [''], resources: [nodes], verbs: [get]}}
- {{apiGroups: [''], resources: [events], verbs: [create, patch]}}
- {{apiGroups: [networking.k8s.io], resources: [ingresses/status], verbs: [update]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {class}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {class}}}
subjects: [{{kind: ServiceAccount, name: {NAME}, namespace: {class}}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {NAME}}}
rules:
- {{apiGroups: [''], resources: [configmaps, pods, secrets], verbs: [get, list, watch]}}
- {{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create, get, update]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {NAME}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {NAME}}}
subjects: [{{kind: ServiceAccount, name: {NAME}}}]
"
    )
}
