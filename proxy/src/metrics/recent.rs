//! The series counted last, found again without looking at their labels.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use super::requests::Series;
use crate::table::CompiledRoute;

/// What stands for a set of labels as long as the route lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeriesKey<'r> {
    /// Namespace, Ingress, Service, path and host: that of the rule, or none on all requests.
    pub(crate) route: &'r Arc<CompiledRoute>,
    /// Whether the request went to the canary of the route.
    pub(crate) canary: bool,
    /// Method, as a label.
    pub(crate) method: &'static str,
    /// Status as logged.
    pub(crate) status: u16,
}

/// Some series of a worker. Each set of labels has one place in it, which it shares with others.
#[derive(Debug)]
pub(super) struct Recent(RefCell<Box<[Option<Entry>]>>);

#[derive(Debug)]
struct Entry {
    /// Weak, so that the route of a table that is gone is gone; its address is not used again as long as this is there.
    route: Weak<CompiledRoute>,
    canary: bool,
    method: &'static str,
    status: u16,
    series: Arc<Series>,
}

/// How many series are remembered, a power of two: routes in use at a time, some of them with several statuses.
const PLACES: usize = 256;

impl Default for Recent {
    fn default() -> Self {
        Self(RefCell::new((0..PLACES).map(|_| None).collect()))
    }
}

impl Recent {
    /// Counts with `count` if a series is remembered for the key, and still added up. Returns whether.
    pub(super) fn with(&self, key: SeriesKey<'_>, count: impl FnOnce(&Series)) -> bool {
        let entries = self.0.borrow();
        let entry = entries.get(place(key)).and_then(Option::as_ref).filter(|entry| entry.is_of(key));
        entry.map(|entry| &*entry.series).filter(|series| !series.is_retired()).map(count).is_some()
    }

    /// Remembers a series, and forgets the one that had its place.
    pub(super) fn put(&self, key: SeriesKey<'_>, series: Arc<Series>) {
        let SeriesKey { route, canary, method, status } = key;
        if let Some(entry) = self.0.borrow_mut().get_mut(place(key)) {
            *entry = Some(Entry { route: Arc::downgrade(route), canary, method, status, series });
        }
    }

    /// Forgets what can be of no use any more.
    pub(super) fn sweep(&self) {
        let is_over = |entry: &mut Entry| entry.route.strong_count() == 0 || entry.series.is_retired();
        self.0.borrow_mut().iter_mut().for_each(|entry| drop(entry.take_if(is_over)));
    }
}

impl Entry {
    fn is_of(&self, key: SeriesKey<'_>) -> bool {
        std::ptr::eq(self.route.as_ptr(), Arc::as_ptr(key.route))
            && self.status == key.status
            && self.canary == key.canary
            // The same literal mostly, but the compiler may have several of it.
            && (std::ptr::eq(self.method, key.method) || self.method == key.method)
    }
}

