//! Settings that an IngressClass names in `spec.parameters`, with definitions that are installed while Portcullis runs.

use portcullis_tests::Client;
use portcullis_tests::cluster::{Install, Namespace, kubectl, kubectl_with, tried};

/// The definitions as they are committed, and as the chart and the manifests bring them along.
const DEFINITIONS: [(&str, &str); 2] = [
    ("ingressclassparameters", include_str!("../../../../crds/yaml/ingressclassparameters.yaml")),
    ("clusteringressclassparameters", include_str!("../../../../crds/yaml/clusteringressclassparameters.yaml")),
];

/// What the chart's roles add to those of ingress-nginx.
fn role(class: &str) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {class}-parameters}}
rules:
- {{apiGroups: [portcullis.dev], resources: [ingressclassparameters, clusteringressclassparameters], verbs: [list, watch]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {class}-parameters}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {class}-parameters}}
subjects: [{{kind: ServiceAccount, name: portcullis, namespace: {class}}}]
"
    )
}

fn class(name: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {{name: {name}}}
spec:
  controller: test.example/{name}
  parameters: {{apiGroup: portcullis.dev, kind: IngressClassParameters, scope: Namespace, namespace: {name}, name: edge}}
"
    )
}

fn parameters(spec: &str) -> String {
    format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: IngressClassParameters\nmetadata: {{name: edge}}\nspec: {spec}\n"
    )
}

#[test]
fn parameters_of_the_class_count_as_soon_as_their_definition_is_installed() {
    let namespace = Namespace::new("parameters");
    let portcullis = Install::new().config("server-tokens", "false").start(&namespace);
    // `serverTokens` adds `Server` to what is answered.
    let has_tokens = || {
        let answer = Client::new("GET", "no.example", "/").send(portcullis.http).expect("an answer");
        answer.headers.contains_key("server")
    };
    assert!(!has_tokens());

    for (plural, definition) in DEFINITIONS {
        kubectl_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], definition);
        let name = format!("crd/{plural}.portcullis.dev");
        kubectl(&["wait", "--for=condition=Established", &name, "--timeout=30s"]);
    }
    namespace
        .apply(&parameters("{serverTokens: true, keepAlive: 30, hideHeaders: [X-A, X-B], proxyNextUpstream: ['off']}"));
    namespace.apply(&class(&portcullis.class));
    namespace.apply(&role(&portcullis.class));
    namespace.wait_until("the setting holds", has_tokens);

    for (spec, fault) in [
        ("{serverTokens: 'yes'}", "must be of type boolean"),
        ("{keepAlive: -1}", "greater than or equal to 0"),
        ("{httpRedirectCode: 303}", "supported values"),
        ("{hideHeaders: ['X-A,X-B']}", "should match"),
        ("{serverToken: true}", "unknown field"),
    ] {
        let arguments = ["--namespace", namespace.name(), "apply", "-f", "-"];
        let refused = tried("kubectl", &arguments, &parameters(spec)).expect_err(spec);
        assert!(refused.to_lowercase().contains(fault), "{spec}: {refused}");
    }
    for workers in ["2", "auto"] {
        namespace.apply(&parameters(&format!("{{serverTokens: true, workerProcesses: {workers}}}")));
    }
    assert!(has_tokens());

    let change = "{\"spec\":{\"serverTokens\":false}}";
    namespace.kubectl(&["patch", "ingressclassparameters", "edge", "--type=merge", "--patch", change]);
    namespace.wait_until("the change holds", || !has_tokens());
    namespace.apply(&parameters("{serverTokens: true}"));
    namespace.wait_until("the setting holds again", has_tokens);
    namespace.kubectl(&["delete", "ingressclassparameters", "edge"]);
    namespace.wait_until("the ConfigMap alone holds", || !has_tokens());

    let described = kubectl(&["explain", "clusteringressclassparameters.spec.hstsMaxAge"]);
    assert!(described.contains("How long browsers keep to HTTPS"), "{described}");
}
