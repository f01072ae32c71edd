//! Requests by Ingress, path, host, method and status: counted on each worker, added up when asked for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hashbrown::{Equivalent, HashMap};
use http::Method;

use super::Counter;
use super::config::RequestMetrics;
use super::histogram::{Bounds, Distribution, Histogram, MICROSECONDS, OCTETS};
use super::recent::{Recent, SeriesKey};

/// What requests are told apart by.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestLabels {
    /// Namespace of the Ingress.
    pub namespace: Arc<str>,
    /// Name of the Ingress.
    pub ingress: Arc<str>,
    /// Name of the Service.
    pub service: Arc<str>,
    /// Path of the rule.
    pub path: Arc<str>,
    /// Host, in lower case; empty where hosts are not told apart.
    pub host: Arc<str>,
    /// Upstream name of the canary that got the request; empty for none.
    pub canary: Arc<str>,
    /// Method; `_OTHER` for those that RFC 9110 and RFC 5789 do not name.
    pub method: &'static str,
    /// Status as logged.
    pub status: u16,
}

/// The labels of a request that is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished<'r> {
    pub(crate) namespace: &'r str,
    pub(crate) ingress: &'r str,
    pub(crate) service: &'r str,
    pub(crate) path: &'r str,
    pub(crate) host: &'r str,
    pub(crate) canary: &'r str,
    pub(crate) method: &'static str,
    pub(crate) status: u16,
}

/// What is measured of a request that is over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    /// From its first octet to its end.
    pub(crate) request: Duration,
    /// Of its only try at an upstream: until there was a connection, the response head, the end.
    pub(crate) upstream: Option<UpstreamTimes>,
    /// Octets received, head included.
    pub(crate) received: u64,
    /// Octets sent, head included.
    pub(crate) sent: u64,
}

/// How long the only try at an upstream took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UpstreamTimes {
    pub(crate) connect: Option<Duration>,
    pub(crate) head: Option<Duration>,
    pub(crate) response: Option<Duration>,
}

/// The name of a method as a label. Methods are the client's to choose, so there is an end to them.
pub(crate) fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        _ => OTHER,
    }
}

const OTHER: &str = "_OTHER";

/// Sets of labels per worker. Requests with further ones are counted under their status alone.
pub(super) const MOST_SERIES: usize = 20_000;

/// What one worker counts.
#[derive(Debug)]
pub(crate) struct RequestCounts {
    config: RequestMetrics,
    bounds: AllBounds,
    series: RefCell<HashMap<RequestLabels, Arc<Series>>>,
    recent: Recent,
    shared: Arc<SharedSeries>,
}

/// Where a worker shows its series to whoever adds them up.
#[derive(Debug, Default)]
pub(crate) struct SharedSeries(Mutex<Vec<Arc<Series>>>);

#[derive(Debug)]
struct AllBounds {
    time: Bounds,
    length: Bounds,
    size: Bounds,
}

/// The counts of one set of labels.
#[derive(Debug)]
pub(super) struct Series {
    labels: RequestLabels,
    requests: Counter,
    request: Histogram,
    response: Histogram,
    head: Histogram,
    connect: Histogram,
    received: Histogram,
    sent: Histogram,
    sent_by_size: Histogram,
    /// Nobody adds it up any more: its Ingress is gone.
    retired: AtomicBool,
}

impl RequestCounts {
    pub(crate) fn new(config: &RequestMetrics, shared: Arc<SharedSeries>) -> Self {
        let bounds = AllBounds {
            time: Bounds::new(&config.time_buckets, MICROSECONDS),
            length: Bounds::new(&config.length_buckets, OCTETS),
            size: Bounds::new(&config.size_buckets, OCTETS),
        };
        Self { config: config.clone(), bounds, series: RefCell::default(), recent: Recent::default(), shared }
    }

    /// What is counted at all.
    pub(crate) fn config(&self) -> &RequestMetrics {
        &self.config
    }

