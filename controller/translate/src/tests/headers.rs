//! Header fields out of ConfigMaps.

use portcullis_model::RoutePolicy;
use portcullis_model::policy::{HeaderText, SetHeader};

use super::*;

const CONTROLLER: &str = "ingress-nginx/controller";

fn with_controller() -> Options {
    Options { config_map: ObjectKey::parse(CONTROLLER), ..options() }
}

fn config_map(name: &str, data: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!("kind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\ndata: {{{data}}}")
}

fn custom(config_map: &str) -> String {
    let annotation = format!("nginx.ingress.kubernetes.io/custom-headers: {config_map}");
    ingress("shop", 0, &annotation, &["a.example / Prefix s1"])
}

fn translated_with(objects: &[String], memo: &mut Memo) -> Translation {
    translate(&resources(&objects.join("\n---\n")), &with_controller(), memo)
}

/// `name: value` of each, with `-` for what is removed.
fn shown(headers: &[SetHeader]) -> Vec<String> {
    let text = |header: &SetHeader| match header.text() {
        HeaderText::Remove => "-".to_owned(),
        HeaderText::Fixed(value) => value.to_str().unwrap().to_owned(),
        HeaderText::Template(template) => template.to_string(),
    };
    headers.iter().map(|header| format!("{}: {}", header.name(), text(header))).collect()
}

fn policy<'t>(translation: &'t Translation, host: &str) -> &'t RoutePolicy {
    match &translation.snapshot.hosts[&host.parse().unwrap()].action {
        HostAction::Serve { routes, .. } => &routes[0].policy,
        HostAction::RedirectTo(_) => panic!("{host} redirects"),
    }
}

#[test]
fn config_maps_list_headers_for_all_requests_and_responses() {
    let objects = [
        config_map(CONTROLLER, "add-headers: demo/add, proxy-set-headers: demo/set"),
        config_map("demo/add", "X-Frame-Options: DENY, X-Id: $req_id, Content-Length: '5', X-Up: $upstream_addr"),
        config_map("demo/set", "X-Start: 't=${msec}', X-Debug: '', Host: ''"),
    ];
    let translation = translated_with(&objects, &mut Memo::default());
    let settings = &translation.snapshot.settings;
    assert_eq!(shown(&settings.add_headers), ["x-frame-options: DENY", "x-id: ${req_id}"]);
    assert_eq!(shown(&settings.proxy_set_headers), ["x-debug: -", "x-start: t=${msec}"]);
    assert_eq!(codes(&translation), ["invalid-header"; 3]);
    assert!(translation.findings.iter().all(|finding| !finding.message.contains('5')), "values may be secret");
}

#[test]
fn config_maps_that_are_not_there_set_nothing() {
    for data in ["add-headers: demo/none", "proxy-set-headers: demo/none"] {
        let translation = translated_with(&[config_map(CONTROLLER, data)], &mut Memo::default());
        assert_eq!(codes(&translation), ["config-map-not-found"], "{data}");
        let settings = &translation.snapshot.settings;
        assert!(settings.add_headers.is_empty() && settings.proxy_set_headers.is_empty());
    }
    let translation = translated_with(&[config_map(CONTROLLER, "add-headers: none")], &mut Memo::default());
    assert_eq!(codes(&translation), ["invalid-config-value"]);
}

#[test]
fn custom_headers_must_be_allowed_and_there_or_close_the_paths() {
    let allowed = "global-allowed-response-headers: 'X-A, X-B, Content-Length'";
    let elsewhere = "global-allowed-response-headers: 'X-A', allow-cross-namespace-resources: 'true'";
    for (controller, named, data, want) in [
        (allowed, "demo/h", "X-A: '5 $', X-B: b", Some(&["x-a: 5 $", "x-b: b"][..])),
        (allowed, "demo/h", "", Some(&[])),
        (allowed, "demo/h", "X-A: a, X-C: c", None),
        (allowed, "demo/h", "x-a: a", None),
        (allowed, "demo/h", "X-A: ''", None),
        (allowed, "demo/h", "X-A: \"a\\nb\"", None),
        (allowed, "demo/h", "X-A: ä", None),
        (allowed, "demo/h", "Content-Length: '5'", None),
        ("", "demo/h", "X-A: a", None),
        (allowed, "demo/other", "X-A: a", None),
        (allowed, "h", "X-A: a", None),
        (allowed, "other/h", "X-A: a", None),
        (elsewhere, "other/h", "X-A: a", Some(&["x-a: a"])),
    ] {
        let objects = [
            config_map(CONTROLLER, controller),
            config_map("demo/h", data),
            config_map("other/h", data),
            custom(named),
        ];
        let translation = translated_with(&objects, &mut Memo::default());
        let policy = policy(&translation, "a.example");
        let got = policy.headers.response.as_deref().map(shown);
        assert_eq!(got, want.map(|lines| lines.iter().map(|line| (*line).to_owned()).collect()), "{named} {data}");
        assert_eq!(policy.closed.is_some(), want.is_none(), "{named} {data}");
        let told: &[&str] = if want.is_none() { &["custom-headers-refused"] } else { &[] };
        assert_eq!(codes(&translation), told, "{named} {data}");
    }
}

