//! Certificates of hosts.

use portcullis_model::CertificateChoice;

use super::*;

fn secret(name: &str, hosts: &[&str]) -> String {
    let (chain, key) = pair(hosts);
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
        CertificateChoice::Own(certificate) => certificate.source().unwrap().name.to_string(),
        CertificateChoice::Default => "default".to_owned(),
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
