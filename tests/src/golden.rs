//! Golden cases: manifests in, snapshot and findings out, as short text.
//!
//! A case is a folder `golden/GROUP/CASE` with `in.yaml` and `out.txt`. Lines of `in.yaml` that begin with `#!` set options:
//! `#! configmap NS/NAME`, `#! default-backend-service NS/NAME`, `#! default-ssl-certificate NS/NAME`, `#! watch-namespace NS`,
//! `#! watch-namespace-selector SELECTOR`, `#! watch-ingress-without-class`, `#! ingress-class-by-name`, `#! disable-catch-all`, `#! disable-svc-external-name`,
//! `#! endpoint NS/SERVICE IP:PORT`. The values `CERTIFICATE(host)` and `KEY(host)` stand for a certificate made for the test.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis::self_signed;
use portcullis::source::FileSource;
use portcullis_model::{
    Certificate, CertificateChoice, Endpoints, HostAction, HostMatch, PathMode, Route, Settings, Snapshot, VirtualHost,
};
use portcullis_translate::{EndpointOverride, Memo, ObjectKey, Options, translate};
use serde_json::Value;

use crate::manifests;

/// One case.
#[derive(Debug)]
pub struct Golden {
    folder: PathBuf,
}

impl Golden {
    /// Every case there is, sorted.
    pub fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        let mut cases: Vec<PathBuf> = folders(&root).iter().flat_map(|group| folders(group)).collect();
        cases.sort();
        cases.into_iter().map(|folder| Self { folder }).collect()
    }

    /// `GROUP/CASE`.
    pub fn name(&self) -> String {
        let mut parts: Vec<_> = self.folder.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
        parts.reverse();
        parts.join("/")
    }

    /// What is expected; empty where there is no expectation yet.
    pub fn expected(&self) -> String {
        fs::read_to_string(self.folder.join("out.txt")).unwrap_or_default()
    }

    /// Makes `text` the expectation.
    pub fn expect(&self, text: &str) {
        fs::write(self.folder.join("out.txt"), text).expect("the expectation can be written");
    }

    /// What translation makes of the case.
    pub fn actual(&self, default: &Arc<Certificate>) -> String {
        let text = fs::read_to_string(self.folder.join("in.yaml")).expect("the case has manifests");
        let options = options(&text, default);
        let source = FileSource::of_texts(&[("in.yaml".to_owned(), with_certificates(&text))]);
        let translation = translate(source.resources(), &options, &mut Memo::default());
        let mut findings = source.findings();
        findings.extend(translation.findings);
        findings.sort();
        let mut out = String::new();
        write_snapshot(&mut out, &translation.snapshot, &Usual::of(default));
        for finding in findings {
            line(&mut out, &finding.to_string().replace('\n', "\n    "));
        }
        out
    }
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).expect("a folder of cases").filter_map(Result::ok).map(|entry| entry.path());
    entries.filter(|path| path.is_dir()).collect()
}

fn options(text: &str, default: &Arc<Certificate>) -> Options {
    let mut options = Options::new(default.clone());
    for words in
        text.lines().filter_map(|line| line.strip_prefix("#!")).map(|line| line.split_whitespace().collect::<Vec<_>>())
    {
        let key = |text: &str| ObjectKey::parse(text).unwrap_or_else(|| panic!("{text} is not namespace/name"));
        match words.as_slice() {
            ["configmap", name] => options.config_map = Some(key(name)),
            ["default-backend-service", name] => options.default_backend_service = Some(key(name)),
            ["default-ssl-certificate", name] => options.default_ssl_certificate = Some(key(name)),
            ["watch-namespace", name] => options.watch_namespace = (*name).to_owned(),
            ["watch-namespace-selector", selector @ ..] => {
                options.namespace_selector = Some(selector.join(" ").parse().expect("a selector"));
            }
            ["watch-ingress-without-class"] => options.watch_ingress_without_class = true,
            ["ingress-class-by-name"] => options.ingress_class_by_name = true,
            ["disable-catch-all"] => options.disable_catch_all = true,
            ["disable-svc-external-name"] => options.disable_external_name = true,
            ["endpoint", service, address] => options.endpoint_overrides.push(EndpointOverride {
                service: key(service),
                port: None,
                address: address.parse().expect("an address"),
            }),
            other => panic!("{other:?} is not an option"),
        }
    }
    options
}

/// Puts a fresh key pair in the place of `CERTIFICATE(host)` and `KEY(host)`.
fn with_certificates(text: &str) -> String {
    let mut made = BTreeMap::new();
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, word, host, after)) = placeholder(rest) {
        let pem = made
            .entry(host.to_owned())
            .or_insert_with(|| self_signed::certificate_for(&[host.to_owned()]).expect("a certificate can be made"));
        let value = if word == "KEY" { &pem.key } else { &pem.certificate };
        out.push_str(before);
        out.push_str(&Value::from(value.as_str()).to_string());
        rest = after;
    }
    out + rest
}

fn placeholder(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (at, word) = ["CERTIFICATE(", "KEY("].iter().filter_map(|word| Some((text.find(word)?, *word))).min()?;
    let (host, after) = text[at + word.len()..].split_once(')')?;
    Some((&text[..at], word.trim_end_matches('('), host, after))
}

