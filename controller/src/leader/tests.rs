//! Elections over a Lease in memory, with a clock that stands still between events.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::task::JoinHandle;
use tokio::time::advance;

use super::*;

const TTL: Duration = Duration::from_secs(30);

/// A Lease that several replicas share; each reaches it or not.
#[derive(Clone, Debug, Default)]
struct Shared {
    lease: Arc<Mutex<(Option<Lease>, u64)>>,
}

#[derive(Clone, Debug)]
struct Reach {
    shared: Shared,
    state: watch::Sender<Line>,
    asked: Arc<AtomicUsize>,
}

/// How the server is reached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Line {
    #[default]
    Good,
    Refused,
    Silent,
    /// Somebody else is always first.
    Late,
}

impl Shared {
    fn lease(&self) -> Option<Lease> {
        self.lease.lock().unwrap().0.clone()
    }

    fn holder(&self) -> String {
        self.lease().and_then(|lease| lease.spec?.holder_identity).unwrap_or_default()
    }

    fn put(&self, lease: &Lease) -> Lease {
        let mut state = self.lease.lock().unwrap();
        state.1 += 1;
        let mut lease = lease.clone();
        lease.metadata.resource_version = Some(state.1.to_string());
        state.0 = Some(lease.clone());
        lease
    }
}

impl Reach {
    async fn line(&self) -> Result<(), LeaseError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let line = *self.state.borrow();
        match line {
            Line::Good => Ok(()),
            Line::Late => Err(LeaseError::Conflict),
            Line::Refused => Err(LeaseError::Failed("refused".to_owned())),
            Line::Silent => std::future::pending().await,
        }
    }
}

impl LeaseStore for Reach {
    async fn get(&self) -> Result<Option<Lease>, LeaseError> {
        self.line().await?;
        Ok(self.shared.lease())
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        self.line().await?;
        if self.shared.lease().is_some() { Err(LeaseError::Conflict) } else { Ok(self.shared.put(lease)) }
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        self.line().await?;
        let current = self.shared.lease().ok_or(LeaseError::Conflict)?;
        if current.metadata.resource_version == lease.metadata.resource_version {
            Ok(self.shared.put(lease))
        } else {
            Err(LeaseError::Conflict)
        }
    }
}

/// One replica.
struct Replica {
    leading: watch::Receiver<bool>,
    line: watch::Sender<Line>,
    asked: Arc<AtomicUsize>,
    end: tokio::sync::oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Replica {
    fn start(shared: &Shared, name: &str) -> Self {
        let (leading, leadership) = watch::channel(false);
        let (end, ended) = tokio::sync::oneshot::channel();
        let line = watch::Sender::new(Line::Good);
        let asked = Arc::new(AtomicUsize::new(0));
        let store = Reach { shared: shared.clone(), state: line.clone(), asked: asked.clone() };
        let config = LeaseConfig {
            namespace: "ingress-nginx".to_owned(),
            name: "ingress-nginx-leader".to_owned(),
            holder: name.to_owned(),
            ttl: TTL,
        };
        let task = tokio::spawn(elect(store, config, leading, async { drop(ended.await) }));
        Self { leading: leadership, line, asked, end, task }
    }

    fn leads(&self) -> bool {
        *self.leading.borrow()
    }

    /// As a process that is killed: it writes nothing any more and thinks nothing.
    fn kill(self) {
        self.task.abort();
    }

    async fn end(self) {
        self.end.send(()).unwrap();
        self.task.await.unwrap();
    }
}

/// Lets time go by; never do two lead.
async fn wait(time: Duration, replicas: &[&Replica]) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        advance(Duration::from_millis(100)).await;
        // Timers first, then what they set in motion.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(replicas.iter().filter(|replica| replica.leads()).count() <= 1, "two lead");
    }
}

/// How long until that holds.
async fn until(most: Duration, replicas: &[&Replica], done: impl Fn() -> bool) -> Duration {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < most, "not after {most:?}");
        wait(Duration::from_millis(100), replicas).await;
    }
    begin.elapsed()
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn one_of_several_leads_and_stays() {
    let shared = Shared::default();
    let (one, two) = (Replica::start(&shared, "one"), Replica::start(&shared, "two"));
    wait(SECOND, &[&one, &two]).await;
    assert!(one.leads() != two.leads());
    let holder = shared.holder();
    wait(10 * TTL, &[&one, &two]).await;
    assert_eq!(shared.holder(), holder);
    let spec = shared.lease().unwrap().spec.unwrap();
    assert_eq!((spec.lease_duration_seconds, spec.lease_transitions), (Some(30), Some(0)));
    assert!(spec.renew_time.is_some() && spec.acquire_time.is_some());
}

