//! HTTP/2 connections of clients that ask too much: floods of frames, windows that stay shut, frames that never end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::origin::{Origin, Seen, read_request};
use support::{Plan, eventually};

const SHORT: Duration = Duration::from_millis(300);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `SETTINGS_MAX_CONCURRENT_STREAMS`, `SETTINGS_INITIAL_WINDOW_SIZE`, `SETTINGS_MAX_HEADER_LIST_SIZE`.
const STREAMS: u16 = 3;
const WINDOW: u16 = 4;
const HEADER_LIST: u16 = 6;

#[test]
fn settings_decide_over_streams_and_header_lists() {
    let mut plan = Plan::new(&[Origin::saying("ok").address]);
    plan.settings.client.concurrent_streams = 7;
    let site = plan.start();
    let mut client = Http2::connect(site.http, &[]);
    let settings = client.next(SETTINGS).unwrap();
    assert_eq!((settings.setting(STREAMS), settings.setting(HEADER_LIST)), (Some(7), Some(64 * 1024)));
}

#[test]
fn floods_of_control_frames_end_the_connection_and_floods_of_requests_do_not() {
    let mut plan = Plan::new(&[Origin::saying("ok").address]);
    plan.config.client.control_frames = 300;
    let site = plan.start();
    for (what, frame) in [
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("unknown", frame(0xfa, 0, 0, b"grease")),
    ] {
        let mut client = Http2::connect(site.http, &[]);
        // What cannot be written any more is what this is about.
        client.stream.write_all(&frame.repeat(5000)).ok();
        assert!(client.is_closed(), "{what}");
    }
    let mut client = Http2::connect(site.http, &[]);
    for number in 0..600 {
        client.request(2 * number + 1, "/");
        client.send(frame(PRIORITY, 0, 2 * number + 1, &[0, 0, 0, 0, 1]));
        assert!(client.ends(2 * number + 1), "{number}");
    }
}

#[test]
fn a_stream_whose_window_stays_shut_is_reset_and_gives_up_its_upstream() {
    let gone = Arc::new(AtomicUsize::new(0));
    let origin = endless(Arc::clone(&gone));
    let mut plan = Plan::new(&[origin.address]);
    plan.config.client.write = SHORT;
    let site = plan.start();
    for (window, grows) in [(0, 0), (10, 0), (1000, 1)] {
        let mut client = Http2::connect(site.http, &[(WINDOW, window)]);
        let before = gone.load(Ordering::Relaxed);
        let began = Instant::now();
        client.request(1, "/endless");
        let reset = loop {
            let frame = client.read().expect("the connection stays");
            match frame.kind {
                RST_STREAM if frame.stream == 1 => break began.elapsed(),
                // An octet at a time, which is no progress.
                DATA if grows > 0 => {
                    std::thread::sleep(Duration::from_millis(5));
                    client.send(frame_of_window(1, grows));
                }
                _ => {}
            }
        };
        assert!(reset >= SHORT && reset < 10 * SHORT, "{window}: {reset:?}");
        eventually(|| gone.load(Ordering::Relaxed) > before);
        client.send(frame(PING, 0, 0, &[0; 8]));
        assert!(client.next(PING).is_some(), "the connection goes on");
    }
}

#[test]
fn a_client_that_is_slow_but_takes_what_comes_is_not_cut() {
    let body = "x".repeat(400_000);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let origin = Origin::answering(move |_| answer.clone());
    let mut plan = Plan::new(&[origin.address]);
    plan.config.client.write = 3 * SHORT;
    let site = plan.start();
    let mut client = Http2::connect(site.http, &[]);
    client.request(1, "/");
    let (mut received, began) = (0, Instant::now());
    while received < body.len() {
        let frame = client.read().expect("the connection stays");
        assert!(frame.kind != RST_STREAM, "{received}");
        if frame.kind == DATA {
            received += frame.payload.len();
            std::thread::sleep(SHORT / 4);
            let octets = u32::try_from(frame.payload.len()).unwrap();
            client.send([frame_of_window(1, octets), frame_of_window(0, octets)].concat());
        }
    }
    assert!(began.elapsed() > 4 * SHORT, "{:?}", began.elapsed());
}