/// The policies of an Ingress without annotations, and of what no Ingress made: they are not written down.
struct Usual {
    ingress: Value,
    nobody: Value,
}

impl Usual {
    fn of(default: &Arc<Certificate>) -> Self {
        let plain = manifests::CLASS.to_owned() + "---\n" + &manifests::ingress("plain", "plain.example", "/", "plain");
        let source = FileSource::of_texts(&[("plain.yaml".to_owned(), plain)]);
        let snapshot = translate(source.resources(), &Options::new(default.clone()), &mut Memo::default()).snapshot;
        let policy = |of_ingress: bool| {
            let mut routes = snapshot.hosts.values().flat_map(|host| routes(host));
            routes
                .find(|route| route.source.ingress.is_empty() != of_ingress)
                .map_or(Value::Null, |route| json(&route.policy))
        };
        Self { ingress: policy(true), nobody: policy(false) }
    }

    fn has(&self, route: &Route, name: &str, value: &Value) -> bool {
        let usual = if route.source.ingress.is_empty() { &self.nobody } else { &self.ingress };
        value.is_null() || usual.get(name) == Some(value)
    }
}

fn routes(host: &VirtualHost) -> &[Arc<Route>] {
    match &host.action {
        HostAction::Serve { routes, .. } => routes,
        HostAction::RedirectTo(_) => &[],
    }
}

/// Only what differs from the defaults.
fn write_snapshot(out: &mut String, snapshot: &Snapshot, usual: &Usual) {
    let made = |host: &VirtualHost| {
        host.host != HostMatch::Any || routes(host).iter().any(|route| !route.source.ingress.is_empty())
    };
    for host in snapshot.hosts.values().filter(|host| made(host)) {
        write_host(out, host, usual);
    }
    for (id, cluster) in &snapshot.clusters {
        let endpoints = match &cluster.endpoints {
            Endpoints::Known(known) if known.is_empty() => "no endpoints".to_owned(),
            Endpoints::Known(known) => {
                known.iter().map(|endpoint| endpoint.address.to_string()).collect::<Vec<_>>().join(" ")
            }
            Endpoints::Dns(target) => format!("name {} port {}", target.name, target.port),
        };
        line(out, &format!("cluster {}/{}:{} = {endpoints}", id.namespace, id.service, id.port));
    }
    for (host, choice) in &snapshot.certificates.by_host {
        let source = match choice {
            CertificateChoice::Default => "default".to_owned(),
            own => {
                let name = |one: &Arc<Certificate>| one.source().map_or("unnamed".to_owned(), ToString::to_string);
                own.own().iter().map(name).collect::<Vec<_>>().join(" and ")
            }
        };
        line(out, &format!("certificate {host} = {source}"));
    }
    if let Some(source) = snapshot.certificates.default.source() {
        line(out, &format!("default certificate = {source}"));
    }
    if let Some(id) = &snapshot.default_backend {
        line(out, &format!("default backend = {}/{}:{}", id.namespace, id.service, id.port));
    }
    write_settings(out, &snapshot.settings);
}

fn write_host(out: &mut String, host: &VirtualHost, usual: &Usual) {
    let tls = if host.tls { " tls" } else { "" };
    line(out, &format!("host {}{tls}", host.host));
    if let Some(handshake) = &host.handshake {
        line(out, &format!("  handshake {}", json(handshake)));
    }
    for alias in &host.aliases {
        line(out, &format!("  alias {}{}", alias.name, if alias.tls { " tls" } else { "" }));
    }
    match &host.action {
        HostAction::RedirectTo(other) => line(out, &format!("  redirect to {other}")),
        HostAction::Serve { mode, routes, app_root } => {
            if let Some(path) = app_root {
                line(out, &format!("  app root {path}"));
            }
            if *mode == PathMode::Regex {
                line(out, "  regex mode");
            }
            routes.iter().for_each(|route| write_route(out, route, usual));
        }
    }
}

fn write_route(out: &mut String, route: &Route, usual: &Usual) {
    let of = match (&*route.source.ingress, route.source.implicit) {
        ("", _) => String::new(),
        (name, false) => format!(" of {}/{name}", route.source.namespace),
        (name, true) => format!(" of {}/{name} (implicit)", route.source.namespace),
    };
    let backend = json(&route.backend);
    let backend = backend.get("cluster").and_then(Value::as_str).unwrap_or("default backend");
    line(out, &format!("  {} -> {backend}{of}", route.path));
    if let Value::Object(policy) = json(&route.policy) {
        for (name, value) in policy.iter().filter(|(name, value)| !usual.has(route, name, value)) {
            line(out, &format!("    {name} {value}"));
        }
    }
}

fn write_settings(out: &mut String, settings: &Settings) {
    let (Value::Object(found), Value::Object(default)) = (json(settings), json(&Settings::default())) else { return };
    for (name, value) in found.iter().filter(|(name, value)| default.get(*name) != Some(value)) {
        line(out, &format!("setting {name} {value}"));
    }
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("the model can be written as JSON")
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a text can grow");
}
