//! The vocabulary of Portcullis: a complete, valid description of what to serve, and pure decisions over request heads.
//!
//! | Word | Meaning |
//! | --- | --- |
//! | [`Snapshot`] | everything to serve at one moment: virtual hosts, clusters, certificates, settings |
//! | [`VirtualHost`] | one host name, or pattern of names, with its routes |
//! | [`Route`] | one path of a virtual host: where requests go and by which policy |
//! | [`RoutePolicy`] | what annotations decide for a route, one field per group |
//! | [`Cluster`] | a Service port to send to; its [`Endpoint`]s change without touching routes |
//! | [`UpstreamTls`] | how TLS is spoken to an upstream: names, authorities, client certificate |
//! | [`ClusterPolicy`] | how the endpoints of a cluster share its requests |
//! | [`Certificate`] | a checked key pair and the names it is valid for |
//! | [`Settings`] | what holds for the whole controller (nginx: `http` block, ConfigMap) |
//! | [`StreamService`] | a TCP or UDP port that is passed on to a Service as it is |
//! | [`Pattern`] | a checked, linear-time regular expression |
//! | [`Template`] | a checked text with nginx variables and capture groups |
//! | [`CanonicalPath`] | the one reading of a request path that every decision uses |
//! | [`Authority`] | the one reading of a request's host |
//!
//! Everything that can be wrong is refused by a constructor, so that compiling a snapshot cannot fail.

mod affinity;
mod authority;
mod balance;
mod certificate;
mod client;
mod cluster;
mod forwarding;
mod host;
mod l4;
mod path;
mod pattern;
pub mod policy;
mod process;
mod reason;
mod route;
mod settings;
mod settings_upstream;
mod snapshot;
mod template;
mod tls;
mod units;
mod upstream_tls;
mod variable;

pub use affinity::{Affinity, AffinityMode, SameSite, SessionCookie};
pub use authority::{Authority, InvalidAuthority};
pub use balance::{Balance, ClusterPolicy};
pub use certificate::{
    Certificate, CertificateChoice, CertificateOrigin, CertificateSet, InvalidCertificate, KeyKind, SecretName,
};
pub use client::{ClientSettings, HeaderBuffers};
pub use cluster::{Cluster, ClusterId, DnsTarget, Endpoint, Endpoints, Protocol};
pub use forwarding::{ForwardedTrust, Peer};
pub use host::{HostAlias, HostMatch, HostName, InvalidHost};
pub use l4::{
    InvalidStreamTemplate, L4Protocol, StreamPart, StreamPort, StreamService, StreamSettings, StreamTemplate,
    StreamVariable,
};
pub use path::{CanonicalPath, InvalidPath, escape_path, remove_dot_segments};
pub use pattern::{InvalidPattern, Pattern, PatternCache, PatternSyntax};
pub use policy::RoutePolicy;
pub use process::ProcessSettings;
pub use reason::Reason;
pub use route::{Backend, PathMatch, PathType, Route, RouteSource};
pub use settings::{AccessLogSettings, HeaderNameRules, Hsts, LogEscape, RedirectCode, Settings};
pub use settings_upstream::UpstreamKeepalive;
pub use snapshot::{Alias, HostAction, PathMode, Snapshot, VirtualHost};
pub use template::{InvalidTemplate, Part, Template};
pub use tls::{
    CipherList, GroupList, HostTls, InvalidTicketKey, SessionTickets, TicketKey, Tls12Cipher, TlsGroup, TlsSettings,
    TlsVersions,
};
pub use units::{ByteSize, InvalidByteSize};
pub use upstream_tls::{InvalidUpstreamTls, UpstreamTls, UpstreamTlsParts, Verification};
pub use variable::{Known, Variable};
