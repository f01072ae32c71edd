//! Time and memory of translating and compiling many Ingresses, of one change among them, and of a review beside them. Reports,
//! never asserts.
//!
//! Each line runs in a process of its own, so that resident memory is that of its case alone. Goals, on one core: 10,000
//! Ingresses with 20,000 paths and one host in ten in regex mode in 300 ms and 120 MB; all in regex mode in 1.5 s and 400 MB;
//! one change among 5,000 in 30 ms from file to served, of which this measures the part after reading; the review of an
//! Ingress beside 10,000 in 20 ms.

use std::fmt;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_benches::{Regex, change, options, resources};
use portcullis_proxy::table::{RoutingTable, channel};
use portcullis_proxy::upstream::UpstreamRegistry;
use portcullis_translate::{Memo, Options, Resources, review, translate};

const REBUILDS: [(&str, usize, Regex); 3] = [
    ("10,000 Ingresses, no regex", 10_000, Regex::Never),
    ("10,000 Ingresses, one host in ten in regex mode", 10_000, Regex::OneInTen),
    ("10,000 Ingresses, all in regex mode", 10_000, Regex::Always),
];
const CHANGES: [(&str, usize, Regex); 2] = [
    ("one change among 5,000 Ingresses, one host in ten in regex mode", 5_000, Regex::OneInTen),
    ("one change among 5,000 Ingresses, all in regex mode", 5_000, Regex::Always),
];
const REVIEWS: [(&str, usize, Regex); 2] = [
    ("review of an Ingress beside 10,000, no regex", 10_000, Regex::Never),
    ("review of an Ingress beside 10,000, all in regex mode", 10_000, Regex::Always),
];

fn main() {
    let case = std::env::args().find_map(|argument| argument.strip_prefix("case=").map(ToOwned::to_owned));
    let Some(case) = case else { return each_in_its_own_process() };
    for (name, count, regex) in REBUILDS.into_iter().filter(|(name, ..)| *name == case) {
        rebuild(name, count, regex);
    }
    for (name, count, regex) in CHANGES.into_iter().filter(|(name, ..)| *name == case) {
        changes(name, count, regex);
    }
    for (name, count, regex) in REVIEWS.into_iter().filter(|(name, ..)| *name == case) {
        reviews(name, count, regex);
    }
}

fn each_in_its_own_process() {
    let program = std::env::current_exe().expect("the path of this program");
    for (name, ..) in REBUILDS.into_iter().chain(CHANGES).chain(REVIEWS) {
        let status = Command::new(&program).arg(format!("case={name}")).status();
        if !status.is_ok_and(|status| status.success()) {
            println!("{name}: did not end well");
        }
    }
}

/// Everything from nothing: no memo, no previous table.
fn rebuild(name: &str, count: usize, regex: Regex) {
    let resources = resources(count, regex);
    let options = options();
    let mut memo = Memo::default();
    let registry = UpstreamRegistry::default();
    let objects = resident("VmRSS");
    let (first, table) = build(&resources, &options, &mut memo, &registry, None);
    let (all, peak) = (resident("VmRSS"), resident("VmHWM"));
    assert!(table.snapshot().hosts.len() > count, "each Ingress has a host, and there is the default server");
    drop((memo, table));
    let again = (0..4).map(|_| build(&resources, &options, &mut Memo::default(), &registry, None).0);
    let best = again.chain([first]).min_by_key(Times::sum).unwrap_or(first);
    let translated = first.resident.saturating_sub(objects);
    let compiled = all.saturating_sub(first.resident);
    println!("{name}");
    println!("  first of 5     {first}");
    println!("  best of 5      {best}");
    println!(
        "  resident       {all} MB, peak {peak}: objects {objects}, snapshot and memo {translated}, table {compiled}"
    );
}

/// One Ingress after another changes while all others stay.
fn changes(name: &str, count: usize, regex: Regex) {
    let mut resources = resources(count, regex);
    let options = options();
    let mut memo = Memo::default();
    let registry = UpstreamRegistry::default();
    let (mut writer, reader) = channel(build(&resources, &options, &mut memo, &registry, None).1);
    let mut worker = reader.worker();
    let mut all: Vec<Times> = Vec::new();
    for turn in 0..50 {
        change(&mut resources, (turn * 97) % count, regex, &format!("v{turn}"));
        let (mut times, table) = build(&resources, &options, &mut memo, &registry, Some(&writer.current()));
        let start = Instant::now();
        writer.publish(table);
        worker.current();
        times.swap = start.elapsed();
        all.push(times);
    }
    all.sort_by_key(Times::sum);
    println!("{name}");
    for (label, times) in [("median of 50", all.get(all.len() / 2)), ("slowest of 50", all.last())] {
        if let Some(times) = times {
            println!("  {label:<14} {times}");
        }
    }
    println!("  resident       {} MB, peak {} MB", resident("VmRSS"), resident("VmHWM"));
}

/// Each turn another Ingress is reviewed as it is: one host, two paths.
fn reviews(name: &str, count: usize, regex: Regex) {
    let resources = resources(count, regex);
    let options = options();
    let step = count.checked_div(50).unwrap_or(1).max(1);
    let mut all: Vec<Duration> = Vec::new();
    for (key, object) in resources.ingresses.iter().step_by(step) {
        let mut ingress = object.value.as_ref().clone();
        ingress.metadata.uid = Some("0f8fad5b-d9cb-469f-a165-70867728950e".to_owned());
        let ingress = Arc::new(ingress);
        let start = Instant::now();
        let review = review(&resources, &options, key, &ingress);
        all.push(start.elapsed());
        assert_eq!((review.refusal, review.translated), (None, 1));
    }
    all.sort();
    println!("{name}");
    for (label, time) in [("median of 50", all.get(all.len() / 2)), ("slowest of 50", all.last())] {
        if let Some(time) = time {
            println!("  {label:<14} {:.1} ms", time.as_secs_f64() * 1000.0);
        }
    }
}

fn build(
    resources: &Resources,
    options: &Options,
    memo: &mut Memo,
    registry: &UpstreamRegistry,
    previous: Option<&RoutingTable>,
) -> (Times, RoutingTable) {
    let start = Instant::now();
    let translation = translate(resources, options, memo);
    let translated = Instant::now();
    let resident = resident("VmRSS");
    let start_compiling = Instant::now();
    let table = RoutingTable::compile(&translation.snapshot, registry, previous);
    let compiled = Instant::now();
    drop(translation);
    let (translate, compile) = (translated - start, compiled - start_compiling);
    (Times { translate, compile, swap: Duration::ZERO, resident }, table)
}

/// How long each step took. The swap includes freeing the table before.
#[derive(Clone, Copy)]
struct Times {
    /// Resident memory in megabytes between the two steps.
    resident: u64,
    translate: Duration,
    compile: Duration,
    swap: Duration,
}

impl Times {
    fn sum(&self) -> Duration {
        self.translate + self.compile + self.swap
    }
}

impl fmt::Display for Times {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let (translate, compile, swap) = (ms(self.translate), ms(self.compile), ms(self.swap));
        write!(out, "{:.1} ms: translate {translate:.1}, compile {compile:.1}, swap {swap:.1}", ms(self.sum()))
    }
}

/// A line of `/proc/self/status` in megabytes; 0 on other systems.
fn resident(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or_default() * 1024 / 1_000_000
}
