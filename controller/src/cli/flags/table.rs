//! The table of flags. Names and defaults are those of ingress-nginx 1.15, but for the addresses that `serve` binds, and
//! --enable-metrics.

use super::{Effect, Flag, Kind, Side};
use Effect::{InForce, NotYet, Nothing};

const SCOPE: &str = "Class and scope";
const SOURCES: &str = "Configuration sources";
const STATUS: &str = "Status";
const LISTENERS: &str = "Listeners";
const WEBHOOK: &str = "Webhook";
const METRICS: &str = "Metrics";
const LIFECYCLE: &str = "Lifecycle and cluster access";
const LOG: &str = "Log of the controller";
const OWN: &str = "Addresses and names";

/// Headings in the order in which they are listed.
pub(crate) const SECTIONS: &[&str] = &[OWN, SCOPE, SOURCES, LISTENERS, STATUS, WEBHOOK, METRICS, LIFECYCLE, LOG];

const NO_NGINX: Effect = Nothing("there is no nginx process that needs it");
const NO_RELOAD: Effect = Nothing("nothing is reloaded: a change is served as soon as it is read");
const NO_CLUSTER: Effect = Nothing("manifests are read from files, there is no API server");
const ONE_ADMIN: Effect = Nothing("health, metrics and debug pages are on --admin-address");
const RESUMED: Effect = Nothing("a watch goes on where it ended, and lists anew where it cannot");
const OWN_LOG: Effect = Nothing("the log goes to stderr in one format; RUST_LOG and --v set its level");

const fn flag(
    section: &'static str,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    effect: Effect,
    doc: &'static str,
) -> Flag {
    let side = Side { default, effect };
    Flag { name, section, kind, files: side, cluster: side, doc }
}

