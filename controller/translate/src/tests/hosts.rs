//! Hosts, paths and conflicts.

use super::*;

#[test]
fn every_host_has_a_root_that_belongs_to_its_first_ingress() {
    let translation = translated(&ingress("a", 1, "", &["a.example /x Prefix s1"]));
    assert_eq!(routes(&translation, "a.example"), ["Prefix /x -> s1 (a)", "Prefix / -> default (a)"]);
    assert_eq!(routes(&translation, ""), ["Prefix / -> default ()"]);
}

#[test]
fn the_oldest_ingress_keeps_a_path_of_one_type() {
    let text = [
        ingress("young", 3, "", &["a.example /x Prefix s3"]),
        ingress("old", 1, "", &["a.example /x Prefix s1"]),
        ingress("exact", 2, "", &["a.example /x Exact s2"]),
    ]
    .join("\n---\n");
    let translation = translated(&text);
    assert_eq!(
        routes(&translation, "a.example"),
        ["Prefix /x -> s1 (old)", "Exact /x -> s2 (exact)", "Prefix / -> default (old)"]
    );
    let conflicts: Vec<_> = translation.findings.iter().filter(|finding| finding.code == "path-conflict").collect();
    assert_eq!(conflicts.len(), 1);
    assert_eq!(&*conflicts[0].object.name, "young");
    assert!(conflicts[0].message.contains("demo/old"), "{}", conflicts[0].message);
}

#[test]
fn both_sides_of_a_conflict_are_told_who_won_and_why() {
    let of_age = |old: u32, young: u32| {
        [ingress("a", young, "", &["a.example /x Prefix s1"]), ingress("b", old, "", &["a.example /x Prefix s2"])]
            .join("\n---\n")
    };
    let catch_all = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: b, namespace: demo}\n\
        spec: {ingressClassName: nginx, defaultBackend: {service: {name: s2, port: {number: 80}}}}";
    let catch_all = [ingress("a", 1, "", &["_ / Prefix s1"]), catch_all.to_owned()].join("\n---\n");
    for (text, rule_for_a, rule_for_b, field_of_b) in [
        (of_age(1, 2), "which is older", "which is younger", "spec.rules[0].http.paths[0].path"),
        (of_age(1, 1), "with the greater name", "with the lesser name", "spec.rules[0].http.paths[0].path"),
        (catch_all, "as the catch-all", "as the catch-all", "spec.defaultBackend"),
    ] {
        let findings = translated(&text).findings;
        let of = |code: &str| findings.iter().filter(|finding| finding.code == code).collect::<Vec<_>>();
        let (lost, won) = (of("path-conflict"), of("path-conflict-won"));
        assert_eq!((lost.len(), won.len()), (1, 1), "{findings:?}");
        assert_eq!((&*lost[0].object.name, lost[0].severity), ("a", Severity::Error));
        assert!(lost[0].message.contains("demo/b") && lost[0].message.contains(rule_for_a), "{}", lost[0].message);
        assert_eq!((&*won[0].object.name, won[0].severity, &*won[0].field), ("b", Severity::Info, field_of_b));
        assert!(won[0].message.contains("demo/a") && won[0].message.contains(rule_for_b), "{}", won[0].message);
    }
}

#[test]
fn an_ingress_that_claims_a_path_twice_is_told_once() {
    let twice = ingress("a", 1, "", &["a.example /x Prefix s1", "a.example /x Prefix s2"]);
    let codes: Vec<_> = translated(&twice).findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes.iter().filter(|code| code.starts_with("path-conflict")).count(), 1, "{codes:?}");
}

#[test]
fn of_equal_age_the_larger_name_wins() {
    let text = [ingress("a", 1, "", &["a.example / Prefix s1"]), ingress("b", 1, "", &["a.example / Prefix s2"])]
        .join("\n---\n");
    assert_eq!(routes(&translated(&text), "a.example"), ["Prefix / -> s2 (b)"]);
}

#[test]
fn a_declared_root_replaces_the_implicit_one_and_an_exact_root_does_not() {
    let declared = translated(&ingress("a", 1, "", &["a.example / Prefix s1"]));
    assert_eq!(routes(&declared, "a.example"), ["Prefix / -> s1 (a)"]);
    let exact = translated(&ingress("a", 1, "", &["a.example / Exact s1"]));
    assert_eq!(routes(&exact, "a.example"), ["Prefix / -> default (a)", "Exact / -> s1 (a)"]);
}

