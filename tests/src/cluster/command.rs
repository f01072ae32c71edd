//! The programs of the cluster as child processes.

use std::env;
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs kubectl; what it wrote to stdout.
pub fn kubectl(arguments: &[&str]) -> String {
    kubectl_with(arguments, "")
}

/// The same with a text on stdin, for `-f -`.
pub fn kubectl_with(arguments: &[&str], input: &str) -> String {
    succeeded("kubectl", arguments, input)
}

/// Runs helm; what it wrote to stdout.
pub fn helm(arguments: &[&str]) -> String {
    helm_with(arguments, "")
}

/// The same with a text on stdin, for `--values -`.
pub fn helm_with(arguments: &[&str], input: &str) -> String {
    succeeded("helm", arguments, input)
}

/// Stops and starts components of the cluster: see `tests/cluster/ctl`.
pub fn ctl(verb: &str, component: &str) -> String {
    succeeded("ctl", &[verb, component], "")
}

/// Runs a program that may fail: its stdout, or its stderr.
pub fn tried(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    assert!(
        env::var_os("CLUSTER_DIR").is_some() && env::var_os("KUBECONFIG").is_some(),
        "not inside a cluster: these tests are run by `make cluster-test`"
    );
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    // A program that does not read its input to the end says why itself.
    let _unread = child.stdin.take().expect("stdin is a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("a child can be waited for");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn succeeded(program: &str, arguments: &[&str], input: &str) -> String {
    tried(program, arguments, input).unwrap_or_else(|error| panic!("{program} {}: {error}", arguments.join(" ")))
}
