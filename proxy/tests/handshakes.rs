//! TLS handshakes by the published settings, over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use portcullis_model::{
    CipherList, GroupList, HostTls, SessionTickets, Settings, TicketKey, TlsSettings, TlsVersions, VirtualHost,
};
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::version::{TLS12, TLS13};
use support::origin::Origin;
use support::visitor::Offer;
use support::{Plan, Site, certificate, host, route, rsa_certificate};

const AES128: &str = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
const AES256: &str = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
const RSA_AES128: &str = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";

fn ciphers(text: &str) -> CipherList {
    CipherList::parse(text).0.unwrap()
}

/// A site whose settings of TLS are these.
fn plan(origin: &Origin, tls: TlsSettings) -> Plan {
    let mut plan = Plan::new(&[origin.address]);
    plan.settings = Settings { tls: Arc::new(tls), ..Settings::default() };
    plan
}

fn site(tls: TlsSettings) -> (Origin, Site) {
    let origin = Origin::saying("ok");
    let site = plan(&origin, tls).start();
    (origin, site)
}

/// A host with settings of its own.
fn with_own(name: &str, own: HostTls) -> VirtualHost {
    let route = route("/", "web", Default::default());
    VirtualHost { handshake: Some(Arc::new(own)), ..host(name, vec![route]) }
}

#[test]
fn what_is_published_holds_for_the_next_handshake_and_leaves_connections_alone() {
    let origin = Origin::saying("ok");
    let (old, new) = (certificate(&["a.example"]), certificate(&["a.example"]));
    let tls = TlsSettings { versions: TlsVersions::Tls12, ciphers: ciphers("AES128"), ..TlsSettings::default() };
    let mut plan = plan(&origin, tls);
    plan.certificates = vec![("a.example", Arc::clone(&old))];
    let mut site = plan.clone().start();
    let (tls12, tls13) = (Offer::version(&TLS12).visitor(), Offer::version(&TLS13).visitor());
    let mut open = tls12.visit(site.https, "a.example").unwrap();
    assert_eq!((open.leaf(), open.suite().as_str()), (&*old.key().cert[0], AES128));
    assert!(open.get().starts_with("HTTP/1.1 200 "));
    assert_eq!(tls13.alert(site.https, "a.example"), "ProtocolVersion");

    plan.certificates = vec![("a.example", Arc::clone(&new))];
    let tls = TlsSettings { versions: TlsVersions::Both, ciphers: ciphers("AES256"), ..TlsSettings::default() };
    plan.settings.tls = Arc::new(tls);
    site.publish(&plan);
    let next = Offer::version(&TLS12).visitor().visit(site.https, "a.example").unwrap();
    assert_eq!((next.leaf(), next.suite().as_str()), (&*new.key().cert[0], AES256));
    assert!(tls13.visit(site.https, "a.example").is_ok());

    plan.settings.tls = Arc::new(TlsSettings { versions: TlsVersions::Tls13, ..TlsSettings::default() });
    site.publish(&plan);
    assert_eq!(Offer::version(&TLS12).visitor().alert(site.https, "a.example"), "ProtocolVersion");
    assert!(tls13.visit(site.https, "a.example").is_ok());
    assert!(open.get().starts_with("HTTP/1.1 200 "), "the old connection lives on");
    assert_eq!((open.leaf(), open.suite().as_str()), (&*old.key().cert[0], AES128));
}

#[test]
fn a_host_has_ciphers_of_its_own_under_each_of_its_names() {
    let origin = Origin::saying("ok");
    let mut plan = Plan::new(&[origin.address]);
    let own = HostTls { ciphers: Some(ciphers("AES256")), server_order: None };
    plan.hosts.push(with_own("strict.example", own.clone()));
    plan.hosts.push(with_own("*.strict.example", own));
    let mut site = plan.clone().start();
    let weak = || Offer::tls12(&[AES128]).visitor();
    for (name, served) in [
        ("strict.example", false),
        ("STRICT.example", false),
        ("x.strict.example", false),
        ("a.example", true),
        ("y.x.strict.example", true),
        ("unknown.example", true),
    ] {
        assert_eq!(weak().visit(site.https, name).is_ok(), served, "{name}");
        assert!(Offer::version(&TLS12).visitor().visit(site.https, name).is_ok(), "{name}");
        assert!(Offer::version(&TLS13).visitor().visit(site.https, name).is_ok(), "TLS 1.3 is not affected: {name}");
    }
    assert_eq!(weak().alert(site.https, "strict.example"), "HandshakeFailure");
    plan.hosts.truncate(1);
    site.publish(&plan);
    assert!(weak().visit(site.https, "strict.example").is_ok());
}