#[test]
fn one_use_regex_turns_all_paths_of_its_host_into_patterns() {
    let text = [
        ingress("a", 1, "", &["a.example /api Prefix s1", "a.example /v Exact s1", "a.example /v Prefix s2"]),
        ingress(
            "b",
            2,
            "nginx.ingress.kubernetes.io/use-regex: 'true'",
            &["a.example /id/[0-9]+ ImplementationSpecific s3"],
        ),
    ]
    .join("\n---\n");
    let want = [
        "regex ^/id/[0-9]+ -> s3 (b)",
        "regex ^/api -> s1 (a)",
        "regex ^/v -> s1 (a)",
        "regex ^/v/ -> s2 (a)",
        "regex ^/ -> default (a)",
    ];
    assert_eq!(routes(&translated(&text), "a.example"), want);
}

#[test]
fn a_rewrite_to_its_own_path_changes_nothing() {
    let annotation = "nginx.ingress.kubernetes.io/rewrite-target: /";
    let same = translated(&ingress("a", 1, annotation, &["a.example / Prefix s1"]));
    assert_eq!(routes(&same, "a.example"), ["Prefix / -> s1 (a)"]);
    let other = translated(&ingress("a", 1, annotation, &["a.example /x Prefix s1"]));
    assert_eq!(routes(&other, "a.example"), ["regex ^/x -> s1 (a)", "regex ^/ -> default (a)"]);
}

#[test]
fn a_pattern_that_is_not_understood_harms_only_its_path() {
    let annotation = "nginx.ingress.kubernetes.io/use-regex: 'true'";
    let text = ingress(
        "a",
        1,
        annotation,
        &["a.example /(?!x) ImplementationSpecific s1", "a.example /ok ImplementationSpecific s2"],
    );
    let translation = translated(&text);
    assert_eq!(routes(&translation, "a.example"), ["regex ^/ok -> s2 (a)", "regex ^/ -> default (a)"]);
    assert!(codes(&translation).contains(&"invalid-pattern"));
}

#[test]
fn rules_without_host_serve_the_default_server() {
    let translation = translated(&ingress("a", 1, "", &["_ /only Prefix s1"]));
    assert_eq!(routes(&translation, ""), ["Prefix /only -> s1 (a)", "Prefix / -> default ()"]);
}

#[test]
fn an_ingress_with_a_default_backend_and_no_rules_is_the_catch_all() {
    let text = "kind: Ingress\nmetadata: {name: all, namespace: demo, annotations: \
        {nginx.ingress.kubernetes.io/permanent-redirect: 'https://x.example', nginx.ingress.kubernetes.io/use-regex: 'true'}}\n\
        spec: {ingressClassName: nginx, defaultBackend: {service: {name: s, port: {number: 80}}}}";
    let translation = translated(text);
    assert_eq!(routes(&translation, ""), ["Prefix / -> s (all)"]);
    let HostAction::Serve { routes, .. } = &translation.snapshot.hosts[&"".parse().unwrap()].action else { panic!() };
    assert_eq!(routes[0].policy.redirect, None, "redirects do not apply to the catch-all");

    let disabled = Options { disable_catch_all: true, ..options() };
    let translation = translate(&resources(text), &disabled, &mut Memo::default());
    assert_eq!(super::routes(&translation, ""), ["Prefix / -> default ()"]);
    assert!(codes(&translation).contains(&"catch-all-disabled"));
}

#[test]
fn a_host_without_paths_leads_to_the_default_backend_of_its_ingress() {
    let text = "kind: Ingress\nmetadata: {name: a, namespace: demo}\n\
        spec: {ingressClassName: nginx, defaultBackend: {service: {name: s, port: {number: 80}}}, rules: [{host: foo.com}]}";
    let translation = translated(text);
    assert_eq!(routes(&translation, "foo.com"), ["Prefix / -> s (a)"]);
    assert_eq!(routes(&translation, ""), ["Prefix / -> default ()"]);
}

