//! From flags to the values that the parts of the program take.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use portcullis::dns::DnsConfig;
use portcullis::metrics::RequestExport;
use portcullis::source::Inbox;
use portcullis::{instance, self_signed};
use portcullis_proxy::metrics::RequestMetrics;
use portcullis_translate::Options;

use super::flags::{FlagSet, Place, UsageError, endpoint, nameserver, namespaced_name};
use super::webhook_settings::WebhookSettings;

/// What flags decide, as plain values.
#[derive(Debug)]
pub(super) struct Settings {
    /// `--bind-address` and `--http-port`.
    pub(super) http: SocketAddr,
    /// `--bind-address` and `--https-port`.
    pub(super) https: SocketAddr,
    /// `--admin-address`.
    pub(super) admin: SocketAddr,
    /// `--healthz-host` and `--healthz-port`, in a cluster.
    pub(super) health: Option<SocketAddr>,
    /// `--validating-webhook` and its family.
    pub(super) webhook: Option<WebhookSettings>,
    /// `--resolver`, `--resolver-search`.
    pub(super) dns: DnsConfig,
    /// `--shutdown-grace-period`.
    pub(super) grace: Duration,
    /// Labels of metrics, by which replicas are told apart.
    pub(super) labels: Vec<(&'static str, String)>,
    /// `--enable-metrics` and its family.
    pub(super) export: RequestExport,
    /// What translation depends on.
    pub(super) translation: Options,
}

impl Settings {
    /// Reads all flags that are in force.
    ///
    /// # Errors
    ///
    /// A [`UsageError`] where a value cannot be used; another error where no default certificate can be made.
    pub(super) fn resolve(flags: &FlagSet) -> anyhow::Result<Self> {
        flags.check_together()?;
        let bind = bind_address(flags, has_ipv6)?;
        let port = |name| flags.read(name, parsed::<u16>).map(|port| SocketAddr::new(bind, port));
        Ok(Self {
            http: port("http-port")?,
            https: port("https-port")?,
            admin: flags.read("admin-address", parsed)?,
            health: health(flags, bind)?,
            webhook: WebhookSettings::read(flags)?,
            dns: dns(flags)?,
            grace: Duration::from_secs(flags.read("shutdown-grace-period", parsed)?),
            labels: labels(flags),
            export: export(flags)?,
            translation: translation(flags)?,
        })
    }
}

impl Settings {
    /// What the running program takes of it.
    pub(super) fn instance(&self, inbox: Arc<dyn Inbox>) -> instance::Config {
        instance::Config {
            http: self.http,
            https: self.https,
            admin: self.admin,
            health: self.health,
            grace: self.grace,
            labels: self.labels.clone(),
            export: self.export.clone(),
            webhook: self.webhook.as_ref().and_then(WebhookSettings::with_files),
            contact: None,
            inbox,
            duties: None,
            successor: None,
        }
    }
}

/// Where a system has no IPv6 and nobody asked for it, every address is every one of IPv4.
fn bind_address(flags: &FlagSet, has_ipv6: impl FnOnce() -> bool) -> Result<IpAddr, UsageError> {
    let address = flags.read("bind-address", parsed::<IpAddr>)?;
    let is_ours = !flags.is_given("bind-address") && address == Ipv6Addr::UNSPECIFIED;
    Ok(if is_ours && !has_ipv6() { Ipv4Addr::UNSPECIFIED.into() } else { address })
}

fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

/// In a cluster; on the address of the listeners where none is given.
fn health(flags: &FlagSet, bind: IpAddr) -> Result<Option<SocketAddr>, UsageError> {
    if flags.place() == Place::Files {
        return Ok(None);
    }
    let host = flags.read_some("healthz-host", parsed::<IpAddr>)?;
    let port = flags.read("healthz-port", parsed::<u16>)?;
    Ok(Some(SocketAddr::new(host.unwrap_or(bind), port)))
}

/// Class, namespace and name of the pod, as ingress-nginx labels its metrics.
fn labels(flags: &FlagSet) -> Vec<(&'static str, String)> {
    let of_pod = |name| std::env::var(name).unwrap_or_default();
    vec![
        ("controller_class", flags.text("controller-class").to_owned()),
        ("controller_namespace", of_pod("POD_NAMESPACE")),
        ("controller_pod", of_pod("POD_NAME")),
    ]
}

fn export(flags: &FlagSet) -> Result<RequestExport, UsageError> {
    let excluded = flags.text("exclude-socket-metrics").split(',').map(str::trim);
    Ok(RequestExport {
        measured: RequestMetrics {
            enabled: flags.is_on("enable-metrics"),
            per_host: flags.is_on("metrics-per-host"),
            undefined_hosts: flags.is_on("metrics-per-undefined-host"),
            time_buckets: flags.read("time-buckets", buckets)?,
            length_buckets: flags.read("length-buckets", buckets)?,
            size_buckets: flags.read("size-buckets", buckets)?,
        },
        status_classes: flags.is_on("report-status-classes"),
        excluded: excluded.map(|name| name.trim_start_matches("nginx_ingress_controller_").to_owned()).collect(),
    })
}

/// Upper bounds of buckets: numbers from 0, each larger than the one before.
fn buckets(text: &str) -> Result<Arc<[f64]>, String> {
    const MOST: usize = 100;
    let bounds = text.split(',').map(|bound| bound.trim().parse::<f64>().map_err(|error| error.to_string()));
    let bounds: Vec<f64> = bounds.collect::<Result<_, _>>()?;
    let ascending =
        bounds.is_sorted_by(|one, next| one < next) && bounds.iter().all(|bound| (0.0..1e15).contains(bound));
    if !ascending || bounds.len() > MOST {
        return Err(format!("give at most {MOST} numbers from 0, each larger than the one before"));
    }
    Ok(bounds.into())
}

fn dns(flags: &FlagSet) -> Result<DnsConfig, UsageError> {
    let search = flags.text("resolver-search").split(',').map(str::trim).filter(|domain| !domain.is_empty());
    Ok(DnsConfig { nameserver: flags.read_some("resolver", nameserver)?, search: search.map(str::to_owned).collect() })
}

/// What translation depends on.
///
/// # Errors
///
/// As [`Settings::resolve`].
pub(super) fn translation(flags: &FlagSet) -> anyhow::Result<Options> {
    let fallback = self_signed::default_certificate().context("making the default certificate")?;
    let text = |name| flags.text(name).to_owned();
    let overrides = flags.all("endpoint").map(|text| {
        endpoint(text).map_err(|error| UsageError(format!("invalid value `{text}` for --endpoint: {error}")))
    });
    Ok(Options {
        controller_class: text("controller-class"),
        ingress_class: text("ingress-class"),
        ingress_class_by_name: flags.is_on("ingress-class-by-name"),
        watch_ingress_without_class: flags.is_on("watch-ingress-without-class"),
        watch_namespace: text("watch-namespace"),
        namespace_selector: flags.read_some("watch-namespace-selector", parsed)?,
        annotations_prefix: text("annotations-prefix"),
        annotation_validation: flags.is_on("enable-annotation-validation"),
        deep_inspect: flags.is_on("deep-inspect"),
        config_map: flags.read_some("configmap", namespaced_name)?,
        tcp_services: flags.read_some("tcp-services-configmap", namespaced_name)?,
        udp_services: flags.read_some("udp-services-configmap", namespaced_name)?,
        reserved_ports: reserved_ports(flags)?,
        default_backend_service: flags.read_some("default-backend-service", namespaced_name)?,
        default_ssl_certificate: flags.read_some("default-ssl-certificate", namespaced_name)?,
        disable_catch_all: flags.is_on("disable-catch-all"),
        disable_external_name: flags.is_on("disable-svc-external-name"),
        health_check_path: text("health-check-path"),
        loopback_endpoints: flags.place() == Place::Files,
        endpoint_overrides: overrides.collect::<Result<_, _>>()?,
        fallback_certificate: Arc::new(fallback),
    })
}

/// Flags with ports that no TCP or UDP service may have: those that are listened on here, and those of nginx, so that what one of
/// the two refuses the other does.
const RESERVED: [&str; 8] = [
    "http-port",
    "https-port",
    "ssl-passthrough-proxy-port",
    "healthz-port",
    "default-server-port",
    "status-port",
    "stream-port",
    "profiler-port",
];

fn reserved_ports(flags: &FlagSet) -> Result<BTreeMap<u16, String>, UsageError> {
    let mut reserved = BTreeMap::new();
    let admin: SocketAddr = flags.read("admin-address", parsed)?;
    reserved.insert(admin.port(), "--admin-address".to_owned());
    let webhook = flags.text("validating-webhook").rsplit(':').next().and_then(|port| port.parse().ok());
    reserved.extend(webhook.map(|port: u16| (port, "--validating-webhook".to_owned())));
    for name in RESERVED {
        reserved.insert(flags.read(name, parsed::<u16>)?, format!("--{name}"));
    }
    Ok(reserved)
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::flags::testing::flags_of_run as flags;
    use super::*;

    #[test]
    fn in_a_cluster_every_address_is_listened_on_that_there_is() {
        for (arguments, has_ipv6, want) in [
            (&[][..], true, "::"),
            (&[], false, "0.0.0.0"),
            (&["--bind-address=::"], false, "::"),
            (&["--bind-address=0.0.0.0"], true, "0.0.0.0"),
            (&["--bind-address=192.0.2.1"], false, "192.0.2.1"),
        ] {
            let address = bind_address(&flags(arguments), || has_ipv6).unwrap();
            assert_eq!(address.to_string(), want, "{arguments:?} {has_ipv6}");
        }
    }
}