#[test]
fn a_slow_client_gets_the_last_response_of_a_connection_whole() {
    let body = "x".repeat(30_000);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let origin = Origin::answering(move |_| answer.clone());
    let mut plan = Plan::new(&[origin.address]);
    plan.settings.client.keep_alive_requests = 1;
    let site = plan.start();
    let mut client = Http2::connect(site.http, &[(WINDOW, 1000)]);
    client.request(1, "/");
    let mut octets = 0;
    while octets < 30_000 {
        let frame = client.read().unwrap_or_else(|| panic!("cut after {octets} octets"));
        match frame.kind {
            DATA if frame.stream == 1 => octets += frame.payload.len(),
            _ => continue,
        }
        // Slower than what waits for it would take until the connection is given up, were it not taken at all.
        std::thread::sleep(2 * SHORT);
        client.send(frame_of_window(1, 1000));
    }
}

#[test]
fn a_small_response_waits_for_its_window_and_then_comes_whole() {
    let site = Plan::new(&[Origin::saying("ok").address]).start();
    let mut client = Http2::connect(site.http, &[(WINDOW, 0)]);
    client.request(1, "/");
    assert!(client.next(HEADERS).is_some_and(|head| head.flags & END_STREAM == 0));
    let mut body = Vec::new();
    for (octets, want) in [(0, ""), (1, "o"), (1, "ok")] {
        if octets > 0 {
            client.send(frame_of_window(1, octets));
        }
        client.send(frame(PING, 0, 0, &[0; 8]));
        loop {
            let frame = client.read().expect("the connection stays");
            match frame.kind {
                DATA => body.extend(frame.payload),
                PING => break,
                _ => {}
            }
        }
        // What the window lets pass may come after the answer to the ping.
        while body.len() < want.len() {
            body.extend(client.next(DATA).expect("the connection stays").payload);
        }
        assert_eq!(body, want.as_bytes());
    }
}

#[test]
fn many_small_pieces_wait_for_the_window_and_not_in_memory() {
    let origin = Origin::serving(|stream, connection, seen| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        read_request(&mut reader, connection, &seen).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").ok();
        for _ in 0..200 {
            std::thread::sleep(Duration::from_millis(1));
            // The proxy lets go of it when it has reset the stream.
            if stream.write_all(b"1\r\nx\r\n").is_err() {
                return;
            }
        }
        // Nothing more comes, so that only what waits for its window can end the stream.
        let _closed = stream.read(&mut [0]);
    });
    let mut plan = Plan::new(&[origin.address]);
    plan.config.client.write = SHORT;
    let site = plan.start();
    let mut client = Http2::connect(site.http, &[(WINDOW, 0)]);
    client.stream.set_read_timeout(Some(10 * SHORT)).unwrap();
    client.request(1, "/");
    assert!(client.next(RST_STREAM).is_some(), "all pieces were taken though none of them can be sent");
}

#[test]
fn a_stream_that_waits_for_its_upstream_has_time() {
    let origin = Origin::serving(|stream, connection, seen| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        while read_request(&mut reader, connection, &seen).is_some() {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc").unwrap();
            std::thread::sleep(3 * SHORT);
            stream.write_all(b"def").unwrap();
        }
    });
    let mut plan = Plan::new(&[origin.address]);
    plan.config.client.write = SHORT;
    let site = plan.start();
    let mut client = Http2::connect(site.http, &[]);
    client.request(1, "/");
    assert!(client.ends(1));
}

