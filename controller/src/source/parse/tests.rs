//! Documents, well-formed and not.

use super::*;

/// Objects as `Kind namespace/name@line`, findings as `code field`.
fn summary(parsed: &Parsed) -> (Vec<String>, Vec<String>) {
    let objects = parsed.objects.iter().map(|loaded| format!("{}@{}", loaded.identity, loaded.line)).collect();
    let findings = parsed.findings.iter().map(|finding| format!("{} {}", finding.code, finding.field)).collect();
    (objects, findings)
}

fn yaml(text: &str) -> Parsed {
    parse("m.yaml", text, Format::Yaml)
}

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  ports:\n  - port: 80\n";

#[test]
fn a_broken_document_takes_no_other_with_it() {
    let parsed = yaml(&format!("{SERVICE}---\nkind: [\n---\n{}", SERVICE.replace("name: a", "name: b")));
    let (objects, findings) = summary(&parsed);
    assert_eq!(objects, ["Service default/a@1", "Service default/b@10"]);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(parsed.findings[0].code, "invalid-yaml");
    assert!(parsed.broken);
}

#[test]
fn syntax_errors_name_their_line() {
    for (text, line) in [
        ("apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n bad: x\n", "line 5"),
        ("a: 1\n---\na: 1\nb: \"\n", "line "),
        ("a: 1\na: 2\n", "line 2"),
        ("\n\n\nplain\n", "line 1"),
    ] {
        let parsed = yaml(text);
        let finding = parsed.findings.last().unwrap();
        assert!(finding.field.starts_with(line), "{text:?}: {finding}");
        assert!(parsed.broken);
    }
}

#[test]
fn a_value_of_a_wrong_type_takes_its_object_out_alone() {
    let ports = "  - port: 80\n";
    for (wrong, field, line) in [
        ("  - port: [80]\n", "spec.ports[0].port", 7),
        ("  - port: eighty\n", "spec.ports[0].port", 7),
        ("  - name: x\n    port: 80\n  - name: [y]\n    port: 81\n", "spec.ports[1].name", 9),
        ("    port: 80\n", "spec.ports", 6),
    ] {
        let parsed = yaml(&format!("{}---\n{}", SERVICE.replace(ports, wrong), SERVICE.replace("name: a", "name: b")));
        let (objects, findings) = summary(&parsed);
        assert_eq!(objects.len(), 1, "{wrong}");
        assert_eq!(findings, [format!("invalid-object {field}")]);
        assert!(parsed.findings[0].message.contains(&format!("m.yaml:{line}")), "{}", parsed.findings[0]);
        assert!(!parsed.broken);
        assert_eq!(parsed.refused[0].to_string(), "Service default/a");
    }
}

#[test]
fn annotations_are_texts_as_the_api_server_wants_them() {
    let ingress =
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: a\n  annotations:\n    x: VALUE\n";
    for (value, fine) in
        [("\"true\"", true), ("text", true), ("", true), ("on", true), ("true", false), ("8", false), ("[a]", false)]
    {
        assert_eq!(yaml(&ingress.replace("VALUE", value)).refused.is_empty(), fine, "{value}");
    }
}

#[test]
fn lists_of_every_kind_are_read() {
    let list = |api: &str, kind: &str, item: &str| format!("apiVersion: {api}\nkind: {kind}\nitems:\n- {item}\n");
    for (text, want) in [
        (list("v1", "List", "{apiVersion: v1, kind: Service, metadata: {name: a}}"), "Service default/a@1"),
        (list("networking.k8s.io/v1", "IngressList", "{metadata: {name: a, namespace: n}}"), "Ingress n/a@1"),
        (
            list("v1", "List", "{apiVersion: v1, kind: ServiceList, items: [{metadata: {name: a}}]}"),
            "Service default/a@1",
        ),
        (
            list("networking.k8s.io/v1", "IngressClassList", "{metadata: {name: nginx, namespace: odd}}"),
            "IngressClass nginx@1",
        ),
    ] {
        assert_eq!(summary(&yaml(&text)), (vec![want.to_owned()], vec![]), "{text}");
    }
}

#[test]
fn json_is_read_with_several_values_after_another() {
    let text = "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"a\"},\"stringData\":{\"k\":\"v\"}}\n\
                {\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"b\"}}\n{\"apiVersion\":";
    let parsed = parse("m.json", text, Format::Json);
    let (objects, findings) = summary(&parsed);
    assert_eq!(objects, ["Secret default/a@1", "ConfigMap default/b@1"]);
    assert_eq!(findings, ["invalid-json line 3"]);
    let AnyObject::Secret(secret) = &parsed.objects[0].object else { panic!("a Secret") };
    assert_eq!(secret.value.data.as_ref().unwrap()["k"].0, b"v");
}