#[test]
fn the_order_of_the_server_decides_unless_a_host_says_otherwise() {
    let origin = Origin::saying("ok");
    let tls = TlsSettings { ciphers: ciphers("AES256:AES128"), ..TlsSettings::default() };
    let mut plan = plan(&origin, tls);
    plan.hosts.push(with_own("client.example", HostTls { ciphers: None, server_order: Some(false) }));
    let site = plan.start();
    let visitor = Offer::tls12(&[AES128, AES256]).visitor();
    for (name, want) in [("a.example", AES256), ("client.example", AES128)] {
        assert_eq!(visitor.visit(site.https, name).unwrap().suite(), want, "{name}");
    }
}

#[test]
fn names_of_no_host_are_refused_where_that_is_asked_for() {
    let (_origin, site) = site(TlsSettings { reject_unknown_names: true, ..TlsSettings::default() });
    let visitor = Offer::default().visitor();
    assert!(visitor.visit(site.https, "a.example").unwrap().get().starts_with("HTTP/1.1 200 "));
    assert_eq!(visitor.alert(site.https, "b.example"), "UnrecognisedName");
    let nameless = Offer { sni: false, ..Offer::default() };
    assert_eq!(nameless.visitor().alert(site.https, "a.example"), "UnrecognisedName");
    let (_origin, site) = self::site(TlsSettings::default());
    assert!(visitor.visit(site.https, "b.example").is_ok());
}

#[test]
fn groups_are_those_of_the_list() {
    let groups = GroupList::parse("P-384").0.unwrap();
    let (_origin, site) = site(TlsSettings { groups, ..TlsSettings::default() });
    let visit = Offer::default().visitor().visit(site.https, "a.example").unwrap();
    assert_eq!(visit.terms().2, "secp384r1");
    let mut offer = Offer::default();
    offer.provider.kx_groups = vec![kx_group::X25519];
    assert_eq!(offer.visitor().alert(site.https, "a.example"), "HandshakeFailure");
    let (_origin, site) = self::site(TlsSettings::default());
    for (group, want) in [
        (kx_group::X25519MLKEM768, "X25519MLKEM768"),
        (kx_group::X25519, "X25519"),
        (kx_group::SECP256R1, "secp256r1"),
        (kx_group::SECP384R1, "secp384r1"),
    ] {
        let mut offer = Offer::default();
        offer.provider.kx_groups = vec![group];
        assert_eq!(offer.visitor().visit(site.https, "a.example").unwrap().terms().2, want);
    }
}

#[test]
fn http2_is_offered_unless_it_is_switched_off() {
    let origin = Origin::saying("ok");
    let offer = |alpn: &[&[u8]]| {
        let alpn = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Offer { alpn, ..Offer::default() }.visitor()
    };
    let mut plan = Plan::new(&[origin.address]);
    let mut site = plan.clone().start();
    let both = offer(&[b"h2", b"http/1.1"]);
    assert_eq!(both.visit(site.https, "a.example").unwrap().alpn(), Some(&b"h2"[..]));
    plan.settings.http2 = false;
    site.publish(&plan);
    let mut visit = both.visit(site.https, "a.example").unwrap();
    assert_eq!(visit.alpn(), Some(&b"http/1.1"[..]));
    assert!(visit.get().starts_with("HTTP/1.1 200 "));
    assert_eq!(offer(&[b"h2"]).alert(site.https, "a.example"), "NoApplicationProtocol");
}