#[tokio::test(start_paused = true)]
async fn another_takes_over_from_one_that_is_killed_but_not_before_the_lease_is_over() {
    let shared = Shared::default();
    let one = Replica::start(&shared, "one");
    wait(SECOND, &[&one]).await;
    let two = Replica::start(&shared, "two");
    wait(7 * TTL, &[&one, &two]).await;
    one.kill();
    let took = until(2 * TTL, &[&two], || two.leads()).await;
    // It had been renewed up to a quarter of its time before.
    assert!(took >= TTL * 3 / 4 - SECOND && took <= TTL * 11 / 10, "{took:?}");
    assert_eq!(shared.lease().unwrap().spec.unwrap().lease_transitions, Some(1));
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_gives_it_up_at_once() {
    let shared = Shared::default();
    let one = Replica::start(&shared, "one");
    wait(SECOND, &[&one]).await;
    let two = Replica::start(&shared, "two");
    wait(5 * SECOND, &[&one, &two]).await;
    let (leading, begin) = (one.leading.clone(), Instant::now());
    one.end().await;
    assert!(!*leading.borrow() && begin.elapsed() < RELEASE);
    assert_eq!(shared.holder(), "");
    until(4 * SECOND, &[&two], || two.leads()).await;
    two.end().await;
    assert_eq!(shared.holder(), "");
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_renew_stands_down_well_before_another_may_lead() {
    for line in [Line::Refused, Line::Silent] {
        let shared = Shared::default();
        let one = Replica::start(&shared, "one");
        wait(SECOND, &[&one]).await;
        let two = Replica::start(&shared, "two");
        wait(TTL, &[&one, &two]).await;
        one.line.send_replace(line);
        let stood = until(TTL, &[&one, &two], || !one.leads()).await;
        assert!(stood <= TTL / 2 && stood >= TTL / 4 - SECOND, "{line:?}: {stood:?}");
        let took = until(TTL, &[&one, &two], || two.leads()).await;
        assert!(took >= TTL / 4, "{line:?}: {took:?}");
        one.line.send_replace(Line::Good);
        wait(3 * TTL, &[&one, &two]).await;
        assert!(two.leads() && shared.holder() == "two");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_passes_costs_nothing() {
    let shared = Shared::default();
    let one = Replica::start(&shared, "one");
    wait(SECOND, &[&one]).await;
    for _ in 0..5 {
        one.line.send_replace(Line::Silent);
        wait(TTL / 6, &[&one]).await;
        one.line.send_replace(Line::Good);
        wait(TTL, &[&one]).await;
        assert!(one.leads());
    }
    assert_eq!(shared.lease().unwrap().spec.unwrap().lease_transitions, Some(0));
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_the_server_is_not_asked_without_pause() {
    for line in [Line::Good, Line::Refused, Line::Silent, Line::Late] {
        let shared = Shared::default();
        let (one, two) = (Replica::start(&shared, "one"), Replica::start(&shared, "two"));
        wait(SECOND, &[&one, &two]).await;
        for replica in [&one, &two] {
            replica.line.send_replace(line);
        }
        let before = one.asked.load(Ordering::Relaxed) + two.asked.load(Ordering::Relaxed);
        wait(4 * TTL, &[&one, &two]).await;
        let asked = one.asked.load(Ordering::Relaxed) + two.asked.load(Ordering::Relaxed) - before;
        // Each every two seconds, and a few times at once.
        assert!((30..=140).contains(&asked), "{line:?}: {asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_back_finds_a_leader_at_once() {
    let shared = Shared::default();
    let (one, two) = (Replica::start(&shared, "one"), Replica::start(&shared, "two"));
    wait(SECOND, &[&one, &two]).await;
    for replica in [&one, &two] {
        replica.line.send_replace(Line::Refused);
    }
    wait(20 * TTL, &[&one, &two]).await;
    assert!(!one.leads() && !two.leads());
    for replica in [&one, &two] {
        replica.line.send_replace(Line::Good);
    }
    until(TTL / 6, &[&one, &two], || one.leads() || two.leads()).await;
}

#[tokio::test(start_paused = true)]
async fn clocks_of_others_and_times_in_the_lease_are_not_believed() {
    for year in ["1970-01-01T00:00:00Z", "2500-01-01T00:00:00Z"] {
        let shared = Shared::default();
        let time = MicroTime(year.parse().unwrap());
        let spec = LeaseSpec {
            holder_identity: Some("gone".to_owned()),
            lease_duration_seconds: Some(30),
            renew_time: Some(time.clone()),
            acquire_time: Some(time),
            ..LeaseSpec::default()
        };
        shared.put(&Lease { spec: Some(spec), ..Lease::default() });
        let one = Replica::start(&shared, "one");
        wait(TTL - SECOND, &[&one]).await;
        assert!(!one.leads(), "{year}");
        until(3 * SECOND, &[&one], || one.leads()).await;
        one.kill();
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_started_again_under_its_name_goes_on() {
    let shared = Shared::default();
    let one = Replica::start(&shared, "one");
    wait(SECOND, &[&one]).await;
    one.kill();
    let again = Replica::start(&shared, "one");
    until(SECOND, &[&again], || again.leads()).await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_taken_away_is_seen_at_the_next_renewal() {
    let shared = Shared::default();
    let one = Replica::start(&shared, "one");
    wait(SECOND, &[&one]).await;
    let mut stolen = shared.lease().unwrap();
    stolen.spec.as_mut().unwrap().holder_identity = Some("thief".to_owned());
    shared.put(&stolen);
    until(TTL / 3, &[&one], || !one.leads()).await;
    assert_eq!(shared.holder(), "thief");

    *shared.lease.lock().unwrap() = (None, 100);
    until(TTL / 6, &[&one], || one.leads()).await;
}
