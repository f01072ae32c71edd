//! The pages.

use std::fmt::Write;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use portcullis_model::{ClusterId, Endpoint, Endpoints, Snapshot};
use serde::Serialize;

use super::{Admin, Pages, answer_of, text};
use crate::metrics;
use crate::status::Phase;

const JSON: &str = "application/json";

/// The answer for a path and query.
pub(super) fn page(admin: &Admin, pages: Pages, path: &str, query: &str) -> Response<Full<Bytes>> {
    match path {
        _ if is_health(admin, path) => healthz(admin),
        "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => readyz(admin),
        "/metrics" => metrics(admin),
        _ if pages == Pages::Health => text(StatusCode::NOT_FOUND, "no such page on this address\n".to_owned()),
        "/debug/generation" => text(StatusCode::OK, format!("{}\n", admin.status.generation())),
        "/debug/findings" => json(&admin.status.latest().findings),
        "/debug/table" => table(admin),
        "/debug/explain" => super::explain::page(admin, query),
        "/" | "/debug" | "/debug/" => text(StatusCode::OK, index()),
        _ => text(StatusCode::NOT_FOUND, format!("no such page; there are:\n{}", index())),
    }
}

/// `/healthz` and its names in ingress-nginx.
fn is_health(admin: &Admin, path: &str) -> bool {
    [admin.health_path.as_str(), "/healthz"].iter().any(|base| {
        path.strip_prefix(base).is_some_and(|rest| matches!(rest, "" | "/" | "/ping" | "/nginx-ingress-controller"))
    })
}

/// As ingress-nginx: 500 before the first configuration and from the signal to end on.
fn healthz(admin: &Admin) -> Response<Full<Bytes>> {
    match admin.status.phase() {
        Phase::Ready => text(StatusCode::OK, "ok\n".to_owned()),
        Phase::Starting => text(StatusCode::INTERNAL_SERVER_ERROR, "no table has been published yet\n".to_owned()),
        Phase::Stopping => text(StatusCode::INTERNAL_SERVER_ERROR, "shutting down\n".to_owned()),
    }
}

fn readyz(admin: &Admin) -> Response<Full<Bytes>> {
    match admin.status.phase() {
        Phase::Ready => text(StatusCode::OK, "ok\n".to_owned()),
        Phase::Starting => text(StatusCode::SERVICE_UNAVAILABLE, "no table has been published yet\n".to_owned()),
        Phase::Stopping => text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n".to_owned()),
    }
}

fn metrics(admin: &Admin) -> Response<Full<Bytes>> {
    match admin.metrics.text() {
        Ok(body) => answer_of(StatusCode::OK, metrics::CONTENT_TYPE, body.into()),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be written\n".to_owned()),
    }
}

/// What is served. The types of the model write no secret down.
#[derive(Serialize)]
struct Table<'a> {
    generation: u64,
    snapshot: &'a Snapshot,
    /// Addresses of clusters whose endpoints are names.
    resolved: Vec<Resolved>,
}

#[derive(Serialize)]
struct Resolved {
    cluster: ClusterId,
    endpoints: Vec<Endpoint>,
}

fn table(admin: &Admin) -> Response<Full<Bytes>> {
    let generation = admin.status.generation();
    let Some(snapshot) = admin.status.latest().snapshot else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "no table has been published yet\n".to_owned());
    };
    let names = snapshot.clusters.values().filter(|cluster| matches!(cluster.endpoints, Endpoints::Dns(_)));
    let resolved = names.map(|cluster| {
        let endpoints = admin.registry.upstream(&cluster.id).endpoints();
        Resolved { cluster: cluster.id.clone(), endpoints: endpoints.to_vec() }
    });
    json(&Table { generation, snapshot: &snapshot, resolved: resolved.collect() })
}

pub(super) fn json(value: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec(value) {
        Ok(mut body) => {
            body.push(b'\n');
            answer_of(StatusCode::OK, JSON, body.into())
        }
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "this cannot be written as JSON\n".to_owned()),
    }
}

fn index() -> String {
    let pages = [
        ("/healthz", "200 while serving, 500 before and while ending"),
        ("/livez", "200 while the process lives"),
        ("/readyz", "200 while serving, 503 before and while ending"),
        ("/metrics", "Prometheus text"),
        ("/debug/table", "what is served, as JSON"),
        (
            "/debug/explain?url=URL",
            "which route serves a request and why; also method=, header=Name:value, client=IP, output=text",
        ),
        ("/debug/findings", "what to know about objects, as JSON"),
        ("/debug/generation", "a number that grows with every change"),
    ];
    pages.iter().fold(String::new(), |mut text, (path, about)| {
        let _infallible = writeln!(text, "{path:<24} {about}");
        text
    })
}
