//! What the API server asks and what it is answered (Kubernetes: Dynamic Admission Control, `admission.k8s.io/v1`).

use std::sync::Arc;

use http::StatusCode;
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use portcullis_translate::{ObjectKey, Review};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::source::ingress_of;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// A request that was read.
#[derive(Debug)]
pub(super) enum Asked {
    /// An Ingress that is to be stored.
    Ingress { uid: String, key: ObjectKey, ingress: Arc<Ingress> },
    /// Something that is answered without a look at it: the body.
    Settled(Value),
}

#[derive(Deserialize)]
struct AdmissionReview {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    request: Request,
}

#[derive(Deserialize)]
struct Request {
    uid: String,
    kind: GroupVersionKind,
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    object: Value,
}

#[derive(Deserialize)]
struct GroupVersionKind {
    group: String,
    version: String,
    kind: String,
}

/// Reads the body of a request.
///
/// # Errors
///
/// The status of the answer: 400 where it is no review of version v1, 500 where it is one of something else than an Ingress.
pub(super) fn read(body: &[u8]) -> Result<Asked, StatusCode> {
    let review: AdmissionReview = serde_json::from_slice(body).map_err(|_| StatusCode::BAD_REQUEST)?;
    if review.api_version != API_VERSION || review.kind != KIND {
        return Err(StatusCode::BAD_REQUEST);
    }
    let Request { uid, kind, name, namespace, operation, object } = review.request;
    if (kind.group.as_str(), kind.version.as_str(), kind.kind.as_str()) != ("networking.k8s.io", "v1", "Ingress") {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    if operation == "DELETE" {
        return Ok(Asked::Settled(answer(&uid, &Review::default())));
    }
    Ok(match ingress_of(object, &namespace, &name) {
        Ok((key, mut ingress)) => {
            // The API server sets it before it asks; what is new without it is the youngest.
            ingress.metadata.creation_timestamp.get_or_insert_with(|| Time(Timestamp::now()));
            Asked::Ingress { uid, key, ingress: Arc::new(ingress) }
        }
        Err(reason) => Asked::Settled(answer(&uid, &Review { refusal: Some(reason), ..Review::default() })),
    })
}

/// The body of an answer.
pub(super) fn answer(uid: &str, review: &Review) -> Value {
    let Review { refusal, warnings, translated: _ } = review;
    let status = refusal.as_deref().map(|message| Status {
        metadata: Map::new(),
        status: "Failure",
        message,
        reason: "BadRequest",
        code: 400,
    });
    let response = Response { uid, allowed: refusal.is_none(), status, warnings };
    json!({ "apiVersion": API_VERSION, "kind": KIND, "response": response })
}

#[derive(Serialize)]
struct Response<'r> {
    uid: &'r str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'r>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'r [String],
}

/// As much of `meta/v1` Status as there is to say.
#[derive(Serialize)]
struct Status<'r> {
    metadata: Map<String, Value>,
    status: &'static str,
    message: &'r str,
    reason: &'static str,
    code: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(change: impl FnOnce(&mut Value)) -> Result<Asked, StatusCode> {
        let mut review = json!({
            "apiVersion": API_VERSION, "kind": KIND,
            "request": {
                "uid": "u-1", "name": "a", "namespace": "demo", "operation": "CREATE",
                "kind": { "group": "networking.k8s.io", "version": "v1", "kind": "Ingress" },
                "object": { "metadata": { "name": "a" }, "spec": { "rules": [{ "host": "a.example" }] } },
                "oldObject": null,
            },
        });
        change(&mut review);
        read(review.to_string().as_bytes())
    }

    #[test]
    fn an_ingress_is_read_with_its_name() {
        let Ok(Asked::Ingress { uid, key, ingress }) = asked(|_| {}) else { panic!() };
        assert_eq!((uid.as_str(), key.to_string().as_str()), ("u-1", "demo/a"));
        assert_eq!(ingress.spec.as_ref().unwrap().rules.as_ref().unwrap()[0].host.as_deref(), Some("a.example"));
        assert!(ingress.metadata.creation_timestamp.is_some());
    }

    #[test]
    fn what_is_no_review_of_an_ingress_is_refused_by_status() {
        assert_eq!(read(b"{").unwrap_err(), StatusCode::BAD_REQUEST);
        type Case = (fn(&mut Value), StatusCode);
        let changes: [Case; 4] = [
            (|review| review["apiVersion"] = json!("admission.k8s.io/v1beta1"), StatusCode::BAD_REQUEST),
            (|review| review["kind"] = json!("Ingress"), StatusCode::BAD_REQUEST),
            (|review| review["request"] = json!(null), StatusCode::BAD_REQUEST),
            (|review| review["request"]["kind"]["version"] = json!("v1beta1"), StatusCode::INTERNAL_SERVER_ERROR),
        ];
        for (number, (change, status)) in changes.into_iter().enumerate() {
            assert_eq!(asked(change).unwrap_err(), status, "{number}");
        }
    }

    #[test]
    fn an_object_that_is_no_ingress_is_denied_and_a_removal_is_not() {
        let settled = |change: fn(&mut Value)| match asked(change) {
            Ok(Asked::Settled(answer)) => answer["response"].clone(),
            other => panic!("{other:?}"),
        };
        let answer = settled(|review| review["request"]["object"]["spec"]["rules"] = json!(7));
        assert_eq!((&answer["allowed"], &answer["status"]["code"]), (&json!(false), &json!(400)));
        assert!(answer["status"]["message"].as_str().unwrap().contains("spec.rules"), "{answer}");
        assert_eq!(settled(|review| review["request"]["object"] = json!(null))["allowed"], json!(false));
        let removal = settled(|review| {
            review["request"]["operation"] = json!("DELETE");
            review["request"]["object"] = json!(null);
        });
        assert_eq!(removal, json!({ "uid": "u-1", "allowed": true }));
    }

    #[test]
    fn an_answer_says_why_and_warns() {
        let review = Review { refusal: Some("no".to_owned()), warnings: vec!["w".to_owned()], translated: 1 };
        let answer = answer("u-2", &review);
        assert_eq!(answer["response"]["warnings"], json!(["w"]));
        assert_eq!(answer["response"]["status"]["reason"], json!("BadRequest"));
        assert_eq!((&answer["kind"], &answer["response"]["uid"]), (&json!(KIND), &json!("u-2")));
    }
}
