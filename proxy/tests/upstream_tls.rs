//! TLS to upstreams as `proxy-ssl-*` says: who is trusted, who is shown, what is spoken, and that settings never mix.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::io::{Read, Write};
use std::sync::Arc;

use portcullis_model::{
    Certificate, CipherList, Protocol, Reason, RoutePolicy, SecretName, TlsVersions, UpstreamTls, UpstreamTlsParts,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use support::client::Client;
use support::http2::{After, Call, Http2Client, Http2Origin};
use support::origin::Origin;
use support::{Plan, runtime};

type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// An authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        Self(CertifiedIssuer::self_signed(ca_params("root"), KeyPair::generate().unwrap()).unwrap())
    }

    fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A certificate for `name`, with so many intermediate ones between it and the authority.
    fn issue(&self, name: &str, intermediates: usize) -> Chain {
        let mut chain = Vec::new();
        let mut issuers: Vec<CertifiedIssuer<'static, KeyPair>> = Vec::new();
        for number in 0..intermediates {
            let params = ca_params(&format!("intermediate {number}"));
            let issuer = issuers.last().unwrap_or(&self.0);
            let issued = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), issuer).unwrap();
            chain.insert(0, issued.der().clone());
            issuers.push(issued);
        }
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, issuers.last().unwrap_or(&self.0)).unwrap();
        chain.insert(0, leaf.der().clone());
        (chain, PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())))
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params
}

/// A TLS server with this certificate, which asks for one of `clients` where that is given.
fn server((chain, key): Chain, clients: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    builder.with_single_cert(chain, key).unwrap()
}

