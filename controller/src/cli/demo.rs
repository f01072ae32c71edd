//! `portcullis demo`: the bundled shop with backends that answer what they were asked.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use portcullis::instance::{self, Listening};
use portcullis::source::{Changes, FileSource, FollowedFiles};
use portcullis::{echo, reconcile, self_signed};
use portcullis_translate::{EndpointOverride, ObjectKey, Resources};

use super::flags::HiddenFlags;
use super::settings::Settings;
use super::{output, serve};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Every flag of `serve`.
    #[command(flatten)]
    flags: HiddenFlags,
}

/// The manifests in `examples/shop`.
macro_rules! shop {
    ($($name:literal),* $(,)?) => {
        [$((concat!("examples/shop/", $name), include_str!(concat!("../../../examples/shop/", $name)))),*]
    };
}

const SHOP: [(&str, &str); 6] =
    shop!["canary.yaml", "default-backend.yaml", "departments.yaml", "namespace.yaml", "services.yaml", "shop.yaml"];

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let flags = &arguments.flags.0;
    let mut settings = Settings::resolve(flags)?;
    serve::start_log(flags);
    for (name, address) in
        [("http-port", &mut settings.http), ("https-port", &mut settings.https), ("admin-address", &mut settings.admin)]
    {
        if !flags.is_given(name) {
            take_free_port(address);
        }
    }
    let mut texts: Vec<(String, String)> =
        SHOP.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let shop = FileSource::of_texts(&texts);
    texts.extend(certificates(shop.resources())?);
    let source = FileSource::of_texts(&texts);
    let backends = Backends::start(source.resources())?;
    settings.translation.endpoint_overrides.extend(backends.endpoints.iter().cloned());
    let hosts = hosts(source.resources());
    let changes = Arc::new(Changes::default());
    let input = reconcile::Input {
        source: Box::new(FollowedFiles::new(source, changes.clone())),
        options: settings.translation.clone(),
        findings: flags.findings(),
        dns: settings.dns.clone(),
    };
    instance::run(instance::control_runtime()?, settings.instance(changes), input, |listening| {
        serve::announce(listening);
        output::note(&greeting(listening, &hosts));
    })?;
    drop(backends);
    Ok(ExitCode::SUCCESS)
}

/// Takes any free port where the usual one is taken.
fn take_free_port(address: &mut SocketAddr) {
    if TcpListener::bind(*address).is_err() {
        address.set_port(0);
    }
}

/// A backend for every Service that has no EndpointSlice.
struct Backends {
    endpoints: Vec<EndpointOverride>,
    /// They live as long as this.
    _runtime: tokio::runtime::Runtime,
}

impl Backends {
    fn start(resources: &Resources) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("demo-backends")
            .enable_all()
            .build()?;
        let without = resources.services.keys().filter(|service| !resources.endpoint_slices.contains_key(service));
        let endpoints = without.map(|service| {
            let address = runtime.block_on(echo::start(&service.to_string())).context("starting a demo backend")?;
            Ok(EndpointOverride { service: service.clone(), port: None, address })
        });
        Ok(Self { endpoints: endpoints.collect::<anyhow::Result<_>>()?, _runtime: runtime })
    }
}

/// Manifests of the TLS Secrets that Ingresses name and that are not there.
fn certificates(resources: &Resources) -> anyhow::Result<Vec<(String, String)>> {
    let mut manifests = Vec::new();
    let mut made = BTreeSet::new();
    for (key, ingress) in &resources.ingresses {
        for tls in ingress.value.spec.iter().filter_map(|spec| spec.tls.as_ref()).flatten() {
            let Some(name) = &tls.secret_name else { continue };
            let secret = ObjectKey::new(&key.namespace, name);
            if resources.secrets.contains_key(&secret) || !made.insert(secret.clone()) {
                continue;
            }
            let pem = self_signed::certificate_for(tls.hosts.as_deref().unwrap_or_default())
                .context("making a demo certificate")?;
            let manifest = serde_json::json!({
                "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                "metadata": { "namespace": &*secret.namespace, "name": &*secret.name },
                "stringData": { "tls.crt": pem.certificate, "tls.key": pem.key },
            });
            manifests.push((format!("generated/{}.yaml", secret.name), manifest.to_string()));
        }
    }
    Ok(manifests)
}

/// A path to ask for, by host, and whether the host has a certificate.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Example {
    host: String,
    path: String,
    tls: bool,
}

fn hosts(resources: &Resources) -> BTreeSet<Example> {
    let mut examples = BTreeSet::new();
    for ingress in resources.ingresses.values() {
        let Some(spec) = &ingress.value.spec else { continue };
        let secured: BTreeSet<&String> =
            spec.tls.iter().flatten().filter_map(|tls| tls.hosts.as_ref()).flatten().collect();
        for rule in spec.rules.iter().flatten() {
            let Some(host) = rule.host.as_ref() else { continue };
            for path in rule.http.iter().flat_map(|http| &http.paths) {
                let path = path.path.clone().unwrap_or_else(|| "/".to_owned());
                examples.insert(Example { host: host.clone(), path, tls: secured.contains(host) });
            }
        }
    }
    examples
}

/// Lines to paste.
fn greeting(listening: &Listening, examples: &BTreeSet<Example>) -> String {
    let mut text = String::from("\nThe shop is open. Try:\n\n");
    let mut line = |scheme: &str, at: SocketAddr, host: &str, path: &str, flag: &str| {
        let (ip, port) = (at.ip(), at.port());
        let _infallible = writeln!(text, "  curl --resolve {host}:{port}:{ip} {flag}{scheme}://{host}:{port}{path}");
    };
    for Example { host, path, tls } in examples {
        line("http", listening.http, host, path, "");
        if *tls {
            line("https", listening.https, host, path, "--insecure ");
        }
    }
    let (http, admin) = (listening.http, listening.admin);
    let _infallible =
        writeln!(text, "  curl http://{http}/\n\nWhat is served and why:\n\n  curl http://{admin}/debug/table");
    if let Some(Example { host, path, .. }) = examples.first() {
        let _infallible = writeln!(text, "  curl 'http://{admin}/debug/explain?output=text&url=http://{host}{path}'");
    }
    text.push_str("\nCtrl-C ends it.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_manifests_are_fine_and_complete() {
        let texts: Vec<(String, String)> =
            SHOP.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let source = FileSource::of_texts(&texts);
        assert_eq!(source.findings(), []);
        assert!(source.resources().ingresses.len() >= 3);
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/shop");
        let manifests = std::fs::read_dir(folder).unwrap().filter(|entry| {
            let path = entry.as_ref().unwrap().path();
            path.extension().is_some_and(|extension| extension == "yaml")
        });
        assert_eq!(manifests.count(), SHOP.len(), "every manifest of the folder is bundled");
    }
}