fn place(key: SeriesKey<'_>) -> usize {
    let address = Arc::as_ptr(key.route).addr() >> 5;
    let first = key.method.bytes().next().unwrap_or_default();
    (address ^ (address >> 8)).wrapping_add(usize::from(key.status) * 7 + usize::from(first) * 31) % PLACES
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use portcullis_model::{Backend, PathMatch, PathType, Route, RoutePolicy, RouteSource};

    use super::super::config::RequestMetrics;
    use super::super::requests::{Finished, MOST_SERIES, Measured, RequestCounts, RequestLabels, SharedSeries, sum};
    use super::*;

    fn compiled(ingress: &str) -> Arc<CompiledRoute> {
        let source = RouteSource {
            namespace: "shop".into(),
            ingress: ingress.into(),
            host: "a.example".into(),
            path: "/".into(),
            path_type: PathType::Prefix,
            implicit: false,
        };
        let path = PathMatch::Prefix("/".into());
        let route =
            Arc::new(Route { path, source, backend: Backend::Default, policy: Arc::new(RoutePolicy::default()) });
        let (upstream, canary, fallback) = (None, None, None);
        Arc::new(CompiledRoute { route, upstream, canary, fallback, balance: None, canary_balance: None })
    }

    fn finished(route: &Arc<CompiledRoute>) -> Finished<'_> {
        let source = &route.route.source;
        Finished {
            namespace: &source.namespace,
            ingress: &source.ingress,
            service: "",
            path: &source.path,
            host: &source.host,
            canary: "",
            method: "GET",
            status: 200,
        }
    }

    fn key(route: &Arc<CompiledRoute>) -> SeriesKey<'_> {
        SeriesKey { route, canary: false, method: "GET", status: 200 }
    }

    fn add(worker: &RequestCounts, route: &Arc<CompiledRoute>) {
        worker.add(Some(key(route)), &Measured::default(), || finished(route));
    }

    fn worker() -> (RequestCounts, Arc<SharedSeries>) {
        let shared = Arc::default();
        (RequestCounts::new(&RequestMetrics::default(), Arc::clone(&shared)), shared)
    }

    /// Requests by Ingress, canary, method and status.
    fn counted(shared: &Arc<SharedSeries>, wanted: impl Fn(&RequestLabels) -> bool) -> BTreeMap<String, u64> {
        let name =
            |labels: &RequestLabels| format!("{} {}{} {}", labels.ingress, labels.canary, labels.method, labels.status);
        sum(std::iter::once(shared), wanted).iter().map(|(labels, totals)| (name(labels), totals.requests)).collect()
    }

    fn want(expected: &[(&str, u64)]) -> BTreeMap<String, u64> {
        expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn requests_are_told_apart_by_all_that_the_key_stands_for() {
        let (worker, shared) = worker();
        let routes = [compiled("a"), compiled("b")];
        for _ in 0..3 {
            for route in &routes {
                let (key, first) = (key(route), finished(route));
                let add = |key, labels| worker.add(Some(key), &Measured::default(), || labels);
                add(key, first);
                add(SeriesKey { status: 404, ..key }, Finished { status: 404, ..first });
                add(SeriesKey { method: "PUT", ..key }, Finished { method: "PUT", ..first });
                add(SeriesKey { canary: true, ..key }, Finished { canary: "canary ", ..first });
            }
        }
        let of = |ingress: &str| {
            [format!("{ingress} GET 200"), format!("{ingress} GET 404"), format!("{ingress} PUT 200")]
                .into_iter()
                .chain([format!("{ingress} canary GET 200")])
                .map(|name| (name, 3))
        };
        assert_eq!(counted(&shared, |_| true), of("a").chain(of("b")).collect());
    }

    #[test]
    fn the_same_route_of_a_new_table_has_the_same_series() {
        let (worker, shared) = worker();
        for _ in 0..3 * PLACES {
            let route = compiled("a");
            add(&worker, &route);
            add(&worker, &route);
        }
        assert_eq!(counted(&shared, |_| true), want(&[("a GET 200", 6 * PLACES as u64)]));
    }

    #[test]
    fn more_series_than_places_are_all_counted() {
        let (worker, shared) = worker();
        let routes: Vec<_> = (0..3 * PLACES).map(|number| compiled(&number.to_string())).collect();
        for route in routes.iter().chain(&routes) {
            add(&worker, route);
        }
        let counts = counted(&shared, |_| true);
        assert_eq!((counts.len(), counts.values().all(|count| *count == 2)), (3 * PLACES, true));
    }

    #[test]
    fn a_series_that_nobody_adds_up_any_more_is_not_used_again() {
        let (worker, shared) = worker();
        let route = compiled("a");
        add(&worker, &route);
        assert_eq!(counted(&shared, |_| false), want(&[]));
        add(&worker, &route);
        assert_eq!(counted(&shared, |_| true), want(&[("a GET 200", 1)]));
    }

    #[test]
    fn the_series_of_all_further_labels_is_not_that_of_a_route() {
        let (worker, shared) = worker();
        let many: Vec<String> = (0..MOST_SERIES).map(|number| number.to_string()).collect();
        let route = compiled("a");
        for path in &many {
            worker.add(None, &Measured::default(), || Finished { path, ..finished(&route) });
        }
        add(&worker, &route);
        counted(&shared, |labels| labels.ingress.is_empty());
        worker.sweep();
        add(&worker, &route);
        assert_eq!(counted(&shared, |_| true), want(&[(" _OTHER 200", 1), ("a GET 200", 1)]));
    }

    #[test]
    fn what_is_of_no_use_any_more_is_forgotten() {
        let recent = Recent::default();
        let (gone, stays) = (compiled("gone"), compiled("stays"));
        let (worker, _) = worker();
        for route in [&gone, &stays] {
            recent.put(key(route), worker.series(&finished(route)));
        }
        let kept = || recent.0.borrow().iter().flatten().count();
        // They may have the same place.
        let before = kept();
        let address = Arc::downgrade(&gone);
        drop(gone);
        recent.sweep();
        assert!(address.strong_count() == 0 && kept() == 1 && before >= 1, "{before}");
        assert!(recent.with(key(&stays), |_| ()));
        assert!(!recent.with(SeriesKey { status: 404, ..key(&stays) }, |_| ()));
        drop(stays);
        recent.sweep();
        assert_eq!(kept(), 0);
    }
}
