//! The Pods of this controller: by which labels they are found, on which nodes they are, and whether there is another
//! one.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::{Client, Error};
use portcullis_translate::ObjectKey;
use serde_json::Value;

/// Labels that Pods of one Deployment do not share while it is rolled over.
const OF_TEMPLATE: [&str; 3] = ["pod-template-hash", "controller-revision-hash", "pod-template-generation"];

/// Most Pods that are looked at to find another one.
const MOST: u32 = 100;

/// The time that a Pod has for its end where it does not say.
const TIME_TO_END: Duration = Duration::from_secs(30);

/// How the Pods of this controller are found.
#[derive(Clone, Debug)]
pub(crate) struct Replicas {
    pub(super) api: Api<DynamicObject>,
    /// The own one.
    pub(super) name: String,
    /// The labels of all; none where the own one has none.
    pub(super) selector: Option<String>,
    /// `terminationGracePeriodSeconds` of the own one.
    pub(crate) time_to_end: Duration,
}

/// What there is beside the own Pod.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sight {
    /// One that answers requests.
    Ready,
    /// One that has a node and is not ready.
    Coming,
    /// Nothing that would go on.
    Alone,
}

impl Replicas {
    /// Reads the own Pod; none where there is no such Pod.
    pub(crate) async fn find(client: &Client, pod: &ObjectKey) -> Result<Option<Self>, Error> {
        let resource = ApiResource::erase::<Pod>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &pod.namespace, &resource);
        let Some(own) = api.get_opt(&pod.name).await? else { return Ok(None) };
        let time_to_end = own.data.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_u64);
        let time_to_end = time_to_end.map_or(TIME_TO_END, Duration::from_secs);
        let selector = selector(&own.metadata.labels.unwrap_or_default());
        Ok(Some(Self { api, name: pod.name.to_string(), selector, time_to_end }))
    }

    /// Whether there is another one that will go on.
    pub(super) async fn others(&self) -> Result<bool, Error> {
        Ok(!self.list().await?.is_empty())
    }

    /// What there is beside the own one.
    pub(crate) async fn sight(&self) -> Result<Sight, Error> {
        let others = self.list().await?;
        Ok(match () {
            () if others.iter().any(is_ready) => Sight::Ready,
            () if others.iter().any(|pod| node_of(pod).is_some()) => Sight::Coming,
            () => Sight::Alone,
        })
    }

    /// The others that go on.
    async fn list(&self) -> Result<Vec<DynamicObject>, Error> {
        let Some(selector) = &self.selector else { return Ok(Vec::new()) };
        let mut pods = self.api.list(&ListParams::default().labels(selector).limit(MOST)).await?.items;
        pods.retain(|pod| pod.metadata.name.as_deref() != Some(&self.name) && goes_on(pod));
        Ok(pods)
    }
}

fn selector(labels: &BTreeMap<String, String>) -> Option<String> {
    let shared = labels.iter().filter(|(name, _)| !OF_TEMPLATE.contains(&name.as_str()));
    let terms: Vec<String> = shared.map(|(name, value)| format!("{name}={value}")).collect();
    (!terms.is_empty()).then(|| terms.join(","))
}

/// Whether it is neither at its end nor told to end.
fn goes_on(pod: &DynamicObject) -> bool {
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether it answers requests.
pub(super) fn is_ready(pod: &DynamicObject) -> bool {
    let conditions = pod.data.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let is = |condition: &Value, field, text| condition.get(field).and_then(Value::as_str) == Some(text);
    phase(pod) == "Running"
        && conditions.into_iter().any(|condition| is(condition, "type", "Ready") && is(condition, "status", "True"))
}

/// The name of its node, once it has one.
pub(super) fn node_of(pod: &DynamicObject) -> Option<&str> {
    pod.data.pointer("/spec/nodeName").and_then(Value::as_str).filter(|name| !name.is_empty())
}

fn phase(pod: &DynamicObject) -> &str {
    pod.data.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn replicas_share_all_labels_but_those_of_their_template() {
        let labels = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
        for (names, want) in [
            (vec!["app", "pod-template-hash", "tier"], Some("app=x,tier=x")),
            (vec!["controller-revision-hash", "pod-template-generation", "app"], Some("app=x")),
            (vec!["pod-template-hash"], None),
            (vec![], None),
        ] {
            assert_eq!(selector(&labels(&names)).as_deref(), want, "{names:?}");
        }
    }

    #[test]
    fn pods_are_ready_on_a_node_or_at_their_end() {
        let conditions =
            |ready| json!([{ "type": "Initialized", "status": "True" }, { "type": "Ready", "status": ready }]);
        for (metadata, status, ready, on) in [
            (json!({}), json!({ "phase": "Running", "conditions": conditions("True") }), true, true),
            (json!({}), json!({ "phase": "Running", "conditions": conditions("False") }), false, true),
            (json!({}), json!({ "phase": "Pending", "conditions": conditions("True") }), false, true),
            (json!({}), json!({ "phase": "Failed" }), false, false),
            (json!({}), json!({ "phase": "Succeeded" }), false, false),
            (
                json!({ "deletionTimestamp": "2026-01-02T03:04:05Z" }),
                json!({ "phase": "Running", "conditions": conditions("True") }),
                true,
                false,
            ),
        ] {
            let pod = json!({ "metadata": metadata, "spec": { "nodeName": "node-1" }, "status": status });
            let pod: DynamicObject = from_value(pod).unwrap();
            assert_eq!((is_ready(&pod), goes_on(&pod), node_of(&pod)), (ready, on, Some("node-1")), "{pod:?}");
        }
    }
}