#[test]
fn other_kinds_are_passed_over_with_a_note() {
    for (text, want) in [
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}", Some((Severity::Info, "Deployment of apps/v1"))),
        (
            "apiVersion: networking.k8s.io/v2\nkind: Ingress\nmetadata: {name: a}",
            Some((Severity::Warning, "Ingress of networking.k8s.io/v2")),
        ),
        ("apiVersion: v1\nkind: Secret\ntype: helm.sh/release.v1\nmetadata: {name: a}", None),
    ] {
        let parsed = yaml(text);
        assert!(parsed.objects.is_empty() && !parsed.broken);
        let got = parsed.findings.first().map(|finding| (finding.severity, finding.message.as_str()));
        match (got, want) {
            (None, None) => {}
            (Some((severity, message)), Some((wanted, begin))) => {
                assert_eq!(severity, wanted);
                assert!(message.starts_with(begin), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_no_object_is_an_error() {
    for text in [
        "plain",
        "[1, 2]",
        "a: 1",
        "kind: Service",
        "apiVersion: v1\nkind: Service",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a/b}",
    ] {
        let parsed = yaml(text);
        assert!(parsed.broken, "{text}");
        assert_eq!(parsed.findings[0].code, "not-an-object");
    }
}

#[test]
fn old_ingresses_are_converted_and_shown_in_the_form_of_v1() {
    let text = "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: a}\nspec:\n  rules:\n  - host: a.example\n    http:\n      paths:\n      - path: /\n        backend: {serviceName: a, servicePort: 80}\n";
    let parsed = yaml(text);
    assert_eq!(parsed.objects.len(), 1);
    let finding = &parsed.findings[0];
    assert_eq!(finding.code, "old-api-version");
    let (_, shown) = finding.help.split_once('\n').unwrap();
    assert!(yaml(shown).findings.is_empty(), "what is shown is v1: {shown}");
    assert!(shown.contains("number: 80"), "{shown}");
}

#[test]
fn aliases_do_not_multiply() {
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x, x]\n");
    for (letter, former) in ('b'..='i').zip('a'..) {
        bomb.push_str(&format!("{letter}: &{letter} [*{former}, *{former}, *{former}, *{former}, *{former}, *{former}, *{former}, *{former}, *{former}]\n"));
    }
    let parsed = yaml(&bomb);
    assert_eq!(parsed.findings[0].code, "invalid-yaml", "{:?}", parsed.findings);
    assert!(
        parsed.findings[0].message.starts_with("the document is too large, or its aliases multiply"),
        "{}",
        parsed.findings[0]
    );
}

#[test]
fn large_documents_are_read() {
    let mut text = String::from("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n");
    for number in 0..100_000 {
        text.push_str(&format!("  k{number}: v\n"));
    }
    text.push_str(&format!("  long: {}\n", "x".repeat(1 << 20)));
    assert_eq!(yaml(&text).objects.len(), 1);

    let many = SERVICE.to_owned() + "---\n";
    assert_eq!(yaml(&many.repeat(10_000)).objects.len(), 10_000);
}

#[test]
fn the_hash_follows_the_content() {
    let hash = |text: &str| yaml(text).objects[0].object.hash();
    assert_eq!(hash(SERVICE), hash(SERVICE));
    assert_ne!(hash(SERVICE), hash(&SERVICE.replace("80", "81")));
}

#[test]
fn secrets_may_be_folded_and_bad_base64_is_refused() {
    let secret = |data: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\ndata:\n  k: {data}\n");
    assert_eq!(yaml(&secret("|\n    aGVs\n    bG8=")).objects.len(), 1);
    assert_eq!(yaml(&secret("'%%%'")).refused.len(), 1);
}

/// Pieces of manifests, in any order: what nobody would write, and some that people do.
const PIECES: &[&str] = &[
    "apiVersion: v1\n",
    "kind: Secret\n",
    "kind: List\n",
    "items:\n",
    "- ",
    "metadata:\n",
    "  name: a\n",
    "---\n",
    "...\n",
    "  ",
    "\t",
    "&a ",
    "*a",
    "<<: ",
    "? ",
    ": ",
    "[",
    "]",
    "{",
    "}",
    "|\n",
    ">-\n",
    "'",
    "\"",
    "\u{0}",
    "\u{feff}",
    "!!binary ",
    "é",
    "%YAML 1.2\n",
    "data:\n",
    "  k: v\n",
    "#",
    "\r\n",
    "null\n",
    "1e999\n",
    "0x1F\n",
];

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_fail_by_itself(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..60)) {
        let text = pieces.concat();
        for format in [Format::Yaml, Format::Json] {
            let parsed = parse("m.yaml", &text, format);
            proptest::prop_assert!(parsed.objects.len() <= text.len());
        }
    }
}
