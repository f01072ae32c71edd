//! Lookups allocate nothing.

use portcullis_benches::{Regex, host_name, requests, snapshot};
use portcullis_model::{Alias, PatternCache};
use portcullis_proxy::table::{CertificateMatch, HostChoice, PathLookup, RoutingTable};
use portcullis_proxy::upstream::UpstreamRegistry;

const HOSTS: usize = 500;

#[test]
fn the_counter_counts() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(counted.count_total, 1);
}

#[test]
fn a_lookup_allocates_nothing_once_patterns_have_been_met() {
    for regex in [Regex::Never, Regex::OneInTen, Regex::Always] {
        let table = RoutingTable::compile(&snapshot(HOSTS, regex), &UpstreamRegistry::default(), None);
        let requests = requests(HOSTS, regex);
        let mut patterns = PatternCache::default();
        let mut found = || {
            let routes =
                requests.iter().map(|request| table.host(&request.host).host.route(&request.path, &mut patterns));
            routes.filter(|found| matches!(found, PathLookup::Route(_))).count()
        };
        if regex != Regex::Never {
            assert_eq!(found(), HOSTS);
        }
        let counted = allocation_counter::measure(|| assert_eq!(found(), HOSTS));
        assert_eq!(counted.count_total, 0, "{regex:?}");
    }
}

#[test]
fn names_of_every_kind_and_server_names_in_any_case_allocate_nothing() {
    let mut snapshot = snapshot(2, Regex::Never);
    let first = snapshot.hosts.values_mut().next().expect("a host");
    let names = ["alias.example", "*.many.example", ".apex.example", "www.*", r"~^re\d+\."];
    let alias = |name: &str| Alias { name: name.parse().expect("an alias"), tls: false };
    std::sync::Arc::make_mut(first).aliases = names.map(alias).into();
    let table = RoutingTable::compile(&snapshot, &UpstreamRegistry::default(), None);
    assert_eq!(table.host("re1.example").choice, HostChoice::Alias);
    let counted = allocation_counter::measure(|| {
        for host in ["alias.example", "a.b.many.example", "apex.example", "www.x.example", "re12.example"] {
            assert_eq!(table.host(host).choice, HostChoice::Alias, "{host}");
        }
        assert_eq!(table.host("[2001:db8::1]").choice, HostChoice::Default);
        assert_eq!(table.certificate_match(Some("Shop.Example.COM.")).1, CertificateMatch::NoEntry);
    });
    assert_eq!(counted.count_total, 0);
    assert_eq!(table.host(&host_name(1)).choice, HostChoice::Exact);
}
