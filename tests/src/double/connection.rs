//! One connection to the double: HTTP/1.1 as far as a client of Kubernetes needs it.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Fault;
use super::state::{Next, Page, State};

/// How long silence lasts.
const SILENCE: Duration = Duration::from_secs(120);

/// The longest watch.
const WATCH: Duration = Duration::from_secs(60);

/// Answers requests until the client is gone, or something goes wrong on purpose.
pub(super) fn serve(mut stream: TcpStream, state: &State) {
    let Ok(reading) = stream.try_clone() else { return };
    let mut reader = BufReader::new(reading);
    while let Some(target) = read_head(&mut reader) {
        if state.is_away() || answer(&mut stream, &target, state).is_err() {
            return;
        }
    }
}

/// The target of the next request; none at the end.
fn read_head(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let target = line.split_ascii_whitespace().nth(1)?.to_owned();
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok().filter(|read| *read > 0)?;
        if field.trim_end().is_empty() {
            return Some(target);
        }
    }
}

fn answer(stream: &mut TcpStream, target: &str, state: &State) -> io::Result<()> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let kinds = path.rsplit('/').next().unwrap_or_default();
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    };
    if parameter("watch").is_some() {
        let after = parameter("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
        return watch(stream, kinds, after, state);
    }
    let from = parameter("continue").and_then(|place| place.parse().ok()).unwrap_or(0);
    let limit = parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    list(stream, kinds, from, limit, state)
}

fn list(stream: &mut TcpStream, kinds: &str, from: usize, limit: usize, state: &State) -> io::Result<()> {
    let fault = state.change(kinds, |kind| {
        if from > 0 {
            return None;
        }
        kind.asked.lists += 1;
        kind.listed.push(Instant::now());
        kind.list_faults.pop_front()
    });
    match fault {
        None => {
            let Page { version, items, next } = state.list(kinds, from, limit);
            send_list(stream, version, &items, next)
        }
        Some(Fault::Empty) => send_list(stream, state.list(kinds, 0, 0).version, &[], None),
        Some(fault) => fail(stream, &fault),
    }
}

fn send_list(stream: &mut TcpStream, version: u64, items: &[Value], next: Option<usize>) -> io::Result<()> {
    let next = next.map(|next| next.to_string());
    let list = json!({
        "kind": "List", "apiVersion": "v1",
        "metadata": { "resourceVersion": version.to_string(), "continue": next }, "items": items,
    });
    send(stream, 200, "", &list.to_string())
}

fn watch(stream: &mut TcpStream, kinds: &str, after: u64, state: &State) -> io::Result<()> {
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
                    chunk(stream, &event)?;
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
            status["details"] = json!({ "retryAfterSeconds": after });
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
