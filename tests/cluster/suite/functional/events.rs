//! What `kubectl describe` shows of an Ingress.

use portcullis_tests::cluster::{Install, Namespace};

#[test]
fn kubectl_describe_shows_what_is_wrong_with_an_ingress() {
    let namespace = Namespace::new("events");
    let portcullis = Install::new().start(&namespace);
    let class = format!("--class={}", portcullis.class);
    let bad = "--annotation=nginx.ingress.kubernetes.io/client-body-buffer-size=lots";
    // Of the same second or not, the first one has the path.
    namespace.kubectl(&["create", "ingress", "winner", &class, "--rule=shop.example/*=shop:80"]);
    namespace.kubectl(&["create", "ingress", "loser", &class, "--rule=shop.example/*=other:80"]);
    namespace.kubectl(&["create", "ingress", "bad", &class, "--rule=bad.example/*=shop:80", bad]);
    let shown = |object: &str, parts: &[&str]| {
        let mut text = String::new();
        namespace.wait_until(&format!("{object} with {parts:?}"), || {
            text = namespace.kubectl(&["describe", object]);
            let line = |line: &str| parts.iter().all(|part| line.contains(part));
            text.lines().any(line)
        });
    };
    let source = "nginx-ingress-controller";
    shown("ingress/winner", &["Normal", "Sync", source, "Scheduled for sync"]);
    shown("ingress/winner", &["Normal", "PathConflictWon", "shop.example", "/loser"]);
    shown("ingress/loser", &["Warning", "PathConflict ", "shop.example", "/winner"]);
    shown("ingress/bad", &["Warning", "AnnotationParsingFailed", source, "client-body-buffer-size", "lots"]);
    let settings = &portcullis.deployment;
    shown(
        &format!("configmap/{settings}"),
        &["Normal", "CREATE", &format!("ConfigMap {}/{settings}", namespace.name())],
    );

    namespace.kubectl(&["annotate", "ingress", "bad", "changed=yes"]);
    shown("ingress/bad", &["AnnotationParsingFailed", "(x2 over "]);

    let events = || {
        let template = "jsonpath={range .items[*]}{.involvedObject.name} {.reason} {.count}{\"\\n\"}{end}";
        let text =
            namespace.kubectl(&["get", "events", "--field-selector=involvedObject.kind=Ingress", "-o", template]);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let before = events();
    namespace.restart(&portcullis.deployment);
    namespace.kubectl(&["create", "ingress", "later", &class, "--rule=later.example/*=shop:80"]);
    shown("ingress/later", &["Normal", "Sync"]);
    let after: Vec<String> = events().into_iter().filter(|line| !line.starts_with("later ")).collect();
    assert_eq!(after, before, "what was said is not said again by another Pod");
}
