//! Which Ingresses are served.

use super::*;

fn hosts(text: &str, options: &Options) -> Vec<String> {
    let translation = translate(&resources(text), options, &mut Memo::default());
    translation.snapshot.hosts.keys().map(ToString::to_string).filter(|host| host != "_").collect()
}

fn with_class(class: &str, annotation: &str) -> String {
    let class = if class.is_empty() { String::new() } else { format!("ingressClassName: {class}, ") };
    let annotations =
        if annotation == "-" { String::new() } else { format!("kubernetes.io/ingress.class: '{annotation}'") };
    format!(
        "kind: Ingress\nmetadata: {{name: i, namespace: demo, annotations: {{{annotations}}}}}\nspec: {{{class}rules: [{{host: served}}]}}\n---\n\
         kind: IngressClass\nmetadata: {{name: other}}\nspec: {{controller: k8s.io/other}}\n---\n\
         kind: IngressClass\nmetadata: {{name: nginx-b}}\nspec: {{controller: k8s.io/ingress-nginx}}"
    )
}

#[test]
fn the_field_decides_before_the_annotation() {
    let without = Options { watch_ingress_without_class: true, ..options() };
    let by_name = Options { ingress_class_by_name: true, ingress_class: "other".to_owned(), ..options() };
    for (class, annotation, options, want) in [
        ("nginx", "-", &options(), true),
        ("nginx-b", "-", &options(), true),
        ("other", "-", &options(), false),
        ("missing", "-", &options(), false),
        ("nginx", "testclass", &options(), true),
        ("other", "nginx", &options(), false),
        ("", "nginx", &options(), true),
        ("", "testclass", &options(), false),
        ("", "", &options(), false),
        ("", "-", &options(), false),
        ("", "-", &without, true),
        ("", "testclass", &without, false),
        ("", "", &without, false),
        ("other", "-", &by_name, true),
    ] {
        assert_eq!(!hosts(&with_class(class, annotation), options).is_empty(), want, "{class:?} {annotation:?}");
    }
}

#[test]
fn other_namespaces_than_the_watched_one_are_left_out() {
    let elsewhere = Options { watch_namespace: "other".to_owned(), ..options() };
    assert!(hosts(&with_class("nginx", "-"), &elsewhere).is_empty());
    let here = Options { watch_namespace: "demo".to_owned(), ..options() };
    assert_eq!(hosts(&with_class("nginx", "-"), &here), ["served"]);
}

#[test]
fn labels_of_namespaces_decide_at_once_whichever_way_they_change() {
    let options = Options { namespace_selector: Some("edge=yes, tier".parse().unwrap()), ..options() };
    let ingress = with_class("nginx", "-");
    let mut memo = Memo::default();
    let mut codes_with = |labels: &str| {
        let text = format!("{ingress}\n---\nkind: Namespace\nmetadata: {{name: demo{labels}}}");
        let translation = translate(&resources(&text), &options, &mut memo);
        (translation.served.len(), codes(&translation).len())
    };
    for (labels, served) in [
        ("", 0),
        (", labels: {edge: 'yes', tier: ''}", 1),
        (", labels: {edge: 'no', tier: ''}", 0),
        (", labels: {edge: 'yes', tier: a}", 1),
        (", labels: {edge: 'yes'}", 0),
    ] {
        assert_eq!(codes_with(labels).0, served, "{labels}");
    }
    let unknown = translate(&resources(&ingress), &options, &mut memo);
    assert_eq!((unknown.served.len(), codes(&unknown)), (0, vec!["unknown-namespace"]));
    let of_others = translate(&resources(&with_class("other", "-")), &options, &mut memo);
    assert_eq!(codes(&of_others), [""; 0]);
}

#[test]
fn an_ingress_that_nobody_serves_is_told_why() {
    for (class, want) in [("missing", "unknown-class"), ("", "no-class")] {
        assert_eq!(codes(&translated(&with_class(class, "-"))), [want]);
    }
}
