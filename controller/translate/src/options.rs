//! What command line flags decide about translation.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use portcullis_model::Certificate;

use crate::{LabelSelector, ObjectKey};

/// Flags that translation depends on, as plain values. Names and defaults are those of ingress-nginx.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// `--controller-class`, default `k8s.io/ingress-nginx`.
    pub controller_class: String,
    /// `--ingress-class`, default `nginx`.
    pub ingress_class: String,
    /// `--ingress-class-by-name`.
    pub ingress_class_by_name: bool,
    /// `--watch-ingress-without-class`.
    pub watch_ingress_without_class: bool,
    /// `--watch-namespace`; empty for all.
    pub watch_namespace: String,
    /// `--watch-namespace-selector`: Ingresses of namespaces with other labels are not served; none for all.
    pub namespace_selector: Option<LabelSelector>,
    /// `--annotations-prefix`, default `nginx.ingress.kubernetes.io`.
    pub annotations_prefix: String,
    /// `--enable-annotation-validation`, default on. Types are always checked; this adds the character rules of ingress-nginx.
    pub annotation_validation: bool,
    /// `--deep-inspect`, default on.
    pub deep_inspect: bool,
    /// `--configmap`.
    pub config_map: Option<ObjectKey>,
    /// `--tcp-services-configmap`.
    pub tcp_services: Option<ObjectKey>,
    /// `--udp-services-configmap`.
    pub udp_services: Option<ObjectKey>,
    /// Ports that no TCP or UDP service may have, and what has them.
    pub reserved_ports: BTreeMap<u16, String>,
    /// `--default-backend-service`: its first port.
    pub default_backend_service: Option<ObjectKey>,
    /// `--default-ssl-certificate`.
    pub default_ssl_certificate: Option<ObjectKey>,
    /// `--disable-catch-all`.
    pub disable_catch_all: bool,
    /// `--disable-svc-external-name`.
    pub disable_external_name: bool,
    /// `--health-check-path`, default `/healthz`.
    pub health_check_path: String,
    /// Whether endpoints on loopback addresses are used (files: yes; cluster: no).
    pub loopback_endpoints: bool,
    /// `--endpoint`: addresses that take the place of a Service's endpoints.
    pub endpoint_overrides: Vec<EndpointOverride>,
    /// Answers TLS where no other certificate fits; made at start.
    pub fallback_certificate: Arc<Certificate>,
}

/// `--endpoint NAMESPACE/SERVICE[:PORT]=HOST:PORT`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EndpointOverride {
    /// The Service; it need not be among the objects.
    pub service: ObjectKey,
    /// Port number or name as Ingresses write it; every port where none is given.
    pub port: Option<String>,
    /// Where requests go.
    pub address: SocketAddr,
}

impl Options {
    /// The defaults of ingress-nginx, for a controller that reads files.
    #[must_use]
    pub fn new(fallback_certificate: Arc<Certificate>) -> Self {
        Self {
            controller_class: "k8s.io/ingress-nginx".to_owned(),
            ingress_class: "nginx".to_owned(),
            ingress_class_by_name: false,
            watch_ingress_without_class: false,
            watch_namespace: String::new(),
            namespace_selector: None,
            annotations_prefix: "nginx.ingress.kubernetes.io".to_owned(),
            annotation_validation: true,
            deep_inspect: true,
            config_map: None,
            tcp_services: None,
            udp_services: None,
            reserved_ports: BTreeMap::new(),
            default_backend_service: None,
            default_ssl_certificate: None,
            disable_catch_all: false,
            disable_external_name: false,
            health_check_path: "/healthz".to_owned(),
            loopback_endpoints: true,
            endpoint_overrides: Vec::new(),
            fallback_certificate,
        }
    }
}
