//! Certificates of hosts.

use portcullis_model::CertificateChoice;

use super::*;
use crate::certificate::tests::rsa_pair;

fn secret(name: &str, hosts: &[&str]) -> String {
    secret_of(name, pair(hosts))
}

fn secret_of(name: &str, (chain, key): (String, String)) -> String {
    let indented = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "kind: Secret\nmetadata: {{name: {name}, namespace: demo}}\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        indented(&chain),
        indented(&key)
    )
}

fn with_tls(name: &str, minute: u32, host: &str, tls: &str) -> String {
    ingress(name, minute, "", &[&format!("{host} / Prefix s")]).replace("rules:", &format!("tls: {tls}, rules:"))
}

/// Every host with an entry, and the Secret it gets.
fn entries(text: &str) -> Vec<(String, String)> {
    let translation = translated(text);
    let name = |choice: &CertificateChoice| match choice {
        CertificateChoice::Default => "default".to_owned(),
        own => own.own().iter().map(|one| one.source().unwrap().name.to_string()).collect::<Vec<_>>().join(" "),
    };
    let by_host = &translation.snapshot.certificates.by_host;
    by_host.iter().map(|(host, choice)| (host.to_string(), name(choice))).collect()
}

fn one(host: &str, secret: &str) -> Vec<(String, String)> {
    vec![(host.to_owned(), secret.to_owned())]
}

#[test]
fn the_listed_secret_is_used_where_it_covers_the_host() {
    let good = secret("good", &["a.example", "*.w.example"]);
    let other = secret("other", &["b.example"]);
    for (host, tls, want) in [
        ("a.example", "[{hosts: [a.example], secretName: good}]", "good"),
        ("a.example", "[{hosts: [A.Example], secretName: good}]", "good"),
        ("*.w.example", "[{hosts: ['*.w.example'], secretName: good}]", "good"),
        ("x.w.example", "[{hosts: [x.w.example], secretName: good}]", "good"),
        ("a.example", "[{hosts: [a.example], secretName: other}]", "default"),
        ("a.example", "[{hosts: [a.example], secretName: missing}]", "default"),
        ("a.example", "[{hosts: [a.example]}]", "default"),
        ("a.example", "[{hosts: [c.example], secretName: good}]", "good"),
        ("a.example", "[{secretName: other}, {secretName: good}]", "good"),
        ("a.example", "[{secretName: other}]", "default"),
    ] {
        let text = [with_tls("i", 1, host, tls), good.clone(), other.clone()].join("\n---\n");
        assert_eq!(entries(&text), one(host, want), "{host} {tls}");
    }
}

#[test]
fn further_entries_of_a_host_add_keys_of_other_kinds() {
    let secrets = [
        secret("ec", &["a.example"]),
        secret("other-ec", &["a.example"]),
        secret("foreign", &["b.example"]),
        secret_of("rsa", rsa_pair(&["a.example", "alias.example"])),
    ];
    let listed = |names: &[&str]| {
        let entries: Vec<_> = names.iter().map(|name| format!("{{hosts: [a.example], secretName: {name}}}")).collect();
        [&[with_tls("i", 1, "a.example", &format!("[{}]", entries.join(", ")))][..], &secrets].concat().join("\n---\n")
    };
    for (names, want, told) in [
        (&["ec", "rsa"][..], "ec rsa", &[][..]),
        (&["rsa", "ec"], "ec rsa", &[]),
        (&["rsa", "rsa"], "rsa", &[]),
        (&["rsa", "ec", "other-ec"], "ec rsa", &["certificate-not-used"]),
        (&["ec", "missing"], "ec", &["certificate-not-used"]),
        (&["ec", "foreign"], "ec", &["certificate-not-used"]),
        (&["missing", "rsa"], "default", &["default-certificate"]),
    ] {
        assert_eq!(entries(&listed(names)), one("a.example", want), "{names:?}");
        assert_eq!(codes(&translated(&listed(names))), told, "{names:?}");
    }
    let aliased = listed(&["ec", "rsa"]).replacen(
        "annotations: {",
        "annotations: {nginx.ingress.kubernetes.io/server-alias: alias.example",
        1,
    );
    let want = [("a.example", "ec rsa"), ("alias.example", "rsa")];
    assert_eq!(entries(&aliased), want.map(|(host, secret)| (host.to_owned(), secret.to_owned())));
}

#[test]
fn the_oldest_ingress_decides_each_setting_of_handshakes() {
    let annotated = |name: &str, minute, annotations: &[(&str, &str)]| {
        let full = |(key, value): &(&str, &str)| format!("nginx.ingress.kubernetes.io/{key}: '{value}'");
        let annotations: Vec<_> = annotations.iter().map(full).collect();
        ingress(name, minute, &annotations.join(", "), &["a.example / Prefix s", "_ /x Prefix s"])
    };
    let text = [
        annotated("young", 3, &[("ssl-ciphers", "AES256"), ("ssl-prefer-server-ciphers", "true")]),
        annotated("old", 2, &[("ssl-ciphers", "aRSA+AES128"), ("ssl-prefer-server-ciphers", "false")]),
        annotated("oldest", 1, &[]),
        ingress("other", 1, "", &["b.example / Prefix s"]),
    ]
    .join("\n---\n");
    let hosts = translated(&text).snapshot.hosts;
    let found = |host: &str| hosts[&host.parse().unwrap()].handshake.clone();
    for host in ["a.example", ""] {
        let own = found(host).unwrap();
        assert_eq!(own.ciphers.as_ref().unwrap().to_string(), "ECDHE-RSA-AES128-GCM-SHA256", "{host}");
        assert_eq!(own.server_order, Some(false), "{host}");
    }
    assert_eq!(found("b.example"), None);
}

#[test]
fn the_oldest_ingress_with_a_tls_section_decides() {
    let text = [
        with_tls("young", 3, "a.example", "[{hosts: [a.example], secretName: good}]"),
        with_tls("old", 2, "a.example", "[{hosts: [a.example], secretName: missing}]"),
        ingress("oldest", 1, "", &["a.example /x Prefix s"]),
        secret("good", &["a.example"]),
    ]
    .join("\n---\n");
    assert_eq!(entries(&text), one("a.example", "default"));
}

#[test]
fn hosts_without_tls_section_count_as_tls_below_a_wildcard_with_one() {
    let text = [
        with_tls("w", 1, "*.b.com", "[{hosts: ['*.b.com'], secretName: s}]"),
        ingress("c", 2, "", &["c.b.com / Prefix s", "d.c.b.com / Prefix s", "_ / Prefix s"]),
    ]
    .join("\n---\n");
    let translation = translated(&text);
    let tls: Vec<_> = translation.snapshot.hosts.values().map(|host| (host.host.to_string(), host.tls)).collect();
    let want = [("_", false), ("*.b.com", true), ("c.b.com", true), ("d.c.b.com", false)];
    assert_eq!(tls, want.map(|(host, tls)| (host.to_owned(), tls)));
}

#[test]
fn a_secret_never_shows_in_the_dump() {
    let text =
        [with_tls("i", 1, "a.example", "[{hosts: [a.example], secretName: good}]"), secret("good", &["a.example"])]
            .join("\n---\n");
    let translation = translated(&text);
    let dump = serde_json::to_string(&translation.snapshot.certificates).unwrap() + &format!("{translation:?}");
    assert!(dump.contains("a.example"));
    assert!(!dump.contains("PRIVATE") && !dump.contains("pkcs"), "{dump}");
}
