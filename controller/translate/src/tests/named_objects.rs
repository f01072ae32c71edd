//! What a memo holds of the ConfigMap, and of objects that annotations name: it never outlives them.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

const CONTROLLER: &str = "ingress-nginx/controller";

/// Pairs of which one takes the place of the other.
static PAIRS: LazyLock<[(String, String); 2]> = LazyLock::new(|| [pair(&["a.example"]), pair(&["a.example"])]);

fn secret(entries: &[(&str, &str)]) -> String {
    let entries: String = entries
        .iter()
        .map(|(name, text)| {
            let lines: String = text.lines().map(|line| format!("    {line}\n")).collect();
            format!("  {name}: |\n{lines}")
        })
        .collect();
    format!("kind: Secret\nmetadata: {{name: tls, namespace: demo}}\nstringData:\n{entries}")
}

fn any_secret() -> impl Strategy<Value = String> {
    (0..6_usize).prop_map(|kind| {
        let [(chain, key), (other_chain, other_key)] = &*PAIRS;
        match kind {
            0 => String::new(),
            1 => secret(&[("tls.crt", chain), ("tls.key", key)]),
            2 => secret(&[("tls.crt", other_chain), ("tls.key", other_key)]),
            3 => secret(&[("tls.crt", chain), ("tls.key", other_key)]),
            4 => secret(&[("ca.crt", chain)]),
            _ => secret(&[("tls.crt", chain), ("tls.key", key), ("ca.crt", other_chain)]),
        }
    })
}

fn any_config_map(name: &'static str, data: &'static [&'static str]) -> impl Strategy<Value = String> {
    let (namespace, name) = name.split_once('/').unwrap();
    prop::option::of(prop::sample::subsequence(data, 0..=data.len())).prop_map(move |data| {
        data.map_or_else(String::new, |data| {
            format!(
                "kind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\ndata: {{{}}}",
                data.join(", ")
            )
        })
    })
}

fn any_ingress(name: &'static str) -> impl Strategy<Value = String> {
    let annotations: &[&str] = &[
        "proxy-ssl-secret: demo/tls",
        "proxy-ssl-verify: 'on'",
        "custom-headers: demo/headers",
        "ssl-ciphers: ECDHE-RSA-AES256-GCM-SHA384",
        "ssl-prefer-server-ciphers: 'false'",
        "load-balance: ewma",
        "upstream-hash-by: $host",
        "affinity: cookie",
        "affinity-mode: persistent",
        "session-cookie-name: route",
        "canary: 'true'",
        "canary-weight: '30'",
        "affinity-canary-behavior: legacy",
        "service-upstream: 'true'",
        "proxy-body-size: 2m",
        "proxy-cookie-path: /a /b",
        "proxy-read-timeout: '7'",
        "default-backend: s2",
        "use-regex: 'true'",
        "from-to-www-redirect: 'true'",
    ];
    let annotations = prop::sample::subsequence(annotations, 0..=4);
    let rules: &[&str] =
        &["a.example / Prefix s1", "a.example /x Prefix s2", "b.example / Prefix s1", "*.example / Prefix s2"];
    let rules = prop::sample::subsequence(rules, 0..=3);
    (0..3_u32, annotations, rules, any::<bool>(), prop::bool::weighted(0.8)).prop_map(
        move |(minute, annotations, rules, tls, there)| {
            let annotations: Vec<_> =
                annotations.iter().map(|text| format!("nginx.ingress.kubernetes.io/{text}")).collect();
            let text = ingress(name, minute, &annotations.join(", "), &rules);
            let text = if tls {
                text.replace("{ingressClassName", "{tls: [{hosts: [a.example], secretName: tls}], ingressClassName")
            } else {
                text
            };
            if there { text } else { String::new() }
        },
    )
}

fn any_service(name: &'static str) -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "ports: [{port: 80}]", "clusterIP: 10.0.0.9, ports: [{port: 80}]"]).prop_map(
        move |spec| match spec {
            "" => String::new(),
            spec => format!("kind: Service\nmetadata: {{name: {name}, namespace: demo}}\nspec: {{{spec}}}"),
        },
    )
}

fn any_world() -> impl Strategy<Value = String> {
    let controller = any_config_map(
        CONTROLLER,
        &[
            "global-allowed-response-headers: 'X-A'",
            "add-headers: demo/headers",
            "proxy-set-headers: demo/headers",
            "ssl-ciphers: ECDHE-RSA-AES128-GCM-SHA256",
            "load-balance: ewma",
            "service-upstream: 'true'",
            "proxy-body-size: 3m",
            "ssl-redirect: 'false'",
        ],
    );
    let headers = any_config_map("demo/headers", &["X-A: a", "X-B: b"]);
    (
        controller,
        headers,
        any_secret(),
        any_ingress("i1"),
        any_ingress("i2"),
        any_ingress("i3"),
        any_service("s1"),
        any_service("s2"),
    )
        .prop_map(|(one, two, three, four, five, six, seven, eight)| {
            [one, two, three, four, five, six, seven, eight].join("\n---\n")
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_change_of_what_is_named_takes_effect_at_once(worlds in prop::collection::vec(any_world(), 2..6)) {
        let options = Options { config_map: ObjectKey::parse(CONTROLLER), ..options() };
        let mut memo = Memo::default();
        for world in worlds {
            let resources = resources(&world);
            let with_memo = translate(&resources, &options, &mut memo);
            let without = translate(&resources, &options, &mut Memo::default());
            prop_assert_eq!(&with_memo.snapshot, &without.snapshot);
            prop_assert_eq!(&with_memo.findings, &without.findings);
        }
    }
}
