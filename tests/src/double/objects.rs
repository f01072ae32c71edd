//! Requests of the double for one object: reading, creating, replacing, patching, and replacing its status alone.

use serde_json::{Value, json};

use super::Fault;
use super::state::State;

/// An object, or a collection to create one in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place<'a> {
    pub(super) kinds: &'a str,
    pub(super) namespace: &'a str,
    /// Empty for a collection.
    name: &'a str,
    status: bool,
}

impl<'a> Place<'a> {
    /// Reads a path such as `/apis/networking.k8s.io/v1/namespaces/shop/ingresses/wear/status`.
    pub(super) fn parse(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (_, rest) = parts.split_at_checked(if parts.first() == Some(&"api") { 2 } else { 3 })?;
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let (kinds, name, status) = match rest {
            [kinds] => (*kinds, "", false),
            [kinds, name] => (*kinds, *name, false),
            [kinds, name, "status"] => (*kinds, *name, true),
            _ => return None,
        };
        Some(Self { kinds, namespace, name, status })
    }

    pub(super) fn is_collection(&self) -> bool {
        self.name.is_empty()
    }
}

/// What such a request is answered with, or the code of the failure.
pub(super) fn answer(method: &str, place: Place<'_>, body: &str, state: &State) -> Result<(u16, Value), Fault> {
    let fail = |code| Err(Fault::Status(code, None));
    let Place { kinds, namespace, name, status } = place;
    let current = |name: &str| state.get(kinds, namespace, name);
    if method == "GET" {
        return current(name).map_or_else(|| fail(404), |object| Ok((200, object)));
    }
    let fault = state.change(kinds, |kind| {
        kind.writes += 1;
        kind.write_faults.pop_front()
    });
    if let Some(fault) = fault {
        return Err(fault);
    }
    let sent: Value = serde_json::from_str(body).expect("an object in JSON");
    match method {
        "POST" => {
            let name = sent["metadata"]["name"].as_str().expect("a name").to_owned();
            if current(&name).is_some() {
                return fail(409);
            }
            state.put(sent);
            Ok((201, current(&name).expect("what was put there")))
        }
        "PUT" => {
            let Some(mut object) = current(name) else { return fail(404) };
            if object["metadata"]["resourceVersion"] != sent["metadata"]["resourceVersion"] {
                return fail(409);
            }
            if status {
                object["status"] = sent["status"].clone();
            } else {
                let uid = object["metadata"]["uid"].clone();
                object = sent;
                object["metadata"]["uid"] = uid;
            }
            state.put(object);
            Ok((200, current(name).unwrap_or(json!(null))))
        }
        "PATCH" => {
            let Some(mut object) = current(name) else { return fail(404) };
            // A merge patch (RFC 7396) of fields that are no objects.
            for (field, value) in sent.as_object().expect("an object") {
                object[field] = value.clone();
            }
            state.put(object);
            Ok((200, current(name).unwrap_or(json!(null))))
        }
        _ => fail(405),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_objects_collections_and_the_status() {
        let place = |kinds, namespace, name, status| Some(Place { kinds, namespace, name, status });
        for (path, want) in [
            ("/api/v1/services", place("services", "", "", false)),
            ("/api/v1/nodes/one", place("nodes", "", "one", false)),
            ("/api/v1/namespaces/shop/pods", place("pods", "shop", "", false)),
            ("/api/v1/namespaces/shop", place("namespaces", "", "shop", false)),
            ("/apis/coordination.k8s.io/v1/namespaces/n/leases/l", place("leases", "n", "l", false)),
            ("/apis/networking.k8s.io/v1/namespaces/n/ingresses/i/status", place("ingresses", "n", "i", true)),
            ("/version", None),
        ] {
            assert_eq!(Place::parse(path), want, "{path}");
        }
    }
}
