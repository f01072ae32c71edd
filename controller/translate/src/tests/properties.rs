//! What holds for any objects.

use proptest::prelude::*;

use super::*;

/// An Ingress out of a small world in which names, hosts and paths collide.
fn any_ingress() -> impl Strategy<Value = String> {
    let host = prop::sample::select(vec!["a.example", "b.example", "*.example", "_"]);
    let path = prop::sample::select(vec!["/", "/x", "/x/", "/x/y", "/v[0-9]+"]);
    let path_type = prop::sample::select(vec!["Exact", "Prefix", "ImplementationSpecific"]);
    let service = prop::sample::select(vec!["s1", "s2"]);
    let rule = (host, path, path_type, service)
        .prop_map(|(host, path, kind, service)| format!("{host} {path} {kind} {service}"));
    let annotation = prop::sample::select(vec![
        "",
        "nginx.ingress.kubernetes.io/use-regex: 'true'",
        "nginx.ingress.kubernetes.io/rewrite-target: /x",
        "nginx.ingress.kubernetes.io/canary: 'true', nginx.ingress.kubernetes.io/canary-weight: '5'",
        "nginx.ingress.kubernetes.io/server-alias: 'b.example, c.example'",
        "nginx.ingress.kubernetes.io/from-to-www-redirect: 'true'",
        "nginx.ingress.kubernetes.io/default-backend: s1",
        "nginx.ingress.kubernetes.io/permanent-redirect: '//evil'",
    ]);
    (0..5_u32, 0..4_u32, annotation, prop::collection::vec(rule, 0..3)).prop_map(|(name, minute, annotation, rules)| {
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        ingress(&format!("i{name}"), minute, annotation, &rules)
    })
}

/// An object that is wrong in some way, for a host of its own.
fn broken() -> impl Strategy<Value = String> {
    let rule = prop::sample::select(vec![
        "broken.example nope Prefix s1",
        "broken.example /( Prefix s1",
        "a..b / Prefix s1",
        "broken.example /x{}root;/etc/passwd Prefix s1",
        "broken.example / Odd s1",
    ]);
    let annotation = prop::sample::select(vec![
        "nginx.ingress.kubernetes.io/use-regex: 'true'",
        "nginx.ingress.kubernetes.io/rewrite-target: '$nope'",
        "nginx.ingress.kubernetes.io/auth-url: '%%'",
        "nginx.ingress.kubernetes.io/server-snippet: 'x'",
        "nginx.ingress.kubernetes.io/canary: 'true', nginx.ingress.kubernetes.io/canary-by-header-pattern: '('",
    ]);
    (rule, annotation).prop_map(|(rule, annotation)| ingress("broken", 0, annotation, &[rule]))
}

fn of(texts: &[String]) -> Resources {
    let mut resources = resources("kind: Service\nmetadata: {name: s1, namespace: demo}\nspec: {ports: [{port: 80}]}");
    texts.iter().for_each(|text| add(&mut resources, text));
    resources
}

proptest! {
    #[test]
    fn a_memo_never_changes_the_result(steps in prop::collection::vec(prop::collection::vec(any_ingress(), 0..5), 1..5)) {
        let options = options();
        let mut memo = Memo::default();
        for texts in steps {
            let resources = of(&texts);
            let with_memo = translate(&resources, &options, &mut memo);
            let without = translate(&resources, &options, &mut Memo::default());
            prop_assert_eq!(&with_memo.snapshot, &without.snapshot);
            prop_assert_eq!(&with_memo.findings, &without.findings);
        }
    }

    #[test]
    fn the_order_in_which_objects_come_does_not_matter(texts in prop::collection::vec(any_ingress(), 0..6)) {
        // Objects of the same name replace each other, so only the last one of each name may be shuffled.
        let mut by_name: Vec<String> = Vec::new();
        for text in texts {
            let name = |text: &str| text.split("name: ").nth(1).map(|rest| rest.chars().take(2).collect::<String>());
            by_name.retain(|other| name(other) != name(&text));
            by_name.push(text);
        }
        let forward = translate(&of(&by_name), &options(), &mut Memo::default());
        by_name.reverse();
        let backward = translate(&of(&by_name), &options(), &mut Memo::default());
        prop_assert_eq!(forward.snapshot, backward.snapshot);
        prop_assert_eq!(forward.findings, backward.findings);
    }

    #[test]
    fn a_broken_object_changes_no_other_host(texts in prop::collection::vec(any_ingress(), 0..4), broken in broken()) {
        let before = translate(&of(&texts), &options(), &mut Memo::default());
        let mut with_broken = texts;
        with_broken.push(broken);
        let after = translate(&of(&with_broken), &options(), &mut Memo::default());
        for (host, built) in &before.snapshot.hosts {
            prop_assert_eq!(Some(built), after.snapshot.hosts.get(host), "{}", host);
        }
    }
}
