//! Tests of class parameters: which hold, and what they do beside the ConfigMap.

use portcullis_crds::{ClassParameters, ControllerSettings, Manifest, definitions};
use serde_json::{Value, json};

use super::*;
use crate::annotations::Support;
use crate::tests::options as defaults;
use crate::{Config, ConfigKey, Memo, Object, Severity, config_keys, translate};

fn options() -> Options {
    Options { config_map: Some(ObjectKey::new("ns", "config")), ..defaults() }
}

fn cluster(name: &str) -> Value {
    json!({ "apiGroup": "portcullis.dev", "kind": "ClusterIngressClassParameters", "name": name })
}

fn namespaced(namespace: &str, name: &str) -> Value {
    json!({
        "apiGroup": "portcullis.dev", "kind": "IngressClassParameters", "name": name,
        "scope": "Namespace", "namespace": namespace,
    })
}

#[derive(Default)]
struct World(Resources);

impl World {
    fn class(mut self, name: &str, created: Option<&str>, controller: &str, parameters: &Value) -> Self {
        let class = json!({
            "metadata": { "name": name, "creationTimestamp": created },
            "spec": { "controller": controller, "parameters": parameters },
        });
        self.0.classes.insert(ObjectKey::new("", name), Object::new(serde_json::from_value(class).unwrap(), 1));
        self
    }

    fn ours(self, name: &str, parameters: &Value) -> Self {
        self.class(name, None, "k8s.io/ingress-nginx", parameters)
    }

    fn parameters(mut self, namespace: &str, name: &str, spec: &Value) -> Self {
        let hash = spec.to_string().bytes().fold(7, |hash: u64, octet| hash.wrapping_mul(31) + u64::from(octet));
        let object = Object::new(ClassParameters::of(Some(spec)), hash);
        self.0.class_parameters.insert(ObjectKey::new(namespace, name), object);
        self
    }

    fn config_map(mut self, data: &Value) -> Self {
        let map = serde_json::from_value(json!({ "data": data })).unwrap();
        self.0.config_maps.insert(ObjectKey::new("ns", "config"), Object::new(map, 1));
        self
    }

    /// The findings of a translation but that of a ConfigMap which is not there.
    fn findings(&self) -> Vec<Finding> {
        let mut findings = translate(&self.0, &options(), &mut Memo::default()).findings;
        findings.retain(|finding| finding.code != "no-config-map");
        findings
    }

    fn codes(&self) -> Vec<(String, String, &'static str)> {
        let said = |finding: Finding| (finding.object.to_string(), finding.field, finding.code);
        self.findings().into_iter().map(said).collect()
    }

    fn config(&self) -> Config {
        Config::of(&self.0, &options())
    }
}

fn said(object: &str, field: &str, code: &'static str) -> (String, String, &'static str) {
    (object.to_owned(), field.to_owned(), code)
}

#[test]
fn references_name_an_object_or_say_why_not() {
    let with = |change: &[(&str, Value)], mut reference: Value| {
        change.iter().for_each(|(field, value)| reference[*field] = value.clone());
        reference
    };
    let scope = "invalid-parameters-scope";
    for (reference, want) in [
        (cluster("p"), Ok("ClusterIngressClassParameters p")),
        (with(&[("scope", json!("Cluster"))], cluster("p")), Ok("ClusterIngressClassParameters p")),
        (with(&[("namespace", json!(""))], cluster("p")), Ok("ClusterIngressClassParameters p")),
        (namespaced("n", "p"), Ok("IngressClassParameters n/p")),
        (with(&[("namespace", json!("n"))], cluster("p")), Err(scope)),
        (with(&[("scope", json!("Namespace")), ("namespace", json!("n"))], cluster("p")), Err(scope)),
        (with(&[("scope", json!(null))], namespaced("n", "p")), Err(scope)),
        (with(&[("scope", json!("Cluster"))], namespaced("n", "p")), Err(scope)),
        (with(&[("namespace", json!(null))], namespaced("n", "p")), Err(scope)),
        (with(&[("kind", json!("ConfigMap"))], cluster("p")), Err("unknown-parameters")),
        (with(&[("kind", json!("clusteringressclassparameters"))], cluster("p")), Err("unknown-parameters")),
        (with(&[("apiGroup", json!(null))], cluster("p")), Err("unknown-parameters")),
        (with(&[("apiGroup", json!("k8s.example"))], cluster("p")), Err("unknown-parameters")),
    ] {
        let got = target(&serde_json::from_value(reference.clone()).unwrap());
        let got = got.map(|object| object.to_string()).map_err(|refusal| refusal.code);
        assert_eq!(got, want.map(str::to_owned), "{reference}");
    }
}