#[test]
fn an_alias_that_is_a_host_stays_with_that_host() {
    let annotation = "nginx.ingress.kubernetes.io/server-alias: 'b.example, c.example, *.d.example'";
    let text =
        [ingress("a", 1, annotation, &["a.example / Prefix s1"]), ingress("b", 2, "", &["b.example / Prefix s2"])]
            .join("\n---\n");
    let translation = translated(&text);
    let aliases: Vec<String> = translation.snapshot.hosts[&"a.example".parse().unwrap()]
        .aliases
        .iter()
        .map(|alias| alias.name.to_string())
        .collect();
    assert_eq!(aliases, ["c.example", "*.d.example"]);
    assert!(codes(&translation).contains(&"alias-is-host"));
}

#[test]
fn the_www_counterpart_redirects_unless_it_is_a_host() {
    let annotation = "nginx.ingress.kubernetes.io/from-to-www-redirect: 'true'";
    let translation = translated(&ingress("a", 1, annotation, &["a.example / Prefix s1", "www.b.example / Prefix s1"]));
    assert_eq!(routes(&translation, "www.a.example"), ["redirect to a.example"]);
    assert_eq!(routes(&translation, "b.example"), ["redirect to www.b.example"]);
    let taken = translated(&ingress("a", 1, annotation, &["a.example / Prefix s1", "www.a.example / Prefix s2"]));
    assert_eq!(routes(&taken, "www.a.example"), ["Prefix / -> s2 (a)"]);
}

#[test]
fn what_is_no_host_or_path_is_left_out_with_a_finding() {
    let translation =
        translated(&ingress("a", 1, "", &["a..b / Prefix s1", "ok.example nope Prefix s1", "ok.example /x Odd s1"]));
    assert_eq!(routes(&translation, "ok.example"), ["Prefix / -> default (a)"]);
    assert_eq!(codes(&translation), ["invalid-host", "invalid-path", "invalid-path-type"]);
}

#[test]
fn a_key_that_protects_the_host_closes_the_paths_of_all_its_ingresses() {
    let annotation = "nginx.ingress.kubernetes.io/auth-tls-secret: demo/ca";
    let text =
        [ingress("a", 1, "", &["a.example / Prefix s1"]), ingress("b", 2, annotation, &["a.example /b Prefix s2"])]
            .join("\n---\n");
    let translation = translated(&text);
    let HostAction::Serve { routes, .. } = &translation.snapshot.hosts[&"a.example".parse().unwrap()].action else {
        panic!()
    };
    assert_eq!(routes.len(), 2);
    assert!(routes.iter().all(|route| route.policy.closed.is_some()));
}

#[test]
fn a_protected_path_that_is_not_understood_stays_closed() {
    let regex = "nginx.ingress.kubernetes.io/use-regex: 'true'";
    let guarded = format!("{regex}, nginx.ingress.kubernetes.io/auth-url: 'http://x/'");
    for (path, want) in [
        ("/admin(?!/pub)", "regex ^/admin -> s2 (b)"),
        ("/adminx?(?!/pub)", "regex ^/admin -> s2 (b)"),
        ("/a|/b(?=c)", "regex ^/ -> s2 (b)"),
        ("/admin(/|$)(?!x)", "regex ^/admin -> s2 (b)"),
    ] {
        let text = [
            ingress("a", 1, regex, &["a.example / ImplementationSpecific s1"]),
            ingress("b", 2, &guarded, &[&format!("a.example {path} ImplementationSpecific s2")]),
        ]
        .join("\n---\n");
        assert_eq!(routes(&translated(&text), "a.example"), [want, "regex ^/ -> s1 (a)"], "{path}");
    }
}

#[test]
fn a_broken_rule_makes_no_catch_all() {
    let text = "kind: Ingress\nmetadata: {name: a, namespace: demo}\n\
        spec: {ingressClassName: nginx, defaultBackend: {service: {name: s, port: {number: 80}}}, rules: [{host: 'bad host'}]}";
    assert_eq!(routes(&translated(text), ""), ["Prefix / -> default ()"]);
}

#[test]
fn strings_that_look_like_configuration_take_the_ingress_out() {
    let translation = translated(&ingress("a", 1, "", &["a.example /x/etc/nginx/ Prefix s1"]));
    assert!(!translation.snapshot.hosts.contains_key(&"a.example".parse().unwrap()));
    assert!(codes(&translation).contains(&"suspicious-value"));
}
