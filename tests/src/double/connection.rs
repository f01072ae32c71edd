//! One connection to the double: HTTP/1.1 as far as a client of Kubernetes needs it.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Fault;
use super::objects::{self, Place};
use super::selection::Selection;
use super::state::{Next, Page, State};

/// How long silence lasts.
const SILENCE: Duration = Duration::from_secs(120);

/// The longest watch.
const WATCH: Duration = Duration::from_secs(60);

/// Answers requests until the client is gone, or something goes wrong on purpose.
pub(super) fn serve(mut stream: TcpStream, state: &State) {
    let Ok(reading) = stream.try_clone() else { return };
    let mut reader = BufReader::new(reading);
    while let Some(request) = read_request(&mut reader) {
        if state.is_away() || answer(&mut stream, &request, state).is_err() {
            return;
        }
    }
}

struct Request {
    method: String,
    target: String,
    body: String,
    /// Whether it asks for nothing but the metadata of objects.
    metadata_only: bool,
}

/// The next request; none at the end.
fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let (mut length, mut metadata_only) = (0, false);
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok().filter(|read| *read > 0)?;
        metadata_only |= field.starts_with("accept:") && field.contains("as=PartialObjectMetadata");
        if let Some(value) = field.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if field.trim_end().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, target, body: String::from_utf8(body).ok()?, metadata_only })
}

fn answer(stream: &mut TcpStream, request: &Request, state: &State) -> io::Result<()> {
    let Request { method, target, body, metadata_only } = request;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if let Some(place) = Place::parse(path).filter(|place| method != "GET" || !place.is_collection()) {
        return match objects::answer(method, place, body, state) {
            Ok((code, object)) => send(stream, code, "", &object.to_string()),
            Err(fault) => fail(stream, &fault),
        };
    }
    let kinds = path.rsplit('/').next().unwrap_or_default();
    let namespace = Place::parse(path).map_or("", |place| place.namespace);
    if state.change(kinds, |kind| kind.forbidden.contains(namespace)) {
        return fail(stream, &Fault::Status(403, None));
    }
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    };
    let mut selection = Selection::parse(namespace, parameter("fieldSelector").as_deref());
    selection.metadata_only = *metadata_only;
    if parameter("watch").is_some() {
        let after = parameter("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
        return watch(stream, kinds, &selection, after, state);
    }
    let from = parameter("continue").and_then(|place| place.parse().ok()).unwrap_or(0);
    let limit = parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    list(stream, kinds, &selection, from, limit, state)
}

fn list(
    stream: &mut TcpStream,
    kinds: &str,
    selection: &Selection,
    from: usize,
    limit: usize,
    state: &State,
) -> io::Result<()> {
    let fault = state.change(kinds, |kind| {
        if selection.name.is_some() {
            kind.asked_by_name += 1;
            return None;
        }
        if from > 0 {
            return None;
        }
        kind.asked.lists += 1;
        kind.listed.push(Instant::now());
        kind.list_faults.pop_front()
    });
    match fault {
        None => {
            let Page { version, items, next } = state.list(kinds, selection, from, limit);
            send_list(stream, version, &items, next)
        }
        Some(Fault::Empty) => send_list(stream, state.list(kinds, selection, 0, 0).version, &[], None),
        Some(fault) => fail(stream, &fault),
    }
}

fn send_list(stream: &mut TcpStream, version: u64, items: &[Value], next: Option<usize>) -> io::Result<()> {
    let next = next.map(|next| next.to_string());
    // As a server does: the list says what its items are.
    let mut items = items.to_vec();
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        item.retain(|field, _| !["apiVersion", "kind"].contains(&field.as_str()));
    }
    let list = json!({
        "kind": "List", "apiVersion": "v1",
        "metadata": { "resourceVersion": version.to_string(), "continue": next }, "items": items,
    });
    send(stream, 200, "", &list.to_string())
}

fn watch(stream: &mut TcpStream, kinds: &str, selection: &Selection, after: u64, state: &State) -> io::Result<()> {
    let fault = state.change(kinds, |kind| {
        kind.asked.watches += 1;
        kind.watch_faults.pop_front()
    });
    if let Some(fault) = fault {
        return fail(stream, &fault);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let (cuts, mut after) = (state.cuts(kinds), after);
    loop {
        match state.next(kinds, after, cuts, WATCH) {
            Next::Events(events) => {
                for (version, event) in events {
                    if selection.fits(&event["object"]) {
                        let object = selection.part(&event["object"]);
                        chunk(stream, &json!({ "type": event["type"], "object": object }))?;
                    }
                    after = version;
                }
            }
            Next::Gone => {
                chunk(stream, &json!({ "type": "ERROR", "object": status(410) }))?;
                return stream.write_all(b"0\r\n\r\n");
            }
            Next::End => return stream.write_all(b"0\r\n\r\n"),
        }
    }
}

fn chunk(stream: &mut TcpStream, event: &Value) -> io::Result<()> {
    let line = format!("{event}\n");
    stream.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes())
}

fn fail(stream: &mut TcpStream, fault: &Fault) -> io::Result<()> {
    match fault {
        Fault::Status(code, after) => {
            let field = after.map(|seconds| format!("Retry-After: {seconds}\r\n")).unwrap_or_default();
            let mut status = status(*code);
            if let Some(seconds) = after {
                status["details"] = json!({ "retryAfterSeconds": seconds });
            }
            send(stream, *code, &field, &status.to_string())
        }
        Fault::Silence => {
            std::thread::sleep(SILENCE);
            Err(io::ErrorKind::TimedOut.into())
        }
        Fault::End | Fault::Empty => send(stream, 200, "", ""),
    }
}

fn status(code: u16) -> Value {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("a fault on purpose: {code}"), "reason": reason, "code": code,
    })
}

fn send(stream: &mut TcpStream, code: u16, fields: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{fields}\r\n");
    stream.write_all(format!("{head}{body}").as_bytes())
}