#[test]
fn connections_that_stop_in_the_middle_are_closed() {
    let mut plan = Plan::new(&[Origin::saying("ok").address]);
    plan.settings.client.header_timeout = SHORT;
    plan.settings.client.body_timeout = SHORT;
    let site = plan.start();
    let settings = frame(SETTINGS, 0, 0, &[]);
    let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields("/"));
    let open = frame(HEADERS, END_STREAM, 1, &fields("/"));
    let body = [frame(HEADERS, END_HEADERS, 1, &fields("/")), frame(DATA, 0, 1, &[0; 100])[..50].to_vec()].concat();
    for (what, octets) in [
        ("preface alone", Vec::new()),
        ("settings cut short", settings[..5].to_vec()),
        ("settings alone", settings.clone()),
        ("fields cut short", [&settings[..], &head[..head.len() - 1]].concat()),
        ("fields not continued", [&settings[..], &open].concat()),
        ("a head of a frame", [&settings[..], &head[..4]].concat()),
        ("data cut short", [settings.clone(), body].concat()),
    ] {
        let mut client = Http2 { stream: TcpStream::connect(site.http).unwrap() };
        client.send(PREFACE);
        client.send(&octets);
        let began = Instant::now();
        client.stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // Whoever is told to go goes.
        while client.read().is_some_and(|frame| frame.kind != GOAWAY) {}
        assert!(began.elapsed() >= SHORT / 2 && began.elapsed() < 8 * SHORT, "{what}: {:?}", began.elapsed());
    }
}

#[test]
fn a_connection_ends_after_its_number_of_requests() {
    let mut plan = Plan::new(&[Origin::saying("ok").address]);
    plan.settings.client.keep_alive_requests = 2;
    let site = plan.start();
    let mut client = Http2::connect(site.http, &[]);
    for stream in [1, 3] {
        client.request(stream, "/");
    }
    assert!(client.next(GOAWAY).is_some());
}

#[test]
fn responses_take_as_few_frames_as_they_can() {
    for (answer, head_only, want) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, &[(HEADERS, 0), (DATA, END_STREAM)][..]),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", true, &[(HEADERS, END_STREAM)]),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, &[(HEADERS, END_STREAM)]),
        ("HTTP/1.1 204 No Content\r\n\r\n", false, &[(HEADERS, END_STREAM)]),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", false, &[(HEADERS, END_STREAM)]),
    ] {
        let origin = Origin::answering(move |_| answer.to_owned());
        let site = Plan::new(&[origin.address]).start();
        let mut client = Http2::connect(site.http, &[]);
        let fields =
            if head_only { [vec![0x02, 4], b"HEAD".to_vec(), fields("/")[1..].to_vec()].concat() } else { fields("/") };
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields));
        let mut seen = Vec::new();
        while seen.last().is_none_or(|(_, flags)| flags & END_STREAM == 0) {
            let frame = client.read().expect("the connection stays");
            if frame.stream == 1 {
                seen.push((frame.kind, frame.flags & END_STREAM));
            }
        }
        assert_eq!(seen, want, "{answer}");
    }
}

#[test]
fn many_streams_at_once_are_answered_and_those_reset_make_room() {
    let origin = Origin::serving(|stream, connection, seen| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        while read_request(&mut reader, connection, &seen).is_some() {
            std::thread::sleep(SHORT / 3);
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    });
    let site = Plan::new(&[origin.address]).start();
    let mut client = Http2::connect(site.http, &[]);
    let numbers = |round: u32| (0..100).map(move |number| 2 * (100 * round + number) + 1);
    for round in 0..3 {
        for number in numbers(round) {
            client.request(number, "/");
        }
        // Every tenth is not wanted any more.
        let reset: Vec<u32> = numbers(round).step_by(10).collect();
        for number in &reset {
            client.send(frame(RST_STREAM, 0, *number, &[0, 0, 0, 8]));
        }
        let mut over = 0;
        while over < 90 {
            let frame = client.read().expect("the connection stays");
            assert_ne!(frame.kind, GOAWAY);
            if frame.kind == DATA && frame.flags & END_STREAM != 0 && !reset.contains(&frame.stream) {
                over += 1;
            }
        }
    }
}

