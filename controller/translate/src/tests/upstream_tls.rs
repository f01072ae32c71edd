//! TLS to upstreams: the Secret of `proxy-ssl-secret`.

use portcullis_model::UpstreamTls;

use super::*;

fn secret(entries: &[(&str, &str)]) -> String {
    let entry = |(name, text): &(&str, &str)| {
        let lines: String = text.lines().map(|line| format!("    {line}\n")).collect();
        format!("  {name}: |\n{lines}")
    };
    let entries: String = entries.iter().map(entry).collect();
    format!("kind: Secret\nmetadata: {{name: ca, namespace: demo}}\nstringData:\n{entries}")
}

fn annotations(extra: &str) -> String {
    format!("nginx.ingress.kubernetes.io/proxy-ssl-secret: demo/ca{extra}")
}

const VERIFY: &str = ", nginx.ingress.kubernetes.io/proxy-ssl-verify: 'on'";

/// The settings of each route of `a.example`, or the key that closed it.
fn settings(translation: &Translation) -> Vec<Result<Option<Arc<UpstreamTls>>, String>> {
    let host = &translation.snapshot.hosts[&"a.example".parse().unwrap()];
    let HostAction::Serve { routes, .. } = &host.action else { panic!("{host:?}") };
    let of = |route: &Arc<Route>| match &route.policy.closed {
        Some(closed) => Err(closed.key.to_string()),
        None => Ok(route.policy.upstream.tls.clone()),
    };
    routes.iter().map(of).collect()
}

#[test]
fn a_secret_that_cannot_be_used_closes_the_paths() {
    let (chain, key) = pair(&["client"]);
    let (ca, other_key) = pair(&["ca"]);
    let both = [("tls.crt", chain.as_str()), ("tls.key", &key)];
    for (entries, extra, usable) in [
        (&both[..], "", true),
        (&[("ca.crt", &ca)], "", true),
        (&[("ca.crt", &ca)], VERIFY, true),
        (&[both[0], both[1], ("ca.crt", &ca)], VERIFY, true),
        (&both, VERIFY, false),
        (&[("tls.crt", &chain)], "", false),
        (&[("tls.crt", &chain), ("tls.key", &other_key)], "", false),
        (&[both[0], ("ca.crt", &ca)], "", false),
        (&[("ca.crt", "nonsense")], "", false),
        (&[("ca.crt", "nonsense")], VERIFY, false),
        (&[("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")], "", false),
        (&[("other", "x")], "", false),
    ] {
        let text = [ingress("i", 1, &annotations(extra), &["a.example / Prefix s"]), secret(entries)].join("\n---\n");
        let translation = translated(&text);
        let codes = if usable { vec![] } else { vec!["upstream-tls-unusable"] };
        assert_eq!(super::codes(&translation), codes, "{entries:?} {extra}");
        let made = settings(&translation).remove(0);
        assert_eq!(made.is_ok_and(|made| made.is_some()), usable, "{entries:?} {extra}");
    }
    let missing = translated(&ingress("i", 1, &annotations(""), &["a.example / Prefix s"]));
    assert_eq!(settings(&missing), [Err("proxy-ssl-secret".to_owned())]);
    assert!(missing.findings.iter().any(|finding| finding.code == "secret-not-found"));
}

#[test]
fn only_paths_of_the_ingress_are_touched_and_equal_settings_are_one() {
    let (ca, _) = pair(&["ca"]);
    let text = [
        ingress("one", 1, &annotations(""), &["a.example /one Prefix s", "b.example / Prefix s"]),
        ingress("two", 2, &annotations(""), &["a.example /two Prefix s"]),
        ingress("three", 3, &annotations(VERIFY), &["a.example /three Prefix s"]),
        ingress("plain", 4, "", &["a.example /plain Prefix s"]),
        secret(&[("ca.crt", &ca)]),
    ];
    let translation = translated(&text.join("\n---\n"));
    let settings = settings(&translation);
    // Longest path first; the last is the implicit root, which is that of the oldest Ingress.
    let [Ok(Some(three)), Ok(None), Ok(Some(two)), Ok(Some(one)), Ok(Some(root))] = &settings[..] else {
        panic!("{settings:?}")
    };
    assert!(Arc::ptr_eq(one, two) && Arc::ptr_eq(one, root));
    assert!(one != three && three.verification().is_some());
}

#[test]
fn a_changed_secret_changes_the_settings_and_nothing_else_does() {
    let (first, second) = (pair(&["one"]).0, pair(&["two"]).0);
    let mut resources = resources(&ingress("i", 1, &annotations(""), &["a.example / Prefix s"]));
    add(&mut resources, &secret(&[("ca.crt", &first)]));
    let mut memo = Memo::default();
    let mut made = |resources: &Resources| settings(&translate(resources, &options(), &mut memo)).remove(0).unwrap();
    let before = made(&resources).unwrap();
    add(&mut resources, &ingress("other", 2, "", &["b.example / Prefix s"]));
    assert!(Arc::ptr_eq(&before, &made(&resources).unwrap()));
    add(&mut resources, &secret(&[("ca.crt", &second)]));
    let after = made(&resources).unwrap();
    assert_ne!(before, after);
    add(&mut resources, &secret(&[("ca.crt", &first)]));
    assert_eq!(made(&resources).unwrap(), before);
}

#[test]
fn the_key_never_shows() {
    let (chain, key) = pair(&["client"]);
    let secret = secret(&[("tls.crt", &chain), ("tls.key", &key)]);
    let translation =
        translated(&[ingress("i", 1, &annotations(""), &["a.example / Prefix s"]), secret].join("\n---\n"));
    let dump = serde_json::to_string(&translation.snapshot.hosts.values().collect::<Vec<_>>()).unwrap();
    assert!(dump.contains("\"secret\":\"demo/ca\""), "{dump}");
    let dump = dump + &format!("{translation:?}");
    let line = key.lines().nth(1).unwrap();
    assert!(!dump.contains("PRIVATE") && !dump.contains("pkcs") && !dump.contains(line));
}
