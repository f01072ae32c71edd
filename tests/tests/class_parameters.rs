//! Settings that an IngressClass names in `spec.parameters`: from files, and from an API server.

use std::time::Duration;

use portcullis_tests::manifests::{CLASS, ingress, service};
use portcullis_tests::{ApiServer, Fault, Instance, Origin, Start, run, wait_until};
use serde_json::{Value, json};

/// The class with parameters of the whole cluster.
fn class() -> String {
    format!(
        "{CLASS}---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {{name: edge}}
spec:
  controller: k8s.io/ingress-nginx
  parameters: {{apiGroup: portcullis.dev, kind: ClusterIngressClassParameters, name: edge}}
"
    )
}

fn parameters(spec: &str) -> String {
    format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: ClusterIngressClassParameters\nmetadata: {{name: edge}}\nspec: {spec}\n"
    )
}

const CONFIG_MAP: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: demo}
data: {proxy-body-size: '10', server-tokens: 'false'}
";

/// Whether `Server` is sent, which `serverTokens` switches.
fn has_tokens(instance: &Instance) -> bool {
    instance.get("a.example", "/").headers.contains_key("server")
}

fn findings(instance: &Instance) -> String {
    instance.ask("/debug/findings").body
}

#[test]
fn a_file_with_parameters_changes_settings_at_run_time() {
    let origin = Origin::start("a");
    let instance = Start::default()
        .file("class.yaml", &class())
        .file("service.yaml", &service("a", &[origin.address()]))
        .file("ingress.yaml", &ingress("a", "a.example", "/", "a"))
        .file("config.yaml", CONFIG_MAP)
        .flag("--configmap=demo/settings")
        .serve();
    assert!(!has_tokens(&instance) && findings(&instance).contains("parameters-not-found"));
    instance.put("parameters.yaml", &parameters("{serverTokens: true}"));
    wait_until("the setting", || has_tokens(&instance));
    // They are told after the table is published.
    wait_until("the conflict", || {
        let findings = findings(&instance);
        findings.contains("parameters-conflict") && !findings.contains("parameters-not-found")
    });

    instance.put("parameters.yaml", &parameters("{serverTokens: 'yes'}"));
    wait_until("the fault", || findings(&instance).contains("invalid-object"));
    assert!(has_tokens(&instance), "its last good form holds");
    instance.put("parameters.yaml", &parameters("{}"));
    wait_until("the ConfigMap alone", || !has_tokens(&instance));
    instance.end();
}

#[test]
fn lint_shows_parameters_that_lead_nowhere_and_fields_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("class.yaml"), class()).unwrap();
    let path = folder.path().to_str().unwrap();
    let ended = run(&["lint", path]);
    assert_eq!(ended.code, Some(1), "{}", ended.output);
    assert!(ended.output.contains("parameters-not-found"), "{}", ended.output);
    std::fs::write(folder.path().join("parameters.yaml"), parameters("{serverToken: true}")).unwrap();
    let ended = run(&["lint", path]);
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(ended.output.contains("did you mean serverTokens?"), "{}", ended.output);
}

fn class_object(parameters: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": { "name": "nginx" },
        "spec": { "controller": "k8s.io/ingress-nginx", "parameters": parameters },
    })
}

fn parameters_object(spec: &Value) -> Value {
    json!({
        "apiVersion": "portcullis.dev/v1alpha1", "kind": "IngressClassParameters",
        "metadata": { "name": "edge", "namespace": "shop" }, "spec": spec,
    })
}

#[test]
fn definitions_that_are_installed_later_count_then_and_hold_nothing_up() {
    let kinds = ["ingressclassparameters", "clusteringressclassparameters"];
    let server = ApiServer::start();
    for kind in kinds {
        server.fail_lists(kind, &[Fault::Status(404, None)]);
    }
    server.put(parameters_object(&json!({ "serverTokens": true })));
    let instance = Start::default().run(&server).ready();
    assert!(!has_tokens(&instance));
    assert!(!findings(&instance).contains("arameters"), "{}", findings(&instance));

    server.put(class_object(&json!({
        "apiGroup": "portcullis.dev", "kind": "IngressClassParameters", "name": "edge",
        "scope": "Namespace", "namespace": "shop",
    })));
    wait_until("what is missing is said", || findings(&instance).contains("parameters-not-found"));
    assert_eq!(server.asked(kinds[0]).lists, 1, "not asked without pause");
    std::thread::sleep(Duration::from_secs(25));
    wait_until("the setting", || has_tokens(&instance));
    assert_eq!(server.asked(kinds[0]).lists, 2);
    assert!(!findings(&instance).contains("arameters"), "{}", findings(&instance));

    server.put(parameters_object(&json!({ "serverTokens": "yes" })));
    wait_until("the fault", || findings(&instance).contains("invalid-object"));
    assert!(has_tokens(&instance), "its last good form holds");
    server.put(parameters_object(&json!({ "serverTokens": false })));
    wait_until("the change", || !has_tokens(&instance));
    instance.end();
}

#[test]
fn parameters_are_known_before_it_is_ready() {
    let server = ApiServer::start();
    server.put(parameters_object(&json!({ "serverTokens": true })));
    server.put(class_object(&json!({
        "apiGroup": "portcullis.dev", "kind": "IngressClassParameters", "name": "edge",
        "scope": "Namespace", "namespace": "shop",
    })));
    server.fail_lists("ingressclassparameters", &[Fault::Status(500, None)]);
    let instance = Start::default().run(&server).ready();
    assert!(has_tokens(&instance));
    instance.end();
}