#[test]
fn a_field_holds_where_the_config_map_says_nothing_and_wins_where_it_does() {
    let world = World::default()
        .ours("nginx", &cluster("p"))
        .config_map(
            &json!({ "hsts-max-age": "1", "server-tokens": "true", "ssl-redirect": "F", "hide-headers": "A, B" }),
        )
        .parameters(
            "",
            "p",
            &json!({
                "hstsMaxAge": 2, "proxyReadTimeout": 7, "sslRedirect": false, "hideHeaders": ["A", "B"],
            }),
        );
    let config = world.config();
    assert_eq!(config.settings.hsts, Some(portcullis_model::Hsts::new(2, true, false)));
    assert!(config.settings.server_tokens && !config.ssl_redirect);
    assert_ne!(config.timeouts, Config::default().timeouts);
    let object = "ClusterIngressClassParameters p";
    assert_eq!(world.codes(), [said(object, "spec.hstsMaxAge", "parameters-conflict")]);
    let message = &world.findings()[0].message;
    assert_eq!(message, "the key hsts-max-age of the ConfigMap ns/config says `1` instead of `2`; this field wins");
}

#[test]
fn a_value_that_cannot_be_read_leaves_what_the_config_map_says() {
    let world = World::default()
        .ours("nginx", &namespaced("n", "p"))
        .config_map(&json!({ "http2-max-concurrent-streams": "7" }))
        .parameters("n", "p", &json!({ "http2MaxConcurrentStreams": 0, "proxyBodySize": "much" }));
    let config = world.config();
    assert_eq!(config.settings.client.concurrent_streams, 7);
    assert_eq!(config.body, Config::default().body);
    let object = "IngressClassParameters n/p";
    let want = ["spec.http2MaxConcurrentStreams", "spec.proxyBodySize"];
    assert_eq!(world.codes(), want.map(|field| said(object, field, "invalid-config-value")));
    let findings = world.findings();
    assert!(findings[0].message.ends_with("; what the ConfigMap says is used"), "{}", findings[0]);
    assert!(findings[1].message.ends_with("; the default `1m` is used"), "{}", findings[1]);
}

#[test]
fn what_leads_nowhere_leaves_the_config_map_alone() {
    for (reference, code, severity) in [
        (cluster("missing"), "parameters-not-found", Severity::Error),
        (namespaced("other", "p"), "parameters-not-found", Severity::Error),
        (json!({ "kind": "ConfigMap", "name": "p" }), "unknown-parameters", Severity::Warning),
    ] {
        let world = World::default()
            .ours("nginx", &reference)
            .config_map(&json!({ "ssl-redirect": "false" }))
            .parameters("n", "p", &json!({ "sslRedirect": true }));
        assert!(!world.config().ssl_redirect);
        let [finding] = &world.findings()[..] else { panic!("{:?}", world.findings()) };
        assert_eq!(
            (finding.object.to_string().as_str(), finding.code, finding.severity),
            ("IngressClass nginx", code, severity)
        );
    }
}

#[test]
fn of_several_classes_the_oldest_decides() {
    let world = |early: &Value, late: &Value| {
        let ours = "k8s.io/ingress-nginx";
        World::default()
            .class("a-late", Some("2026-02-01T00:00:00Z"), ours, late)
            .class("b-early", Some("2026-01-01T00:00:00Z"), ours, early)
            .class("c-foreign", Some("2025-01-01T00:00:00Z"), "k8s.io/other", &cluster("foreign"))
            .class("d-without", Some("2025-01-01T00:00:00Z"), ours, &json!(null))
            .parameters("", "off", &json!({ "sslRedirect": false }))
            .parameters("", "on", &json!({ "sslRedirect": true }))
            .parameters("", "foreign", &json!({ "serverTokens": true }))
    };
    let ignored = || said("IngressClass a-late", "spec.parameters", "parameters-ignored");
    let both = world(&cluster("off"), &cluster("on"));
    assert!(!both.config().ssl_redirect && !both.config().settings.server_tokens);
    assert_eq!(both.codes(), [ignored()]);
    assert_eq!(world(&cluster("off"), &cluster("off")).codes(), []);
    let broken = world(&cluster("missing"), &cluster("off"));
    assert!(broken.config().ssl_redirect, "not those of the other class");
    let missing = said("IngressClass b-early", "spec.parameters", "parameters-not-found");
    assert_eq!(broken.codes(), [ignored(), missing]);
}