#[test]
fn each_client_gets_a_certificate_that_it_can_check() {
    let origin = Origin::saying("ok");
    let mut plan = Plan::new(&[origin.address]);
    let (ecdsa, rsa) = (certificate(&["a.example"]), rsa_certificate(&["a.example"]));
    plan.certificates = vec![("a.example", Arc::clone(&rsa)), ("a.example", Arc::clone(&ecdsa))];
    let site = plan.start();
    let with = |schemes: &[SignatureScheme]| Offer { schemes: schemes.to_vec(), ..Offer::default() };
    for (what, offer, want) in [
        ("everything", Offer::default(), &ecdsa),
        ("TLS 1.2", Offer::version(&TLS12), &ecdsa),
        ("RSA signatures", with(&[SignatureScheme::RSA_PSS_SHA256]), &rsa),
        ("another curve", with(&[SignatureScheme::ECDSA_NISTP384_SHA384, SignatureScheme::RSA_PSS_SHA256]), &rsa),
        ("a suite with RSA", Offer::tls12(&[RSA_AES128]), &rsa),
        ("a suite with ECDSA", Offer::tls12(&[AES128]), &ecdsa),
    ] {
        let visit = offer.visitor().visit(site.https, "a.example").unwrap();
        assert_eq!(visit.leaf(), &*want.key().cert[0], "{what}");
    }
    let none = with(&[SignatureScheme::ED25519]).visitor();
    assert_eq!(none.alert(site.https, "a.example"), "HandshakeFailure");
}

#[test]
fn sessions_are_resumed_while_the_settings_stay() {
    for version in [&TLS12, &TLS13] {
        let origin = Origin::saying("ok");
        let mut plan = plan(&origin, TlsSettings::default());
        plan.hosts.push(host("b.example", vec![route("/", "web", Default::default())]));
        let mut site = plan.clone().start();
        let visitor = Offer::version(version).visitor();
        let resumes = |site: &Site| visitor.resumes(site.https, "a.example");
        assert!(!resumes(&site) && resumes(&site), "{version:?}");
        // Another host with settings of its own changes nothing for this one.
        plan.hosts.push(with_own("own.example", HostTls { ciphers: None, server_order: Some(false) }));
        site.publish(&plan);
        assert!(resumes(&site), "{version:?}");
        plan.settings.tls =
            Arc::new(TlsSettings { session_timeout: Duration::from_secs(601), ..TlsSettings::default() });
        site.publish(&plan);
        assert!(!resumes(&site) && resumes(&site), "{version:?}");
        plan.settings.tls = Arc::new(TlsSettings { session_cache: false, ..TlsSettings::default() });
        site.publish(&plan);
        assert!(!resumes(&site) && !resumes(&site), "{version:?}");
    }
}

#[test]
fn sessions_end_with_their_time() {
    for tickets in [SessionTickets::Off, SessionTickets::OwnKeys] {
        let session_timeout = Duration::from_secs(1);
        let (_origin, site) = site(TlsSettings { session_timeout, tickets, ..TlsSettings::default() });
        for version in [&TLS12, &TLS13] {
            let visitor = Offer::version(version).visitor();
            visitor.resumes(site.https, "a.example");
            std::thread::sleep(Duration::from_millis(1100));
            assert!(!visitor.resumes(site.https, "a.example"), "{version:?}");
        }
    }
}

#[test]
fn replicas_resume_sessions_of_each_other_only_with_a_shared_key() {
    let shared = |octet| SessionTickets::SharedKey(TicketKey::new(&[octet; 48]).unwrap());
    let replica = |tickets| site(TlsSettings { session_cache: false, tickets, ..TlsSettings::default() });
    for version in [&TLS12, &TLS13] {
        for (one, other, resumed) in [
            (shared(1), shared(1), true),
            (shared(1), shared(2), false),
            (SessionTickets::OwnKeys, SessionTickets::OwnKeys, false),
            (SessionTickets::Off, SessionTickets::Off, false),
        ] {
            let (_one_origin, first) = replica(one.clone());
            let (_other_origin, second) = replica(other.clone());
            let visitor = Offer::version(version).visitor();
            assert!(!visitor.resumes(first.https, "a.example"));
            assert_eq!(visitor.resumes(first.https, "a.example"), one != SessionTickets::Off, "{version:?} {one:?}");
            assert_eq!(visitor.resumes(second.https, "a.example"), resumed, "{version:?} {one:?} {other:?}");
        }
    }
}