/// Answers with what it learned in the handshake: server name, version, whether there was a client certificate.
fn telling(config: ServerConfig) -> Origin {
    let config = Arc::new(config);
    Origin::serving(move |stream, number, _| {
        let mut session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::Stream::new(&mut session, stream);
        let mut octets = [0; 4096];
        while stream.read(&mut octets).is_ok_and(|count| count > 0) {
            let name = stream.conn.server_name().unwrap_or("-").to_owned();
            let version = stream.conn.protocol_version().unwrap();
            let suite = stream.conn.negotiated_cipher_suite().unwrap().suite();
            let client = stream.conn.peer_certificates().is_some();
            let text = format!("{number} {name} {version:?} {suite:?} {client}");
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

fn parts() -> UpstreamTlsParts {
    UpstreamTlsParts {
        source: SecretName { namespace: "shop".into(), name: "ca".into() },
        client: None,
        authorities: Vec::new(),
        verify: false,
        depth: 1,
        name: ServerName::try_from("web.shop.svc").unwrap(),
        send_name: false,
        versions: TlsVersions::Tls12,
        ciphers: CipherList::default(),
    }
}

fn policy(protocol: Protocol, parts: UpstreamTlsParts) -> RoutePolicy {
    let mut policy = RoutePolicy::default();
    policy.upstream.protocol = protocol;
    policy.upstream.tls = Some(Arc::new(UpstreamTls::new(parts).unwrap()));
    policy
}

fn pair((chain, key): Chain) -> Arc<Certificate> {
    Arc::new(Certificate::new(chain, &key, Vec::new(), 0, None).unwrap())
}

/// Status and body of an answer over these settings.
fn ask(origin: &Origin, parts: UpstreamTlsParts) -> (u16, String) {
    let site = Plan::with_policy(&[origin.address], policy(Protocol::Https, parts)).start();
    let response = Client::connect(site.http).get("/");
    if response.status == 502 {
        assert!(site.totals().reason(Reason::UpstreamTls) == 1);
        return (502, String::new());
    }
    (response.status, response.text())
}

#[test]
fn an_upstream_is_verified_by_authority_name_and_depth() {
    let (authority, other) = (Authority::new(), Authority::new());
    let trusting =
        |authority: &Authority| UpstreamTlsParts { authorities: vec![authority.der()], verify: true, ..parts() };
    let named = |name: &'static str, parts| UpstreamTlsParts { name: ServerName::try_from(name).unwrap(), ..parts };
    let direct = telling(server(authority.issue("web.shop.svc", 0), None));
    for (settings, want) in [
        (trusting(&authority), 200),
        (trusting(&other), 502),
        (named("upstream_balancer", trusting(&authority)), 502),
        (named("127.0.0.1", trusting(&authority)), 502),
        (UpstreamTlsParts { verify: false, ..named("upstream_balancer", trusting(&other)) }, 200),
        (parts(), 200),
    ] {
        assert_eq!(ask(&direct, settings).0, want);
    }
    for (intermediates, depth, want) in [(1, 1, 200), (2, 1, 502), (2, 2, 200), (1, 0, 502)] {
        let origin = telling(server(authority.issue("web.shop.svc", intermediates), None));
        let settings = UpstreamTlsParts { depth, ..trusting(&authority) };
        assert_eq!(ask(&origin, settings).0, want, "{intermediates} {depth}");
    }
}

#[test]
fn the_client_certificate_is_shown_where_it_is_asked_for() {
    let authority = Authority::new();
    let strict = telling(server(authority.issue("web.shop.svc", 0), Some(&authority)));
    let client = Some(pair(authority.issue("client", 0)));
    let (status, text) = ask(&strict, UpstreamTlsParts { client: client.clone(), ..parts() });
    assert_eq!((status, text.ends_with(" true")), (200, true), "{text}");
    let stranger = Some(pair(Authority::new().issue("client", 0)));
    for client in [None, stranger] {
        let site =
            Plan::with_policy(&[strict.address], policy(Protocol::Https, UpstreamTlsParts { client, ..parts() }));
        assert_eq!(Client::connect(site.start().http).get("/").status, 502);
    }
    let easy = telling(server(authority.issue("web.shop.svc", 0), None));
    assert!(ask(&easy, UpstreamTlsParts { client, ..parts() }).1.ends_with(" false"));
}

#[test]
fn names_versions_and_cipher_suites_are_those_of_the_settings() {
    let origin = telling(server(Authority::new().issue("web.shop.svc", 0), None));
    for (settings, want) in [
        (parts(), "- TLSv1_2"),
        (UpstreamTlsParts { send_name: true, ..parts() }, "web.shop.svc TLSv1_2"),
        (UpstreamTlsParts { versions: TlsVersions::Both, ..parts() }, "- TLSv1_3"),
        (
            UpstreamTlsParts { ciphers: CipherList::parse("HIGH:!AES").0.unwrap(), ..parts() },
            "- TLSv1_2 TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        ),
    ] {
        let (status, text) = ask(&origin, settings);
        assert_eq!(status, 200);
        assert!(text.split_once(' ').unwrap().1.starts_with(want), "{text}");
    }
}

#[test]
fn a_connection_is_never_used_with_other_settings() {
    let authority = Authority::new();
    let origin = telling(server(authority.issue("web.shop.svc", 0), None));
    let plain = policy(Protocol::Https, parts());
    let same = RoutePolicy { upstream: plain.upstream.clone(), ..RoutePolicy::default() };
    let other = policy(Protocol::Https, UpstreamTlsParts { send_name: true, ..parts() });
    let mut plan = Plan::new(&[origin.address]);
    plan.config.workers = std::num::NonZeroUsize::MIN;
    let routes = [("/one", plain), ("/two", same), ("/other", other), ("/none", support::over_tls())];
    plan.hosts = vec![support::host(
        "a.example",
        routes.into_iter().map(|(path, policy)| support::route(path, "web", policy)).collect(),
    )];
    let mut site = plan.clone().start();
    let mut client = Client::connect(site.http);
    let mut connection = |target| client.get(target).text().split(' ').next().unwrap().to_owned();
    assert_eq!(
        ["/one", "/two", "/other", "/one", "/none", "/other"].map(&mut connection),
        ["0", "0", "1", "0", "2", "1"]
    );
    // Another certificate in the Secret, and the routes have other settings.
    let client_certificate = Some(pair(authority.issue("client", 0)));
    let rotated = policy(Protocol::Https, UpstreamTlsParts { client: client_certificate, ..parts() });
    plan.hosts = vec![support::host("a.example", vec![support::route("/", "web", rotated)])];
    site.publish(&plan);
    assert_eq!(["/one", "/one"].map(&mut connection), ["3", "3"]);
}

#[test]
fn grpc_over_tls_asks_for_http2_and_is_verified_alike() {
    let authority = Authority::new();
    let mut config = server(authority.issue("web.shop.svc", 0), Some(&authority));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let answer = async |call: Call| call.answer(&["hello"], &[("grpc-status", "0")]).await;
    let origin = Http2Origin::start(h2::server::Builder::new(), Some(Arc::new(config)), |_| After::GoOn, answer);
    let client = Some(pair(authority.issue("client", 0)));
    let trusted = UpstreamTlsParts { authorities: vec![authority.der()], verify: true, client, ..parts() };
    let wrong = UpstreamTlsParts { name: ServerName::try_from("other").unwrap(), ..trusted.clone() };
    for (settings, want) in [(trusted, 200), (wrong, 502), (parts(), 502)] {
        let site = Plan::with_policy(&[origin.address], policy(Protocol::Grpcs, settings)).start();
        tokio::task::LocalSet::new().block_on(&runtime(), async {
            let answer = Http2Client::connect(site.http).await.call("/a.A/M", "x").await;
            assert_eq!(answer.status, want);
            assert!(want != 200 || answer.grpc_status().as_deref() == Some("0"));
        });
    }
    assert_eq!(origin.heads()[0].1.uri().scheme_str(), Some("https"));
}