#[test]
fn of_equal_age_the_first_by_name_decides_and_a_class_may_be_ours_by_name() {
    let world = World::default().ours("a", &cluster("one")).ours("b", &cluster("two")).parameters(
        "",
        "one",
        &json!({ "sslRedirect": false }),
    );
    assert!(!world.config().ssl_redirect);
    let world = World::default().class("nginx", None, "k8s.io/other", &cluster("one")).parameters(
        "",
        "one",
        &json!({ "sslRedirect": false }),
    );
    let by_name = Options { ingress_class_by_name: true, ..options() };
    assert!(world.config().ssl_redirect && !Config::of(&world.0, &by_name).ssl_redirect);
}

#[test]
fn fields_that_have_no_effect_are_told_and_those_that_keep_requests_out_close() {
    let object = "ClusterIngressClassParameters p";
    for (spec, code, closed) in [
        (json!({ "ssl-redirect": false }), "unknown-key", false),
        (json!({ "sslRedirct": false }), "unknown-key", false),
        (json!({ "useGzip": true }), "not-yet-supported", false),
        (json!({ "blockCidrs": ["10.0.0.0/8"] }), "not-yet-supported", true),
    ] {
        let world = World::default().ours("nginx", &cluster("p")).parameters("", "p", &spec);
        let field = format!("spec.{}", spec.as_object().unwrap().keys().next().unwrap());
        assert_eq!(world.codes(), [said(object, &field, code)]);
        assert_eq!((world.config().closed.is_some(), world.config().ssl_redirect), (closed, true), "{spec}");
    }
    let world = World::default().ours("nginx", &cluster("p")).parameters("", "p", &json!({ "sslRedirct": false }));
    assert_eq!(world.findings()[0].help, "did you mean sslRedirect?");
}

#[test]
fn a_memo_knows_other_parameters() {
    let mut memo = Memo::default();
    let mut world = World::default().ours("nginx", &cluster("p"));
    for (spec, tokens) in [(json!({}), false), (json!({ "serverTokens": true }), true), (json!({}), false)] {
        world = world.parameters("", "p", &spec);
        assert_eq!(translate(&world.0, &options(), &mut memo).snapshot.settings.server_tokens, tokens, "{spec}");
    }
    world = world.parameters("", "p", &json!({ "serverTokens": true }));
    assert!(translate(&world.0, &options(), &mut memo).snapshot.settings.server_tokens);
    world.0.class_parameters.clear();
    assert!(!translate(&world.0, &options(), &mut memo).snapshot.settings.server_tokens);
}

#[test]
fn a_secret_is_in_no_conflict() {
    let world = World::default()
        .ours("nginx", &cluster("p"))
        .config_map(&json!({ "ssl-session-ticket-key": "b25l" }))
        .parameters("", "p", &json!({ "sslSessionTicketKey": "dHdv" }));
    let text = format!("{:?}", world.findings());
    assert!(!text.contains("b25l") && !text.contains("dHdv"), "{text}");
    let key = |letter: &str| format!("{}=", letter.repeat(63));
    let world = World::default()
        .ours("nginx", &cluster("p"))
        .config_map(&json!({ "ssl-session-ticket-key": key("AAAA").get(..64) }))
        .parameters("", "p", &json!({ "sslSessionTicketKey": key("BBBB").get(..64) }));
    let text = format!("{:?}", world.findings());
    assert!(text.contains("parameters-conflict") && !text.contains("AAAA") && !text.contains("BBBB"), "{text}");
    let header = |value: &str| format!("proxy_set_header Authorization {value};");
    let world = World::default()
        .ours("nginx", &cluster("p"))
        .config_map(&json!({ "http-snippet": header("AAAA") }))
        .parameters("", "p", &json!({ "httpSnippet": header("BBBB") }));
    let text = format!("{:?}", world.findings());
    assert!(text.contains("parameters-conflict") && !text.contains("AAAA") && !text.contains("BBBB"), "{text}");
}

