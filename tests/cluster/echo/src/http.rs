//! HTTP/1.1: every answer is a JSON object that says who answers and what was asked.
//!
//! The query of a request may ask for more: `?delay=MS` answers later, `?status=N` with that status, `?size=N` with a
//! body of that many bytes, in pieces with `?pause=MS` between them. `/healthz` is 200 until the end begins, then
//! 503.

use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::request::Request;
use crate::state::State;

const PIECE: u64 = 16 * 1024;

/// Answers requests until the client or the end of the program closes the connection.
pub(crate) fn serve(stream: &TcpStream, state: &State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader)? {
        let _in_flight = state.request();
        thread::sleep(Duration::from_millis(request.number("delay").unwrap_or(0).min(60_000)));
        // Asked again after the pause: what began before the end must also not be followed on this connection.
        let last = state.is_draining() || request.field("connection").is_some_and(|value| value == "close");
        answer(stream, state, &request, last)?;
        if last {
            break;
        }
    }
    Ok(())
}

fn answer(mut stream: &TcpStream, state: &State, request: &Request, last: bool) -> io::Result<()> {
    let health = request.target == "/healthz";
    let status = if health && state.is_draining() { 503 } else { request.number("status").unwrap_or(200) };
    let size = request.number("size");
    let body = if size.is_some() { String::new() } else { said(stream, state, request) };
    let length = size.unwrap_or(body.len() as u64);
    let connection = if last { "Connection: close\r\n" } else { "" };
    let kind = if size.is_some() { "application/octet-stream" } else { "application/json" };
    let head = format!(
        "HTTP/1.1 {status} Echo\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nX-Pod: {}\r\n{connection}\r\n",
        state.pod
    );
    let text = if request.method == "HEAD" { head } else { head + &body };
    stream.write_all(text.as_bytes())?;
    match size {
        Some(size) if request.method != "HEAD" => pieces(stream, size, request.number("pause").unwrap_or(0)),
        _ => Ok(()),
    }
}

fn pieces(mut stream: &TcpStream, size: u64, pause: u64) -> io::Result<()> {
    let mut left = size;
    while left > 0 {
        let piece = left.min(PIECE);
        io::copy(&mut io::Read::take(io::repeat(b'.'), piece), &mut stream)?;
        left -= piece;
        thread::sleep(Duration::from_millis(pause.min(60_000)));
    }
    Ok(())
}

fn said(stream: &TcpStream, state: &State, request: &Request) -> String {
    let peer = stream.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
    let fields: Vec<String> =
        request.fields.iter().map(|(name, value)| format!("{}:{}", quoted(name), quoted(value))).collect();
    format!(
        "{{\"name\":{},\"pod\":{},\"peer\":{},\"method\":{},\"target\":{},\"host\":{},\"body\":{},\"headers\":{{{}}}}}\n",
        quoted(&state.name),
        quoted(&state.pod),
        quoted(&peer),
        quoted(&request.method),
        quoted(&request.target),
        quoted(request.field("host").unwrap_or_default()),
        request.body,
        fields.join(",")
    )
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        for (text, json) in
            [("wear", "\"wear\""), ("a\"b\\c", "\"a\\\"b\\\\c\""), ("\t", "\"\\u0009\""), ("ü", "\"ü\"")]
        {
            assert_eq!(quoted(text), json);
        }
    }
}
