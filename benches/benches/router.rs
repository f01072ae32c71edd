//! Route lookup among 10,000 hosts with two paths each: time and allocations. Goal: 300 ns at most, no allocation.

use std::hint::black_box;

use divan::{AllocProfiler, Bencher};
use portcullis_benches::{Regex, Request, requests, snapshot};
use portcullis_model::{Authority, CanonicalPath, PatternCache};
use portcullis_proxy::table::{PathLookup, RoutingTable};
use portcullis_proxy::upstream::UpstreamRegistry;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const HOSTS: usize = 10_000;
const MODES: [Regex; 3] = [Regex::Never, Regex::OneInTen, Regex::Always];

fn main() {
    divan::main();
}

/// Host and path, both canonical, to a route.
#[divan::bench(args = MODES, sample_size = 1000)]
fn lookup(bencher: Bencher, regex: Regex) {
    measure(bencher, regex, |table, request, patterns| {
        let found = table.host(&request.host).host.route(&request.path, patterns);
        matches!(found, PathLookup::Route(_))
    });
}

/// The same with the reading of authority and path before it.
#[divan::bench(args = MODES, sample_size = 1000)]
fn read_and_lookup(bencher: Bencher, regex: Regex) {
    measure(bencher, regex, |table, request, patterns| {
        let (Ok(host), Ok(path)) = (Authority::parse(&request.host), CanonicalPath::parse(&request.path)) else {
            return false;
        };
        matches!(table.host(host.host()).host.route(path.as_str(), patterns), PathLookup::Route(_))
    });
}

/// Hosts that no Ingress names.
#[divan::bench(sample_size = 1000)]
fn unknown_host(bencher: Bencher) {
    measure(bencher, Regex::Never, |table, request, _| {
        let name = request.host.get(1..).unwrap_or_default();
        table.host(name).host.routes().is_empty()
    });
}

/// The certificate of a handshake, where none of the hosts has its own.
#[divan::bench(sample_size = 1000)]
fn certificate(bencher: Bencher) {
    measure(bencher, Regex::Never, |table, request, _| !table.certificate(Some(&request.host)).key().cert.is_empty());
}

fn measure(bencher: Bencher, regex: Regex, lookup: impl Fn(&RoutingTable, &Request, &mut PatternCache) -> bool) {
    let table = RoutingTable::compile(&snapshot(HOSTS, regex), &UpstreamRegistry::default(), None);
    let requests = requests(HOSTS, regex);
    let mut patterns = PatternCache::default();
    assert!(
        requests.iter().all(|request| lookup(&table, request, &mut patterns)),
        "every request finds what it looks for"
    );
    let mut turn = requests.iter().cycle();
    let next = || turn.next().cloned();
    bencher.with_inputs(next).bench_local_refs(|request| {
        request.as_ref().is_some_and(|request| lookup(black_box(&table), request, &mut patterns))
    });
}