#[test]
fn a_change_of_a_config_map_takes_effect_at_once() {
    let mut memo = Memo::default();
    let other = ingress("other", 1, "", &["b.example / Prefix s1"]);
    let objects = |allowed: &str, value: Option<&str>, added: &str| -> Vec<String> {
        let controller = format!("global-allowed-response-headers: '{allowed}', add-headers: demo/add");
        let data = value.map(|value| config_map("demo/h", &format!("X-A: {value}")));
        let fixed = [config_map(CONTROLLER, &controller), config_map("demo/add", added), custom("demo/h")];
        fixed.into_iter().chain([other.clone()]).chain(data).collect()
    };
    for (allowed, value, added, want) in [
        ("X-A", None, "X-B: 1", None),
        ("X-A", Some("1"), "X-B: 1", Some("x-a: 1")),
        ("X-A", Some("2"), "X-B: 2", Some("x-a: 2")),
        ("X-C", Some("2"), "X-B: 2", None),
        ("X-A", Some("2"), "X-B: 2", Some("x-a: 2")),
        ("X-A", None, "X-B: 2", None),
    ] {
        let objects = objects(allowed, value, added);
        let translation = translated_with(&objects, &mut memo);
        let fresh = translated_with(&objects, &mut Memo::default());
        assert_eq!((&translation.snapshot, &translation.findings), (&fresh.snapshot, &fresh.findings));
        let headers = policy(&translation, "a.example").headers.response.as_deref().map(shown).unwrap_or_default();
        assert_eq!(headers.first().map(String::as_str), want, "{allowed} {value:?}");
        assert_eq!(shown(&translation.snapshot.settings.add_headers), [added.to_lowercase()]);
    }
}

#[test]
fn a_host_that_names_no_changed_config_map_stays_the_same_object() {
    let mut memo = Memo::default();
    let other = ingress("other", 1, "", &["b.example / Prefix s1"]);
    let allowed = config_map(CONTROLLER, "global-allowed-response-headers: X-A");
    let mut of = |value: &str| {
        let headers = config_map("demo/h", &format!("X-A: {value}"));
        translated_with(&[allowed.clone(), headers, custom("demo/h"), other.clone()], &mut memo)
    };
    let (one, two) = (of("1"), of("2"));
    let host = |translation: &Translation, name: &str| Arc::clone(&translation.snapshot.hosts[&name.parse().unwrap()]);
    assert!(Arc::ptr_eq(&host(&one, "b.example"), &host(&two, "b.example")));
    assert!(!Arc::ptr_eq(&host(&one, "a.example"), &host(&two, "a.example")));
}

#[test]
fn routes_that_no_ingress_makes_have_the_defaults_of_the_config_map() {
    let objects = [
        config_map(CONTROLLER, "proxy-cookie-domain: localhost example.org, proxy-cookie-path: /one/ /"),
        ingress("shop", 0, "nginx.ingress.kubernetes.io/proxy-cookie-path: 'off'", &["a.example / Prefix s1"]),
        ingress("plain", 0, "", &["b.example / Prefix s1"]),
    ];
    let translation = translated_with(&objects, &mut Memo::default());
    for (host, path) in [("a.example", false), ("b.example", true), ("", true)] {
        let rewrite = policy(&translation, host).response.as_deref().unwrap();
        assert_eq!((rewrite.cookie_domain.is_some(), rewrite.cookie_path.is_some()), (true, path), "{host:?}");
    }
}
