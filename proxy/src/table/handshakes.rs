//! What a TLS handshake is decided by, before a certificate is chosen.

use std::sync::Arc;

use portcullis_model::{HostTls, Snapshot, TlsSettings};

use super::{HostChoice, RoutingTable, server_name};

/// Settings of handshakes of all hosts: the same one in the next table where nothing of it changes.
#[derive(Debug, Eq, PartialEq)]
pub struct HandshakePlan {
    settings: Arc<TlsSettings>,
    http2: bool,
    own: Box<[Arc<HostTls>]>,
}

/// How a handshake goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HandshakeChoice<'t> {
    /// With the settings of all hosts, but for these.
    Serve(Option<&'t HostTls>),
    /// Not at all: no host has the name, and handshakes for such names are to end (`ssl-reject-handshake`).
    Refuse,
}

impl HandshakePlan {
    pub(super) fn new(snapshot: &Snapshot, previous: Option<&Arc<Self>>) -> Arc<Self> {
        let mut own: Vec<_> = snapshot.hosts.values().filter_map(|host| host.handshake.clone()).collect();
        own.sort();
        own.dedup();
        let settings = &snapshot.settings;
        let plan = Self { settings: Arc::clone(&settings.tls), http2: settings.http2, own: own.into() };
        previous.filter(|previous| ***previous == plan).map_or_else(|| Arc::new(plan), Arc::clone)
    }

    /// What the ConfigMap decides.
    #[must_use]
    pub fn settings(&self) -> &TlsSettings {
        &self.settings
    }

    /// Whether HTTP/2 is offered.
    #[must_use]
    pub fn http2(&self) -> bool {
        self.http2
    }

    /// What hosts change, each once, sorted.
    #[must_use]
    pub fn own(&self) -> &[Arc<HostTls>] {
        &self.own
    }

    fn depends_on_name(&self) -> bool {
        self.settings.reject_unknown_names || !self.own.is_empty()
    }
}

impl RoutingTable {
    /// The settings of handshakes.
    #[must_use]
    pub fn handshakes(&self) -> &Arc<HandshakePlan> {
        &self.handshakes
    }

    /// How a handshake with this server name goes on, in any case, with or without a trailing dot: as the virtual host of that
    /// name says. None, and names that no host has, are the default server's.
    #[must_use]
    pub fn handshake(&self, sni: Option<&str>) -> HandshakeChoice<'_> {
        if !self.handshakes.depends_on_name() {
            return HandshakeChoice::Serve(None);
        }
        let mut buffer = server_name::buffer();
        let name = sni.and_then(|sni| server_name::canonical(sni, &mut buffer)).unwrap_or_default();
        let found = self.host(name);
        if found.choice == HostChoice::Default && self.handshakes.settings.reject_unknown_names {
            return HandshakeChoice::Refuse;
        }
        HandshakeChoice::Serve(found.host.source().handshake.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use portcullis_model::{CipherList, PathMode, Settings, VirtualHost};

    use super::super::testing::{snapshot, virtual_host, with_aliases};
    use super::HandshakeChoice::{Refuse, Serve};
    use super::*;
    use crate::upstream::UpstreamRegistry;

    fn own(ciphers: &str) -> HostTls {
        HostTls { ciphers: CipherList::parse(ciphers).0, server_order: None }
    }

    fn host(name: &str, own: Option<HostTls>) -> Arc<VirtualHost> {
        Arc::new(VirtualHost { handshake: own.map(Arc::new), ..virtual_host(name, PathMode::Plain, &[]) })
    }

    fn with(hosts: Vec<Arc<VirtualHost>>, reject_unknown_names: bool) -> Snapshot {
        let tls = Arc::new(TlsSettings { reject_unknown_names, ..TlsSettings::default() });
        let hosts = hosts.into_iter().map(|host| (host.host.clone(), host)).collect();
        Snapshot { hosts, settings: Arc::new(Settings { tls, ..Settings::default() }), ..snapshot(&[]) }
    }

    fn compile(snapshot: &Snapshot) -> RoutingTable {
        RoutingTable::compile(snapshot, &UpstreamRegistry::default(), None)
    }

    #[test]
    fn a_handshake_is_that_of_the_host_with_its_name() {
        let (strict, default) = (own("AES256"), own("AES128"));
        let aliased = VirtualHost::clone(&host("a.example", Some(strict.clone())));
        let hosts = vec![
            with_aliases(aliased, &["alias.example"]),
            host("*.w.example", Some(strict.clone())),
            host("b.example", None),
            host("", Some(default.clone())),
        ];
        let table = compile(&with(hosts, false));
        let (strict, default) = (Serve(Some(&strict)), Serve(Some(&default)));
        for (sni, want) in [
            (Some("a.example"), strict),
            (Some("A.Example."), strict),
            (Some("alias.example"), strict),
            (Some("x.w.example"), strict),
            (Some("b.example"), Serve(None)),
            (Some("unknown.example"), default),
            (Some(""), default),
            (None, default),
        ] {
            assert_eq!(table.handshake(sni), want, "{sni:?}");
        }
        assert_eq!(table.handshakes().own().len(), 2);
    }

    #[test]
    fn names_of_no_host_can_be_refused() {
        let redirecting = VirtualHost {
            action: portcullis_model::HostAction::RedirectTo("a.example".parse().unwrap()),
            ..virtual_host("www.a.example", PathMode::Plain, &[])
        };
        let a = with_aliases(virtual_host("a.example", PathMode::Plain, &[]), &["*.alias.example"]);
        let hosts = vec![a, host("*.w.example", None), Arc::new(redirecting), host("", None)];
        let table = compile(&with(hosts, true));
        for (sni, want) in [
            (Some("a.example"), Serve(None)),
            (Some("A.EXAMPLE"), Serve(None)),
            (Some("y.x.alias.example"), Serve(None)),
            (Some("x.w.example"), Serve(None)),
            (Some("www.a.example"), Serve(None)),
            (Some("w.example"), Refuse),
            (Some("y.x.w.example"), Refuse),
            (Some("b.a.example"), Refuse),
            (Some(""), Refuse),
            (None, Refuse),
        ] {
            assert_eq!(table.handshake(sni), want, "{sni:?}");
        }
        let long = "A".repeat(1000);
        assert_eq!(table.handshake(Some(&long)), Refuse);
    }

    #[test]
    fn an_equal_plan_goes_into_the_next_table_as_it_is() {
        let registry = UpstreamRegistry::default();
        let first = RoutingTable::compile(&with(vec![host("a.example", None)], false), &registry, None);
        let more = with(vec![host("a.example", None), host("b.example", None)], false);
        let second = RoutingTable::compile(&more, &registry, Some(&first));
        assert!(Arc::ptr_eq(first.handshakes(), second.handshakes()));
        for changed in [with(vec![], true), with(vec![host("a.example", Some(own("AES256")))], false)] {
            let third = RoutingTable::compile(&changed, &registry, Some(&second));
            assert!(!Arc::ptr_eq(second.handshakes(), third.handshakes()));
        }
    }
}
