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
fn an_ingress_that_nobody_serves_is_told_why() {
    for (class, want) in [("missing", "unknown-class"), ("", "no-class")] {
        assert_eq!(codes(&translated(&with_class(class, "-"))), [want]);
    }
}