    /// Counts one request. Its labels are asked for if the series is not one that was counted lately under `key`.
    pub(crate) fn add<'r>(
        &self,
        key: Option<SeriesKey<'_>>,
        measured: &Measured,
        labels: impl FnOnce() -> Finished<'r>,
    ) {
        if key.is_some_and(|key| self.recent.with(key, |series| series.add(measured, &self.bounds))) {
            return;
        }
        let labels = labels();
        let series = self.series(&labels);
        series.add(measured, &self.bounds);
        // The series of all further labels is nobody's own: there may be room for another one soon.
        if let Some(key) = key.filter(|_| labels.equivalent(&series.labels)) {
            self.recent.put(key, series);
        }
    }

    /// Forgets series that nobody adds up any more.
    pub(crate) fn sweep(&self) {
        self.recent.sweep();
        self.series.borrow_mut().retain(|_, series| !series.is_retired());
    }

    pub(super) fn series(&self, finished: &Finished<'_>) -> Arc<Series> {
        let mut all = self.series.borrow_mut();
        match all.get(finished) {
            Some(series) if !series.is_retired() => Arc::clone(series),
            _ => self.new_series(finished, &mut all),
        }
    }

    fn new_series(&self, finished: &Finished<'_>, all: &mut HashMap<RequestLabels, Arc<Series>>) -> Arc<Series> {
        let labels = if all.len() < MOST_SERIES { finished.labels() } else { finished.fewest_labels() };
        if let Some(known) = all.get(&labels).filter(|series| !series.is_retired()) {
            return Arc::clone(known);
        }
        let series = Arc::new(Series::new(labels.clone(), &self.bounds));
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&series));
        all.insert(labels, Arc::clone(&series));
        series
    }
}

impl Finished<'_> {
    fn labels(&self) -> RequestLabels {
        RequestLabels {
            namespace: self.namespace.into(),
            ingress: self.ingress.into(),
            service: self.service.into(),
            path: self.path.into(),
            host: self.host.into(),
            canary: self.canary.into(),
            method: self.method,
            status: self.status,
        }
    }

    fn fewest_labels(&self) -> RequestLabels {
        RequestLabels { method: OTHER, status: self.status, ..RequestLabels::default() }
    }
}

/// As derived for [`RequestLabels`], whose fields have the same order.
impl Hash for Finished<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let texts = [self.namespace, self.ingress, self.service, self.path, self.host, self.canary, self.method];
        texts.iter().for_each(|text| text.hash(state));
        self.status.hash(state);
    }
}

impl Equivalent<RequestLabels> for Finished<'_> {
    fn equivalent(&self, labels: &RequestLabels) -> bool {
        self.status == labels.status
            && self.method == labels.method
            && *self.path == *labels.path
            && *self.host == *labels.host
            && *self.ingress == *labels.ingress
            && *self.namespace == *labels.namespace
            && *self.service == *labels.service
            && *self.canary == *labels.canary
    }
}

impl Series {
    fn new(labels: RequestLabels, bounds: &AllBounds) -> Self {
        let AllBounds { time, length, size } = bounds;
        Self {
            labels,
            requests: Counter::default(),
            request: Histogram::new(time),
            response: Histogram::new(time),
            head: Histogram::new(time),
            connect: Histogram::new(time),
            received: Histogram::new(length),
            sent: Histogram::new(length),
            sent_by_size: Histogram::new(size),
            retired: AtomicBool::new(false),
        }
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    fn add(&self, measured: &Measured, bounds: &AllBounds) {
        let AllBounds { time, length, size } = bounds;
        self.requests.add(1);
        self.request.add_time(measured.request, time);
        if let Some(UpstreamTimes { connect, head, response }) = measured.upstream {
            for (histogram, duration) in [(&self.connect, connect), (&self.head, head), (&self.response, response)] {
                if let Some(duration) = duration {
                    histogram.add_time(duration, time);
                }
            }
        }
        self.received.add(measured.received, length);
        self.sent.add(measured.sent, length);
        self.sent_by_size.add(measured.sent, size);
    }
}

/// What all workers counted for one set of labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestTotals {
    /// Requests.
    pub requests: u64,
    /// Seconds from the first octet of a request to its end.
    pub request: Distribution,
    /// Seconds until the end of the upstream's response; only of requests with a single try, as the next two.
    pub response: Distribution,
    /// Seconds until the upstream's response head.
    pub head: Distribution,
    /// Seconds until there was a connection to the upstream; 0 for one from the pool.
    pub connect: Distribution,
    /// Octets of requests, heads included.
    pub received: Distribution,
    /// Octets of responses, heads included.
    pub sent: Distribution,
    /// The same in other buckets.
    pub sent_by_size: Distribution,
}

/// Adds up what workers counted. Series whose labels are not `wanted` are forgotten.
pub(crate) fn sum<'s>(
    workers: impl Iterator<Item = &'s Arc<SharedSeries>>,
    wanted: impl Fn(&RequestLabels) -> bool,
) -> BTreeMap<RequestLabels, RequestTotals> {
    let mut totals: BTreeMap<RequestLabels, RequestTotals> = BTreeMap::new();
    for shared in workers {
        // The worker takes this lock for new sets of labels only, so it is held while they are copied and no longer.
        let all: Vec<Arc<Series>> = {
            let mut all = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|series| {
                let stays = series.labels.ingress.is_empty() || wanted(&series.labels);
                series.retired.fetch_or(!stays, Ordering::Relaxed);
                stays
            });
            all.clone()
        };
        for series in &all {
            totals.entry(series.labels.clone()).or_default().add(series);
        }
    }
    totals
}