#[test]
fn a_connect_with_a_body_is_reset_and_the_connection_goes_on() {
    let site = Plan::new(&[Origin::saying("ok").address]).start();
    let mut client = Http2::connect(site.http, &[]);
    // `:method`, `:authority`, `content-length`.
    let connect = [&[0x02, 7][..], b"CONNECT", &[0x01, 9], b"a.example", &[0x0f, 13, 1], b"5"].concat();
    client.send(frame(HEADERS, END_HEADERS, 1, &connect));
    let reset = client.next(RST_STREAM).unwrap();
    // INTERNAL_ERROR
    assert_eq!((reset.stream, &reset.payload[..]), (1, &[0, 0, 0, 2][..]));
    client.request(3, "/");
    assert!(client.ends(3));
}

#[test]
fn without_http2_the_preface_is_a_bad_request() {
    let origin = Origin::saying("ok");
    let mut plan = Plan::new(&[origin.address]);
    plan.settings.http2 = false;
    let mut site = plan.clone().start();
    let mut client = support::client::Client::connect(site.http);
    client.send(PREFACE);
    let answer = client.response().unwrap();
    assert_eq!((answer.status, answer.field("connection")), (400, Some("close")));
    assert!(client.is_closed());
    plan.settings.http2 = true;
    site.publish(&plan);
    let mut client = Http2::connect(site.http, &[]);
    client.request(1, "/");
    assert!(client.ends(1));
}

/// Answers with a body that never ends, and counts the connections that were given up.
fn endless(gone: Arc<AtomicUsize>) -> Origin {
    Origin::serving(move |stream, connection, seen: Arc<Mutex<Vec<Seen>>>| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        read_request(&mut reader, connection, &seen).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
        while stream.write_all(&[b'x'; 16 * 1024]).is_ok() {}
        gone.fetch_add(1, Ordering::Relaxed);
    })
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A client that writes frames by hand.
struct Http2 {
    stream: TcpStream,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn setting(&self, name: u16) -> Option<u32> {
        let entries = self.payload.chunks(6).map(|entry| (u16::from_be_bytes([entry[0], entry[1]]), &entry[2..]));
        let mut found = entries.filter(|(known, _)| *known == name);
        found.next().map(|(_, value)| u32::from_be_bytes(value.try_into().unwrap()))
    }
}

impl Http2 {
    fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut client = Self { stream: TcpStream::connect(address).unwrap() };
        client.stream.set_nodelay(true).unwrap();
        client.stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let entry = |(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
        client.send(PREFACE);
        client.send(frame(SETTINGS, 0, 0, &settings.iter().flat_map(entry).collect::<Vec<u8>>()));
        client
    }

    fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).unwrap();
    }

    fn request(&mut self, stream: u32, path: &str) {
        self.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields(path)));
    }

    /// The next frame; none at the end of the connection.
    fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    fn next(&mut self, kind: u8) -> Option<Frame> {
        std::iter::from_fn(|| self.read()).find(|frame| frame.kind == kind)
    }

    /// Whether a stream comes to its proper end.
    fn ends(&mut self, stream: u32) -> bool {
        let mut frames = std::iter::from_fn(|| self.read()).filter(|frame| frame.stream == stream);
        let last = frames.find(|frame| frame.kind == RST_STREAM || frame.flags & END_STREAM != 0);
        last.is_some_and(|frame| frame.kind != RST_STREAM)
    }

    fn is_closed(&mut self) -> bool {
        // A reset also closes.
        self.stream
            .read_to_end(&mut Vec::new())
            .map_or_else(|error| error.kind() != std::io::ErrorKind::WouldBlock, |_| true)
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn frame_of_window(stream: u32, octets: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &octets.to_be_bytes())
}

/// A GET, by the static table of HPACK (RFC 7541 appendix A) and literals without indexing.
fn fields(path: &str) -> Vec<u8> {
    let literal = |name: u8, value: &str| [&[name, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    [vec![0x82, 0x86], literal(4, path), literal(1, "a.example")].concat()
}
