//! The end of a replica waits for the one that takes its place.
//!
//! A Deployment may end a Pod before the new one is ready, and with one replica the installation of ingress-nginx does.
//! Until then the old one is all there is, and nodes lead to it as long as it is ready (Kubernetes, "Traffic routing to
//! terminating endpoints").

use std::fmt;
use std::time::Duration;

use kube::Client;
use portcullis_translate::ObjectKey;
use tokio::time::{Instant, sleep, timeout};

use crate::ingress_status::replicas::{Replicas, Sight};

/// A Deployment makes the new Pod within this time of ending the old one.
const APPEARS: Duration = Duration::from_secs(2);

/// How often is looked.
const LOOK: Duration = Duration::from_secs(1);

/// How long one look may take.
const READ: Duration = Duration::from_secs(2);

/// Nodes and load balancers learn of a ready Pod within this time.
const SETTLES: Duration = Duration::from_secs(3);

/// Longer it is never waited, nor longer than half of the time that the Pod has for its end: of 300 s, `worker-shutdown-timeout`
/// takes 240 by default.
const MOST: Duration = Duration::from_secs(50);

/// Looks for other replicas.
pub struct Successor {
    client: Client,
    pod: ObjectKey,
}

impl fmt::Debug for Successor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Successor").field("pod", &self.pod).finish_non_exhaustive()
    }
}

impl Successor {
    /// Of this Pod.
    #[must_use]
    pub fn new(client: Client, pod: ObjectKey) -> Self {
        Self { client, pod }
    }

    /// Waits as long as there is another replica that is about to be ready and none that is. Begun when the Pod is told
    /// to end. Where that cannot be found out it waits no longer. `serve_on` is told once it is known that there is somebody
    /// to wait for.
    pub async fn wait(&self, serve_on: impl FnOnce()) {
        let begin = Instant::now();
        sleep(APPEARS).await;
        let Ok(Ok(Some(replicas))) = timeout(READ, Replicas::find(&self.client, &self.pod)).await else { return };
        let most = MOST.min(replicas.time_to_end / 2);
        let mut serve_on = Some(serve_on);
        while begin.elapsed() < most {
            match timeout(READ, replicas.sight()).await {
                Ok(Ok(Sight::Coming)) => {}
                Ok(Ok(Sight::Ready)) if serve_on.is_none() => return sleep(SETTLES).await,
                Ok(Ok(Sight::Ready | Sight::Alone)) => return,
                Ok(Err(error)) => return tracing::debug!(%error, "other replicas cannot be looked for"),
                Err(_) => return,
            }
            if let Some(serve_on) = serve_on.take() {
                tracing::info!("the only replica that is ready: serving on until another is");
                serve_on();
            }
            sleep(LOOK).await;
        }
        tracing::warn!(waited = ?most, "no other replica is ready, and it is waited no longer");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::api_server::testing::Server;

    struct Cluster {
        server: Arc<Server>,
        successor: Successor,
    }

    impl Cluster {
        fn start(time_to_end: u64) -> Self {
            let (server, client) = Server::start();
            let successor = Successor::new(client, ObjectKey::new("gate", "old"));
            let cluster = Self { server, successor };
            cluster.put("old", true, &json!({ "nodeName": "a", "terminationGracePeriodSeconds": time_to_end }), true);
            cluster
        }

        fn put(&self, name: &str, ready: bool, spec: &serde_json::Value, ends: bool) {
            let mut pod = json!({
                "metadata": { "name": name, "namespace": "gate", "labels": { "app": "gate" } },
                "spec": spec,
                "status": {
                    "phase": "Running",
                    "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
                },
            });
            if ends {
                pod["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
            }
            self.server.put(&format!("/api/v1/namespaces/gate/pods/{name}"), pod);
        }

        /// Seconds that it waited; `change` happens after so many and a half.
        async fn waited(&self, after: u64, change: impl FnOnce(&Self)) -> u64 {
            let begin = Instant::now();
            let changed = async {
                sleep(Duration::from_millis(after * 1000 + 500)).await;
                change(self);
            };
            let wait = async {
                let mut serves_on = false;
                self.successor.wait(|| serves_on = true).await;
                let waited = begin.elapsed().as_secs();
                assert_eq!(serves_on, waited > 2, "{waited}");
                waited
            };
            let (waited, ()) = tokio::join!(wait, changed);
            waited
        }
    }

    fn placed() -> serde_json::Value {
        json!({ "nodeName": "a" })
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_a_pod_that_is_coming_and_for_all_to_learn_of_it() {
        let cluster = Cluster::start(300);
        cluster.put("new", false, &placed(), false);
        assert_eq!(cluster.waited(20, |cluster| cluster.put("new", true, &placed(), false)).await, 24);
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_nobody_where_nobody_comes() {
        let cluster = Cluster::start(300);
        assert_eq!(cluster.waited(5, |_| {}).await, 2, "it is alone");
        cluster.put("ending", true, &placed(), true);
        assert_eq!(cluster.waited(5, |_| {}).await, 2, "the other one ends, too");
        cluster.put("new", false, &json!({}), false);
        assert_eq!(cluster.waited(5, |_| {}).await, 2, "the other one has no node");
        cluster.put("other", true, &placed(), false);
        cluster.put("new", false, &placed(), false);
        assert_eq!(cluster.waited(5, |_| {}).await, 2, "another one is ready");
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_half_of_the_time_of_the_pod_and_fifty_seconds_at_most() {
        for (time_to_end, want) in [(300, 50), (30, 15), (2, 2)] {
            let cluster = Cluster::start(time_to_end);
            cluster.put("new", false, &placed(), false);
            assert_eq!(cluster.waited(0, |_| {}).await, want);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_no_longer_where_it_cannot_look() {
        let cluster = Cluster::start(300);
        cluster.put("new", false, &placed(), false);
        assert_eq!(cluster.waited(10, |cluster| cluster.server.fail_next(503)).await, 11);
    }
}