impl RequestTotals {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            request: self.request.plus(&other.request),
            response: self.response.plus(&other.response),
            head: self.head.plus(&other.head),
            connect: self.connect.plus(&other.connect),
            received: self.received.plus(&other.received),
            sent: self.sent.plus(&other.sent),
            sent_by_size: self.sent_by_size.plus(&other.sent_by_size),
        }
    }

    fn add(&mut self, series: &Series) {
        self.requests += series.requests.value();
        for (sum, histogram, unit) in [
            (&mut self.request, &series.request, MICROSECONDS),
            (&mut self.response, &series.response, MICROSECONDS),
            (&mut self.head, &series.head, MICROSECONDS),
            (&mut self.connect, &series.connect, MICROSECONDS),
            (&mut self.received, &series.received, OCTETS),
            (&mut self.sent, &series.sent, OCTETS),
            (&mut self.sent_by_size, &series.sent_by_size, OCTETS),
        ] {
            sum.add(histogram, unit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(ingress: &'static str, status: u16) -> Finished<'static> {
        Finished {
            namespace: "shop",
            ingress,
            service: "web",
            path: "/",
            host: "a.example",
            canary: "",
            method: "GET",
            status,
        }
    }

    fn measured() -> Measured {
        let upstream = Some(UpstreamTimes { connect: Some(Duration::ZERO), head: None, response: None });
        Measured { request: Duration::from_millis(30), upstream, received: 120, sent: 35 }
    }

    fn worker() -> RequestCounts {
        RequestCounts::new(&RequestMetrics::default(), Arc::default())
    }

    #[test]
    fn a_request_is_found_under_the_labels_it_makes() {
        let hash = |value: &dyn Fn(&mut std::hash::DefaultHasher)| {
            let mut hasher = std::hash::DefaultHasher::new();
            value(&mut hasher);
            hasher.finish()
        };
        let finished = finished("a", 200);
        let labels = finished.labels();
        assert!(finished.equivalent(&labels));
        assert_eq!(hash(&|state| finished.hash(state)), hash(&|state| labels.hash(state)));
    }

    #[test]
    fn workers_are_added_up_by_labels() {
        let workers = [worker(), worker()];
        workers[0].add(None, &measured(), || finished("a", 200));
        workers[0].add(None, &measured(), || finished("a", 200));
        workers[1].add(None, &measured(), || finished("a", 200));
        workers[1].add(None, &measured(), || finished("a", 404));
        let totals = sum(workers.iter().map(|worker| &worker.shared), |_| true);
        assert_eq!(totals.len(), 2);
        let ok = &totals[&finished("a", 200).labels()];
        assert_eq!((ok.requests, ok.request.count(), ok.connect.count(), ok.head.count()), (3, 3, 3, 0));
        assert_eq!(ok.request.buckets[3], 3, "30 ms are in the bucket up to 50 ms");
        assert!((ok.sent.sum - 105.0).abs() < 1e-9 && ok.sent.buckets[3] == 3);
        assert_eq!(ok.received.buckets[10], 3, "above every bound");
    }

    #[test]
    fn counts_of_an_ingress_that_is_gone_are_forgotten_and_begin_anew() {
        let worker = worker();
        worker.add(None, &measured(), || finished("gone", 200));
        worker.add(None, &measured(), || finished("stays", 200));
        let shared = || std::iter::once(&worker.shared);
        let only = |name: &'static str| move |labels: &RequestLabels| &*labels.ingress == name;
        assert_eq!(sum(shared(), only("stays")).len(), 1);
        assert_eq!(sum(shared(), |_| true).len(), 1);
        worker.add(None, &measured(), || finished("gone", 200));
        worker.sweep();
        let totals = sum(shared(), |_| true);
        assert_eq!(totals[&finished("gone", 200).labels()].requests, 1);
        assert_eq!(worker.series.borrow().len(), 2);
    }

    #[test]
    fn there_is_an_end_to_sets_of_labels() {
        let worker = worker();
        for number in 0..MOST_SERIES + 10 {
            let path = format!("/{number}");
            worker.add(None, &measured(), || Finished { path: &path, ..finished("a", 200) });
        }
        let totals = sum(std::iter::once(&worker.shared), |_| true);
        assert_eq!(totals.len(), MOST_SERIES + 1);
        let rest = totals.iter().find(|(labels, _)| labels.ingress.is_empty()).unwrap();
        assert_eq!((rest.0.status, rest.1.requests), (200, 10));
    }

    #[test]
    fn methods_that_nobody_knows_are_one() {
        assert_eq!(method_label(&Method::PATCH), "PATCH");
        assert_eq!(method_label(&Method::from_bytes(b"BREW").unwrap()), "_OTHER");
    }
}
