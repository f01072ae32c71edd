//! Two replicas of which the leader dies without a word.

use std::process::Command;
use std::time::{Duration, Instant};

use portcullis_tests::Client;
use portcullis_tests::cluster::{Echo, Install, Load, Namespace, Strays, measured, processes_of};

/// `--election-ttl`.
const TTL: Duration = Duration::from_secs(8);

#[test]
fn when_the_leader_is_killed_another_writes_the_status_and_traffic_goes_on() {
    let namespace = Namespace::new("leader");
    let ttl = format!("{}s", TTL.as_secs());
    let portcullis = Install::new().replicas(2).flag("election-ttl", &ttl).start(&namespace);
    Echo::new("wear").start(&namespace);
    let class = format!("--class={}", portcullis.class);
    let create = |name: &str| {
        namespace.kubectl(&["create", "ingress", name, &class, &format!("--rule={name}.example/*=wear:80")]);
    };
    let address = |name: &str| namespace.field(&format!("ingress/{name}"), "{.status.loadBalancer.ingress[0].ip}");
    let wanted = namespace.field(&format!("service/{}", portcullis.deployment), "{.spec.clusterIP}");
    let lease = format!("lease/{}-leader", namespace.name());
    let holder = || namespace.field(&lease, "{.spec.holderIdentity}");

    create("first");
    namespace.wait_until("the status is written", || address("first") == wanted);
    let leader = holder();
    let others: Vec<String> = namespace.pods(&portcullis.label()).into_iter().filter(|pod| *pod != leader).collect();
    let [other] = &others[..] else { panic!("two replicas, of which {leader} leads: {others:?}") };
    for _ in 0..10 {
        let answer = Client::new("GET", "first.example", "/").send(portcullis.http).expect("an answer");
        assert_eq!(answer.status, 200, "both replicas serve");
    }
    let load = |address| Load::new(address, "first.example", "/?delay=10").rate(50).threads(2);
    let survivor = namespace.address_of(other, 80);
    let (kept, fresh) = (load(survivor).keep_alive().start(), load(portcullis.http).start());
    fresh.wait(Duration::from_secs(1));

    let begin = Instant::now();
    kill(&leader);
    namespace.kubectl(&["delete", "pod", &leader, "--grace-period=0", "--force", "--wait=false"]);
    create("second");
    fresh.wait(Duration::from_secs(3).saturating_sub(begin.elapsed()));
    // Connections that were on their way to the killed Pod until the node knew.
    let during = fresh.finish();
    let strays = Strays::of(&[portcullis.http]);
    let fresh = load(portcullis.http).start();
    namespace.wait_until("another replica writes the status", || address("second") == wanted);
    let took = begin.elapsed();
    fresh.wait(Duration::from_secs(2));
    let (fresh, kept) = (fresh.finish(), kept.finish());
    measured(&format!("leader killed: the status is written by another {took:.1?} later, lease {TTL:?}"));
    for (name, report) in [("in the 3 s after", &during), ("then", &fresh), ("on the other replica", &kept)] {
        measured(&format!("leader killed, {name}: {}, {:?}", report.summary(), report.causes));
    }
    assert_ne!(holder(), leader);
    assert!(took < TTL + Duration::from_secs(3), "{took:?}");
    let refused = during.causes.keys().all(|cause| !cause.starts_with("status"));
    assert!(refused && during.failed * 2 < during.sent, "{} {:?}", during.summary(), during.causes);
    fresh.only_failed(strays.count(), 50);
    kept.none_failed_of(100);
}

/// Kills the program in a Pod by SIGKILL.
fn kill(pod: &str) {
    let processes: Vec<String> = processes_of(pod).iter().map(u32::to_string).collect();
    assert!(!processes.is_empty(), "{pod} has no process");
    let status = Command::new("kill").arg("-KILL").args(&processes).status().expect("kill can be started");
    assert!(status.success(), "{processes:?}: {status}");
}