#[test]
fn what_is_set_at_the_start_is_told_where_it_is_set() {
    let world = World::default().ours("nginx", &cluster("p")).parameters("", "p", &json!({ "workerProcesses": 2 }));
    let of = |key| origin(key, &world.0, &options()).map(|(object, field)| format!("{object} {field}"));
    assert_eq!(of("worker-processes").as_deref(), Some("ClusterIngressClassParameters p spec.workerProcesses"));
    assert_eq!(of("max-worker-connections").as_deref(), Some("ConfigMap ns/config max-worker-connections"));
    assert_eq!(origin("worker-processes", &Resources::default(), &defaults()), None);
}

/// Whether a key has a field.
fn is_supported(key: &ConfigKey) -> bool {
    matches!(key.support, Support::Full | Support::Partial)
}

fn fields() -> BTreeMap<String, Value> {
    let [definition, _] = definitions().unwrap();
    definition.settings().map(|(name, schema)| (name.to_owned(), schema.clone())).collect()
}

#[test]
fn every_supported_key_has_a_field_and_no_other_has() {
    let keys: Vec<String> = {
        let mut keys: Vec<String> =
            config_keys().filter(|key| is_supported(key)).map(|key| field_name(key.key)).collect();
        keys.sort();
        keys
    };
    assert_eq!(fields().into_keys().collect::<Vec<_>>(), keys);
}

#[test]
fn fields_are_described_as_their_keys() {
    let fields = fields();
    for key in config_keys().filter(|key| is_supported(key)) {
        let schema = &fields[&field_name(key.key)];
        assert_eq!(schema["description"], wanted_description(key, schema), "{}", key.key);
    }
}

/// The words of the ConfigMap's reference, with fields in the place of keys.
fn wanted_description(key: &ConfigKey, schema: &Value) -> String {
    let mut doc = key.doc.to_owned();
    for other in config_keys().filter(|key| is_supported(key)) {
        doc = doc.replace(&format!("`{}`", other.key), &format!("`{}`", field_name(other.key)));
    }
    doc = doc.replace("Default of the annotation", &format!("Default of the annotation `{}`", key.key));
    let is_free = schema["enum"].is_null() && !matches!(schema["type"].as_str(), Some("boolean" | "array"));
    if is_free {
        doc.push_str(&format!(" Value: {}.", key.value));
    }
    let default = match (schema["type"].as_str(), key.default) {
        (Some("boolean"), "on") => "true",
        (Some("boolean"), "off") => "false",
        (_, default) => default,
    };
    if (1..100).contains(&default.len()) {
        doc.push_str(&format!(" Default: `{default}`."));
    }
    doc
}

#[test]
fn the_default_of_every_key_is_a_value_of_its_field_that_reads_as_the_key_does() {
    let fields = fields();
    for key in config_keys().filter(|key| is_supported(key) && !key.default.is_empty()) {
        let name = field_name(key.key);
        let value = as_value(key.default, &fields[&name]);
        let spec = json!({ name.clone(): value });
        let manifest = json!({ "spec": spec });
        let typed: Manifest = serde_json::from_value(manifest).unwrap_or_else(|error| panic!("{name}: {error}"));
        let settings: ControllerSettings = typed.spec.unwrap();
        let written = serde_json::to_value(&settings).unwrap();
        assert_eq!(written[&name], spec[&name], "{name}");
        let text = &ClassParameters::of(Some(&written)).fields[&name];
        assert_eq!(text, key.default, "{name}");
    }
}

/// A text of the ConfigMap as a value of the type that a field has.
fn as_value(text: &str, schema: &Value) -> Value {
    let items = |divider: &[char]| json!(text.split(divider).collect::<Vec<_>>());
    match schema["type"].as_str() {
        Some("boolean") => json!(matches!(text, "true" | "on")),
        Some("integer") => json!(text.parse::<i64>().unwrap()),
        Some("array") => items(&[' ', ':', ',']),
        _ => json!(text),
    }
}