/// Every flag.
#[rustfmt::skip]
pub(crate) const FLAGS: &[Flag] = &[
    flag(OWN, "admin-address", Kind::SocketAddress, "127.0.0.1:10254", InForce, "Address of health, metrics and debug pages.").in_cluster("127.0.0.1:10255", InForce),
    flag(OWN, "bind-address", Kind::IpAddress, "127.0.0.1", InForce, "Address on which HTTP and HTTPS listen; 0.0.0.0 for every address of IPv4, :: for those of IPv6 as well.").in_cluster("::", InForce),
    flag(OWN, "endpoint", Kind::Endpoint, "", InForce, "Sends the requests of a Service, or of one of its ports, to this address. Can be repeated.").in_cluster("", InForce),
    flag(OWN, "resolver", Kind::Nameserver, "", InForce, "Name server for ExternalName Services; those of the system where none is given."),
    flag(OWN, "resolver-search", Kind::Text, "", InForce, "Domains, divided by commas, in which --resolver looks up names that have fewer than 5 dots."),

    flag(SCOPE, "controller-class", Kind::Text, "k8s.io/ingress-nginx", InForce, "IngressClasses whose spec.controller has this value are served."),
    flag(SCOPE, "ingress-class", Kind::Text, "nginx", InForce, "Value of the annotation kubernetes.io/ingress.class that is served, and the name meant by --ingress-class-by-name."),
    flag(SCOPE, "ingress-class-by-name", Kind::Switch, "false", InForce, "Also serve the IngressClass that has the name --ingress-class."),
    flag(SCOPE, "watch-ingress-without-class", Kind::Switch, "false", InForce, "Also serve Ingresses that name no class at all."),
    flag(SCOPE, "watch-namespace", Kind::Text, "", InForce, "Read only objects of this namespace; empty for all."),
    flag(SCOPE, "watch-namespace-selector", Kind::Text, "", InForce, "Serve only Ingresses of namespaces whose labels fit this selector, such as `edge=yes,tier in (a, b),!internal`; empty for all."),
    flag(SCOPE, "annotations-prefix", Kind::Text, "nginx.ingress.kubernetes.io", InForce, "Prefix of the annotations that are read."),
    flag(SCOPE, "disable-catch-all", Kind::Switch, "false", InForce, "Leave out Ingresses that have a spec.defaultBackend."),
    flag(SCOPE, "disable-svc-external-name", Kind::Switch, "false", InForce, "Give ExternalName Services no endpoints."),

    flag(SOURCES, "configmap", Kind::NamespacedName, "", InForce, "ConfigMap with the settings of the controller."),
    flag(SOURCES, "tcp-services-configmap", Kind::NamespacedName, "", InForce, "ConfigMap that lists TCP ports and the Services behind them: namespace/service:port, then :PROXY to expect the PROXY protocol and :PROXY or ::PROXY to send it."),
    flag(SOURCES, "udp-services-configmap", Kind::NamespacedName, "", InForce, "ConfigMap that lists UDP ports and the Services behind them: namespace/service:port."),
    flag(SOURCES, "default-backend-service", Kind::NamespacedName, "", InForce, "Service whose first port answers what no Ingress does. It must exist at the start."),
    flag(SOURCES, "default-ssl-certificate", Kind::NamespacedName, "", InForce, "Secret with the certificate for names that have none; self-signed where there is no such Secret."),
    flag(SOURCES, "enable-ssl-passthrough", Kind::Switch, "false", NotYet, "Hand the TLS connections of some hosts to their backends unopened."),
    flag(SOURCES, "enable-ssl-chain-completion", Kind::Switch, "false", NotYet, "Fetch intermediate certificates that are missing in a Secret."),
    flag(SOURCES, "enable-annotation-validation", Kind::Switch, "true", InForce, "Check the characters of annotation values beyond their type."),
    flag(SOURCES, "deep-inspect", Kind::Switch, "true", InForce, "Refuse Ingresses whose fields look like an attempt to write proxy configuration."),
    flag(SOURCES, "enable-topology-aware-routing", Kind::Switch, "false", NotYet, "Prefer endpoints of the own zone."),

    flag(LISTENERS, "http-port", Kind::Port, "8080", InForce, "Port for HTTP; 0 takes a free one.").in_cluster("80", InForce),
    flag(LISTENERS, "https-port", Kind::Port, "8443", InForce, "Port for HTTPS; 0 takes a free one.").in_cluster("443", InForce),
    flag(LISTENERS, "ssl-passthrough-proxy-port", Kind::Port, "442", NotYet, "Internal port behind --enable-ssl-passthrough."),
    flag(LISTENERS, "default-server-port", Kind::Port, "8181", NO_NGINX, "Internal port of the built-in 404."),
    flag(LISTENERS, "healthz-port", Kind::Port, "10254", ONE_ADMIN, "Port of health and metrics in a cluster.").in_cluster("10254", InForce),
    flag(LISTENERS, "healthz-host", Kind::Text, "", ONE_ADMIN, "Address of health and metrics in a cluster.").in_cluster("", InForce),
    flag(LISTENERS, "health-check-path", Kind::UrlPath, "/healthz", InForce, "Path that answers 200 on the default server and on the admin address."),
    flag(LISTENERS, "health-check-timeout", Kind::Seconds, "10", NO_NGINX, "Time limit for asking nginx for its health."),
    flag(LISTENERS, "status-port", Kind::Port, "10246", NO_NGINX, "Internal port for configuring nginx."),
    flag(LISTENERS, "stream-port", Kind::Port, "10247", NO_NGINX, "Internal port for configuring TCP and UDP services."),
    flag(LISTENERS, "profiling", Kind::Switch, "true", Nothing("there is no Go profiler"), "Pages of the Go profiler."),
    flag(LISTENERS, "profiler-port", Kind::Port, "10245", Nothing("there is no Go profiler"), "Port of the Go profiler."),
    flag(LISTENERS, "profiler-address", Kind::IpAddress, "127.0.0.1", Nothing("there is no Go profiler"), "Address of the Go profiler."),
    flag(LISTENERS, "internal-logger-address", Kind::Text, "127.0.0.1:11514", NO_NGINX, "Address to which nginx logs in the chroot image."),

    flag(STATUS, "update-status", Kind::Switch, "true", NO_CLUSTER, "Write addresses into the status of Ingresses.").in_cluster("true", InForce),
    flag(STATUS, "update-status-on-shutdown", Kind::Switch, "true", NO_CLUSTER, "Clear these addresses when the last replica ends.").in_cluster("true", InForce),
    flag(STATUS, "publish-service", Kind::NamespacedName, "", NO_CLUSTER, "Service whose addresses are written into the status.").in_cluster("", InForce),
    flag(STATUS, "publish-status-address", Kind::Text, "", NO_CLUSTER, "Addresses, divided by commas, that are written into the status.").in_cluster("", InForce),
    flag(STATUS, "report-node-internal-ip-address", Kind::Switch, "false", NO_CLUSTER, "Write internal addresses of nodes into the status.").in_cluster("false", InForce),
    flag(STATUS, "status-update-interval", Kind::Integer, "60", NO_CLUSTER, "Seconds between two looks at the status.").in_cluster("60", InForce),
    flag(STATUS, "election-id", Kind::Text, "ingress-controller-leader", NO_CLUSTER, "Name of the Lease by which replicas elect a leader.").in_cluster("ingress-controller-leader", InForce),
    flag(STATUS, "election-ttl", Kind::Duration, "30s", NO_CLUSTER, "Duration of that Lease.").in_cluster("30s", InForce),
    flag(STATUS, "disable-leader-election", Kind::Switch, "false", NO_CLUSTER, "Elect no leader.").in_cluster("false", InForce),

    flag(WEBHOOK, "validating-webhook", Kind::Text, "", InForce, "Address on which Ingresses are reviewed before the API server takes them: :PORT or IP:PORT."),
    flag(WEBHOOK, "validating-webhook-certificate", Kind::Text, "", InForce, "File with the certificate of the webhook, in PEM form; read again when it changes."),
    flag(WEBHOOK, "validating-webhook-key", Kind::Text, "", InForce, "File with the key of the webhook, in PEM form."),
    flag(WEBHOOK, "validating-webhook-secret", Kind::NamespacedName, "", NO_CLUSTER, "Secret in which the controller keeps a CA and a certificate of its own for the webhook, where no files are given.").in_cluster("", InForce),
    flag(WEBHOOK, "validating-webhook-configuration", Kind::Text, "", NO_CLUSTER, "ValidatingWebhookConfiguration that gets this CA, and whose Service the certificate is for.").in_cluster("", InForce),
    flag(WEBHOOK, "disable-full-test", Kind::Switch, "false", Nothing("a review translates only what the Ingress meets"), "Test only the reviewed Ingress instead of the whole configuration."),

    flag(METRICS, "enable-metrics", Kind::Switch, "true", InForce, "Collect metrics of requests by Ingress.").in_cluster("false", InForce),
    flag(METRICS, "metrics-per-host", Kind::Switch, "true", InForce, "Give metrics of requests the label host."),
    flag(METRICS, "metrics-per-undefined-host", Kind::Switch, "false", InForce, "Also for hosts that no Ingress names."),
    flag(METRICS, "report-status-classes", Kind::Switch, "false", InForce, "Count 2xx instead of 200."),
    flag(METRICS, "time-buckets", Kind::Numbers, "0.005,0.01,0.025,0.05,0.1,0.25,0.5,1,2.5,5,10", InForce, "Buckets of durations, in seconds."),
    flag(METRICS, "length-buckets", Kind::Numbers, "10,20,30,40,50,60,70,80,90,100", InForce, "Buckets of lengths, in bytes."),
    flag(METRICS, "size-buckets", Kind::Numbers, "10,100,1000,10000,100000,1000000,10000000", InForce, "Buckets of sizes, in bytes."),
    flag(METRICS, "bucket-factor", Kind::Number, "0", Nothing("there are no native histograms in the text that is served"), "Growth of the buckets of native histograms; 0 for none."),
    flag(METRICS, "max-buckets", Kind::Integer, "100", Nothing("there are no native histograms in the text that is served"), "Most buckets of a native histogram."),
    flag(METRICS, "exclude-socket-metrics", Kind::Text, "", InForce, "Metrics of requests, divided by commas, that are left out."),
    flag(METRICS, "monitor-max-batch-size", Kind::Integer, "10000", Nothing("metrics are counted in place, not sent in batches"), "Most samples nginx sends at once."),

    flag(LIFECYCLE, "version", Kind::Switch, "false", InForce, "Print the version and end."),
    flag(LIFECYCLE, "shutdown-grace-period", Kind::Seconds, "0", InForce, "Seconds between a signal to end and the end of accepting.").in_cluster("10", InForce),
    flag(LIFECYCLE, "post-shutdown-grace-period", Kind::Seconds, "10", Nothing("the process ends when its last request has ended"), "Seconds to wait after nginx has ended."),
    flag(LIFECYCLE, "sync-period", Kind::Duration, "0s", NO_CLUSTER, "Time after which all objects are listed anew.").in_cluster("0s", RESUMED),
    flag(LIFECYCLE, "sync-rate-limit", Kind::Number, "0.3", NO_RELOAD, "Most rebuilds of the configuration per second."),
    flag(LIFECYCLE, "dynamic-configuration-retries", Kind::Integer, "15", NO_NGINX, "How often a change is pushed to nginx."),
    flag(LIFECYCLE, "disable-sync-events", Kind::Switch, "false", NO_CLUSTER, "Create no Sync Events.").in_cluster("false", InForce),
    flag(LIFECYCLE, "apiserver-host", Kind::Text, "", NO_CLUSTER, "Address of the API server.").in_cluster("", InForce),
    flag(LIFECYCLE, "certificate-authority", Kind::Text, "", NO_CLUSTER, "File with the certificate authority of --apiserver-host.").in_cluster("", InForce),
    flag(LIFECYCLE, "kubeconfig", Kind::Text, "", NO_CLUSTER, "File that says how to reach the API server.").in_cluster("", InForce),
    flag(LIFECYCLE, "maxmind-edition-ids", Kind::Text, "GeoLite2-City,GeoLite2-ASN", NotYet, "Geo databases to load."),
    flag(LIFECYCLE, "maxmind-license-key", Kind::Secret, "", NotYet, "Key for downloading geo databases."),
    flag(LIFECYCLE, "maxmind-mirror", Kind::Text, "", NotYet, "Where geo databases are downloaded from."),
    flag(LIFECYCLE, "maxmind-retries-count", Kind::Integer, "1", NotYet, "How often the download is tried."),
    flag(LIFECYCLE, "maxmind-retries-timeout", Kind::Duration, "0s", NotYet, "Pause between two tries."),

    flag(LOG, "v", Kind::Integer, "0", InForce, "How much the controller logs: 3 for debug, 5 for trace, which release builds leave out. RUST_LOG has precedence."),
    flag(LOG, "vmodule", Kind::Text, "", OWN_LOG, "Levels by source file of klog."),
    flag(LOG, "logtostderr", Kind::Switch, "true", OWN_LOG, "Log to stderr instead of files."),
    flag(LOG, "alsologtostderr", Kind::Switch, "false", OWN_LOG, "Log to stderr as well as to files."),
    flag(LOG, "stderrthreshold", Kind::Text, "2", OWN_LOG, "What goes to stderr as well as to files."),
    flag(LOG, "legacy_stderr_threshold_behavior", Kind::Switch, "true", OWN_LOG, "Ignore --stderrthreshold when logging to stderr."),
    flag(LOG, "log_backtrace_at", Kind::Text, ":0", OWN_LOG, "Line of source whose messages get a stack trace."),
    flag(LOG, "log_dir", Kind::Text, "", OWN_LOG, "Folder for log files."),
    flag(LOG, "log_file", Kind::Text, "", OWN_LOG, "Log file."),
    flag(LOG, "log_file_max_size", Kind::Integer, "1800", OWN_LOG, "Size limit of the log file, in megabytes."),
    flag(LOG, "add_dir_header", Kind::Switch, "false", OWN_LOG, "Name the folder of the source file in each message."),
    flag(LOG, "one_output", Kind::Switch, "false", OWN_LOG, "Write each message to the file of its level only."),
    flag(LOG, "skip_headers", Kind::Switch, "false", OWN_LOG, "Leave out time and level."),
    flag(LOG, "skip_log_headers", Kind::Switch, "false", OWN_LOG, "Leave out the heading of log files."),
];
