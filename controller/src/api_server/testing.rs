//! A small API server in memory, for tests: reads, creates, replaces and patches objects with their versions, and lists
//! Pods.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::{BoxError, service_fn};

/// The server.
#[derive(Debug, Default)]
pub(crate) struct Server {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Objects by the path under which they are read.
    objects: BTreeMap<String, Value>,
    version: u64,
    /// Methods and paths of what was asked.
    requests: Vec<String>,
    /// What is answered instead, once each.
    faults: Vec<StatusCode>,
}

impl Server {
    /// A server, and a client of it.
    pub(crate) fn start() -> (Arc<Self>, Client) {
        let server = Arc::new(Self::default());
        let service = service_fn({
            let server = server.clone();
            move |request: Request<Body>| {
                let server = server.clone();
                async move { server.answer(request).await }
            }
        });
        (server, Client::new(service, "default"))
    }

    /// Puts an object there.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.state.lock().unwrap().store(path, object);
    }

    /// The object there.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().unwrap().objects.get(path).cloned()
    }

    /// All objects of a collection.
    pub(crate) fn all(&self, path: &str) -> Vec<Value> {
        self.state.lock().unwrap().of(path).cloned().collect()
    }

    /// Takes an object away.
    pub(crate) fn forget(&self, path: &str) {
        self.state.lock().unwrap().objects.remove(path).unwrap();
    }

    /// The next request is answered so, whatever it asks.
    pub(crate) fn fail_next(&self, status: u16) {
        self.state.lock().unwrap().faults.push(StatusCode::from_u16(status).unwrap());
    }

    /// What was asked since the last time.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Full<Bytes>>, BoxError> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let body = request.into_body().collect().await?.to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let answer = self.state.lock().unwrap().answer(&method, &path, body);
        let (status, object) = answer.unwrap_or_else(|status| (status, fault(status)));
        Ok(Response::builder().status(status).body(Full::new(object.to_string().into()))?)
    }
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, body: Value) -> Result<(StatusCode, Value), StatusCode> {
        self.requests.push(format!("{method} {path}"));
        if let Some(status) = self.faults.pop() {
            return Err(status);
        }
        match *method {
            Method::GET => match self.objects.get(path) {
                Some(object) => Ok((StatusCode::OK, object.clone())),
                None if path.ends_with("/pods") => Ok((StatusCode::OK, self.list(path))),
                None => Err(StatusCode::NOT_FOUND),
            },
            Method::POST => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                if self.objects.contains_key(&path) {
                    return Err(StatusCode::CONFLICT);
                }
                Ok((StatusCode::CREATED, self.store(&path, body)))
            }
            Method::PUT => {
                let path = path.trim_end_matches("/status");
                let current = self.objects.get(path).ok_or(StatusCode::NOT_FOUND)?;
                if current["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] {
                    return Err(StatusCode::CONFLICT);
                }
                Ok((StatusCode::OK, self.store(path, body)))
            }
            Method::PATCH => {
                let mut object = self.objects.get(path).ok_or(StatusCode::NOT_FOUND)?.clone();
                // A merge patch (RFC 7396) of fields that are no objects.
                for (field, value) in body.as_object().unwrap() {
                    object[field] = value.clone();
                }
                Ok((StatusCode::OK, self.store(path, object)))
            }
            _ => Err(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    fn list(&self, path: &str) -> Value {
        let items: Vec<&Value> = self.of(path).collect();
        json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": items })
    }

    fn of(&self, path: &str) -> impl Iterator<Item = &Value> {
        let prefix = format!("{path}/");
        self.objects.iter().filter(move |(key, _)| key.starts_with(&prefix)).map(|(_, object)| object)
    }

    fn store(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path.to_owned(), object.clone());
        object
    }
}

fn fault(status: StatusCode) -> Value {
    let reason = match status {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        _ => "Unknown",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "reason": reason, "message": "as the test wants it", "code": status.as_u16(),
    })
}
