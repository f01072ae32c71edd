//! Upstreams made by hand: they see every octet and answer with any.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A listening upstream that remembers what it received.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request as an upstream received it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Number of the connection, from 0.
    pub(crate) connection: usize,
    /// Request line.
    pub(crate) line: String,
    /// Fields, in order, names as received.
    pub(crate) fields: Vec<(String, String)>,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
    /// Whether it came to its end.
    pub(crate) complete: bool,
}

impl Seen {
    /// The lines of a field, joined by ` | `.
    pub(crate) fn field(&self, name: &str) -> String {
        let lines = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" | ")
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }
}

impl Origin {
    /// Answers every request with 200 and `text`, on connections that stay open.
    pub(crate) fn saying(text: &'static str) -> Self {
        Self::answering(move |_| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()))
    }

    /// Answers every request with the octets that `answer` makes, on connections that stay open.
    pub(crate) fn answering(answer: impl Fn(&Seen) -> String + Send + Sync + 'static) -> Self {
        Self::serving(move |stream, connection, seen| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while let Some(request) = read_request(&mut reader, connection, &seen) {
                if stream.write_all(answer(&request).as_bytes()).is_err() {
                    return;
                }
            }
        })
    }

    /// Answers the first request of a connection with these octets and closes it.
    pub(crate) fn closing(octets: &'static str) -> Self {
        Self::serving(move |stream, connection, seen| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            if read_request(&mut reader, connection, &seen).is_some() {
                stream.write_all(octets.as_bytes()).ok();
            }
        })
    }

    /// Does with each connection what `serve` does.
    pub(crate) fn serving(
        serve: impl Fn(&mut TcpStream, usize, Arc<Mutex<Vec<Seen>>>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (all, serve) = (Arc::clone(&seen), Arc::new(serve));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (all, serve) = (Arc::clone(&all), Arc::clone(&serve));
                std::thread::spawn(move || serve(&mut stream.unwrap(), connection, all));
            }
        });
        Self { address, seen }
    }

    /// What it received so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// An address that nobody listens on.
pub(crate) fn refused() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Reads a request strictly by RFC 9112 and remembers it, also when it is cut short. None at the end of the connection.
pub(crate) fn read_request(
    reader: &mut BufReader<TcpStream>,
    connection: usize,
    seen: &Mutex<Vec<Seen>>,
) -> Option<Seen> {
    let mut request = Seen { connection, line: line(reader)?, ..Seen::default() };
    loop {
        let field = line(reader)?;
        let Some((name, value)) = field.split_once(": ").or(field.split_once(':')) else { break };
        request.fields.push((name.to_owned(), value.to_owned()));
    }
    let read = if request.has("transfer-encoding") {
        chunked(reader, &mut request.body)
    } else {
        let length = request.field("content-length").parse().unwrap_or(0);
        exactly(reader, length, &mut request.body)
    };
    request.complete = read.is_some();
    seen.lock().unwrap().push(request.clone());
    read.map(|()| request)
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut text = Vec::new();
    reader.read_until(b'\n', &mut text).ok()?;
    Some(String::from_utf8(text.strip_suffix(b"\r\n")?.to_vec()).unwrap())
}

fn exactly(reader: &mut impl Read, length: usize, body: &mut Vec<u8>) -> Option<()> {
    let read = reader.take(length as u64).read_to_end(body).ok()?;
    (read == length).then_some(())
}

fn chunked(reader: &mut impl BufRead, body: &mut Vec<u8>) -> Option<()> {
    loop {
        let length = usize::from_str_radix(&line(reader)?, 16).unwrap();
        exactly(reader, length, body)?;
        assert_eq!(line(reader)?, "");
        if length == 0 {
            return Some(());
        }
    }
}
