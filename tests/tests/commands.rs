//! Commands that end by themselves: exit status, and what they print where.

use std::fs;
use std::net::TcpListener;

use portcullis_tests::manifests::{CLASS, annotated_ingress, ingress, joined, service};
use portcullis_tests::run;
use serde_json::Value;
use tempfile::TempDir;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a manifest can be written");
    }
    folder
}

fn path(folder: &TempDir) -> &str {
    folder.path().to_str().expect("a path of letters")
}

#[test]
fn an_unknown_flag_ends_with_2_and_names_the_nearest() {
    let folder = folder(&[]);
    let ended = run(&["serve", path(&folder), "--htp-port=0"]);
    assert_eq!((ended.code, ended.output.as_str()), (Some(2), ""));
    assert!(ended.log.contains("--htp-port") && ended.log.contains("--http-port"), "{}", ended.log);
}

#[test]
fn bad_values_end_with_2() {
    let folder = folder(&[]);
    for arguments in [
        vec!["serve", path(&folder), "--http-port=many"],
        vec!["serve", path(&folder), "--configmap=only-a-name"],
        vec!["serve", path(&folder), "--endpoint=demo/a=nowhere.invalid:80"],
        vec!["serve", path(&folder), "--watch-namespace=a", "--watch-namespace-selector=b=c"],
        vec!["serve"],
        vec!["explain", "ftp://a.example/", "--manifests", path(&folder)],
        vec!["explain", "http://a.example/"],
        vec!["lint"],
        vec!["no-such-command"],
        vec![],
    ] {
        let ended = run(&arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.log);
        assert!(!ended.log.is_empty(), "{arguments:?}");
    }
}

#[test]
fn what_is_not_there_ends_with_1() {
    let folder = folder(&[]);
    for arguments in [
        vec!["serve", "/no/such/folder"],
        vec!["lint", "/no/such/folder"],
        vec!["explain", "http://a.example/", "--manifests", "/no/such/folder"],
        vec!["explain", "http://a.example/", "--admin", "127.0.0.1:1"],
        vec![
            "serve",
            path(&folder),
            "--http-port=0",
            "--https-port=0",
            "--admin-address=127.0.0.1:0",
            "--default-backend-service=demo/none",
        ],
    ] {
        let ended = run(&arguments);
        assert_eq!((ended.code, ended.output.as_str()), (Some(1), ""), "{arguments:?}: {}", ended.log);
        assert!(ended.log.starts_with("error: "), "{arguments:?}: {}", ended.log);
    }
}

#[test]
fn a_port_in_use_ends_with_1_and_names_it() {
    let folder = folder(&[]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    for taken in
        [format!("--http-port={port}"), format!("--https-port={port}"), format!("--admin-address=127.0.0.1:{port}")]
    {
        let flags = ["--http-port=0", "--https-port=0", "--admin-address=127.0.0.1:0", &taken];
        let ended = run(&[&["serve", path(&folder)], flags.as_slice()].concat());
        assert_eq!((ended.code, ended.output.as_str()), (Some(1), ""), "{taken}: {}", ended.log);
        assert!(ended.log.contains(&port.to_string()), "{taken}: {}", ended.log);
    }
}

#[test]
fn lint_ends_with_1_on_errors_only() {
    let fine =
        joined(&[CLASS.into(), service("a", &["10.0.0.1:80".parse().unwrap()]), ingress("a", "a.example", "/", "a")]);
    let warned = joined(&[fine.clone(), annotated_ingress("b", "b.example", "/", "a", &[("no-such-key", "x")])]);
    let closed = joined(&[fine.clone(), annotated_ingress("c", "c.example", "/", "a", &[("auth-type", "basic")])]);
    for (text, code, errors) in [(&fine, 0, 0), (&warned, 0, 0), (&closed, 1, 1), (&"kind: [".to_owned(), 1, 1)] {
        let folder = folder(&[("m.yaml", text)]);
        let ended = run(&["lint", path(&folder)]);
        assert_eq!(ended.code, Some(code), "{}", ended.output);
        let ended = run(&["lint", path(&folder), "--output", "json"]);
        assert_eq!(ended.code, Some(code));
        let report: Value = serde_json::from_str(&ended.output).expect("JSON");
        assert_eq!(report["errors"], errors, "{report:#}");
        let findings = report["findings"].as_array().expect("findings");
        assert!(findings.iter().all(|finding| finding["code"].is_string() && finding["object"]["kind"].is_string()));
    }
}

#[test]
fn lint_says_file_line_and_reason() {
    let folder = folder(&[
        ("good.yaml", CLASS),
        ("bad.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: 80\n"),
    ]);
    let ended = run(&["lint", path(&folder)]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.output.contains("bad.yaml:5"), "{}", ended.output);
    assert!(ended.output.contains("error[invalid-object] Service default/a, spec.ports"), "{}", ended.output);
}

#[test]
fn explain_tells_the_rule_that_wins() {
    let text = joined(&[
        CLASS.into(),
        service("a", &["10.0.0.1:80".parse().unwrap()]),
        ingress("rule", "a.example", "/x", "a"),
    ]);
    let folder = folder(&[("m.yaml", &text)]);
    let ended = run(&["explain", "http://a.example/x/y", "--manifests", path(&folder)]);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.output.contains("demo/rule") && ended.output.contains("10.0.0.1:80"), "{}", ended.output);
    let ended = run(&["explain", "http://a.example/x/y", "--manifests", path(&folder), "--output", "json"]);
    let explanation: Value = serde_json::from_str(&ended.output).expect("JSON");
    assert_eq!(explanation["rule"]["ingress"], "rule", "{explanation:#}");
}

#[test]
fn references_are_printed() {
    for (about, line) in
        [("annotations", "rewrite-target"), ("configmap", "http-redirect-code"), ("flags", "--http-port")]
    {
        let ended = run(&["docs", about]);
        assert_eq!(ended.code, Some(0));
        assert!(ended.output.starts_with("# ") && ended.output.contains(line), "{about}");
    }
    assert!(run(&["--version"]).output.starts_with("portcullis "));
    assert!(run(&["serve", "--version"]).output.starts_with("portcullis "));
    assert_eq!(run(&["--help"]).code, Some(0));
}
