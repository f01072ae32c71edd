//! Where Events are: created, and patched to count up, which is all that the role of ingress-nginx allows.

use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use serde_json::json;
use tokio::time::timeout;

use super::note::Note;

/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(10);

/// Why an Event was not written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Fault {
    /// There is one of that name.
    #[error("it is there already")]
    Exists,
    /// There is none of that name, or no such namespace.
    #[error("it is gone")]
    Gone,
    /// The role does not allow it.
    #[error("{0}")]
    Refused(String),
    /// The server will never take it.
    #[error("{0}")]
    Invalid(String),
    /// The server cannot at the moment, and may say how long it wants to be left alone.
    #[error("{0}")]
    Later(String, Option<Duration>),
}

/// Events of the API server.
#[derive(Clone)]
pub(super) struct Events {
    client: Client,
    /// The Pod that says it.
    instance: String,
}

impl Events {
    pub(super) fn new(client: Client, instance: String) -> Self {
        Self { client, instance }
    }

    /// Writes it for the first time.
    pub(super) async fn create(&self, note: &Note) -> Result<(), Fault> {
        let (api, event) = (self.api(note), note.event(&self.instance));
        let created = timeout(REQUEST, api.create(&PostParams::default(), &event)).await;
        settle(created).map(drop)
    }

    /// Says it again: sets the time, and the count where it is given. The count that the Event has then.
    pub(super) async fn repeat(&self, note: &Note, count: Option<i32>) -> Result<i32, Fault> {
        let last = Time(note.at);
        let patch = match count {
            Some(count) => json!({ "lastTimestamp": last, "count": count }),
            None => json!({ "lastTimestamp": last }),
        };
        let (api, name) = (self.api(note), note.name());
        let patched = timeout(REQUEST, api.patch(&name, &PatchParams::default(), &Patch::Merge(patch))).await;
        settle(patched).map(|event| event.count.unwrap_or(1))
    }

    fn api(&self, note: &Note) -> Api<Event> {
        Api::namespaced(self.client.clone(), note.namespace())
    }
}

fn settle<T, E>(answer: Result<Result<T, Error>, E>) -> Result<T, Fault> {
    let Ok(answer) = answer else { return Err(Fault::Later("no answer".to_owned(), None)) };
    answer.map_err(|error| match &error {
        Error::Api(status) => {
            let details = status.details.as_ref();
            let is_ending = details
                .is_some_and(|details| details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"));
            let asked = details.map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0);
            match status.code {
                409 => Fault::Exists,
                404 => Fault::Gone,
                403 if is_ending => Fault::Gone,
                403 => Fault::Refused(status.message.clone()),
                // A token that is being replaced is no refusal.
                401 | 429 | 500.. => {
                    Fault::Later(status.message.clone(), asked.map(|asked| Duration::from_secs(asked.into())))
                }
                _ => Fault::Invalid(status.message.clone()),
            }
        }
        _ => Fault::Later(error.to_string(), None),
    })
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_the_server_says_decides_whether_it_is_tried_again() {
        let later = |seconds: u64| Fault::Later("no".to_owned(), (seconds > 0).then(|| Duration::from_secs(seconds)));
        for (code, details, want) in [
            (409, json!({}), Fault::Exists),
            (404, json!({}), Fault::Gone),
            (403, json!({}), Fault::Refused("no".to_owned())),
            (403, json!({ "causes": [{ "reason": "NamespaceTerminating" }] }), Fault::Gone),
            (401, json!({}), later(0)),
            (429, json!({ "retryAfterSeconds": 7 }), later(7)),
            (500, json!({}), later(0)),
            (504, json!({}), later(0)),
            (400, json!({}), Fault::Invalid("no".to_owned())),
            (422, json!({}), Fault::Invalid("no".to_owned())),
        ] {
            let status: Status =
                serde_json::from_value(json!({ "code": code, "message": "no", "details": details })).unwrap();
            assert_eq!(settle::<(), ()>(Ok(Err(Error::Api(status.boxed())))), Err(want), "{code} {details}");
        }
        assert_eq!(settle::<(), ()>(Err(())), Err(Fault::Later("no answer".to_owned(), None)));
        assert_eq!(settle::<u8, ()>(Ok(Ok(1))), Ok(1));
    }
}
