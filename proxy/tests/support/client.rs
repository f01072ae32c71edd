//! A client that sends bytes and reads answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An HTTP/1 connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    reader: BufReader<TcpStream>,
}

/// A response as received.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) line: String,
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its end as its framing says.
    pub(crate) complete: bool,
}

impl Response {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { reader: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    pub(crate) fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).unwrap();
    }

    /// Sends a GET and reads the answer.
    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.request(&format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n"))
    }

    /// Sends these octets and reads the answer to a request that is not HEAD.
    pub(crate) fn request(&mut self, octets: &str) -> Response {
        self.send(octets);
        self.response().expect("an answer")
    }

    /// The next response; none where the connection ends before its head is complete.
    pub(crate) fn response(&mut self) -> Option<Response> {
        self.response_to("GET")
    }

    pub(crate) fn response_to(&mut self, method: &str) -> Option<Response> {
        loop {
            let mut response = self.head()?;
            if (100..200).contains(&response.status) && response.status != 101 {
                continue;
            }
            let bodyless = method == "HEAD" || matches!(response.status, 101 | 204 | 304);
            response.complete = bodyless || self.body(&mut response).is_some();
            return Some(response);
        }
    }

    /// The next response head, interim ones included.
    pub(crate) fn head(&mut self) -> Option<Response> {
        let line = self.line()?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut response = Response { line, status, fields: Vec::new(), body: Vec::new(), complete: true };
        loop {
            let field = self.line()?;
            let Some((name, value)) = field.split_once(": ") else { break };
            response.fields.push((name.to_owned(), value.to_owned()));
        }
        Some(response)
    }

    fn body(&mut self, response: &mut Response) -> Option<()> {
        if response.field("transfer-encoding").is_some() {
            loop {
                let length = u64::from_str_radix(&self.line()?, 16).ok()?;
                self.exactly(length, &mut response.body)?;
                self.line()?;
                if length == 0 {
                    return Some(());
                }
            }
        }
        match response.field("content-length").map(|length| length.parse().unwrap()) {
            Some(length) => self.exactly(length, &mut response.body),
            None => self.reader.read_to_end(&mut response.body).ok().map(|_| ()),
        }
    }

    fn exactly(&mut self, length: u64, body: &mut Vec<u8>) -> Option<()> {
        let read = (&mut self.reader).take(length).read_to_end(body).ok()?;
        (read as u64 == length).then_some(())
    }

    /// A line without its end; none where the connection ends first.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut text = Vec::new();
        self.reader.read_until(b'\n', &mut text).ok()?;
        Some(String::from_utf8_lossy(text.strip_suffix(b"\r\n")?).into_owned())
    }

    /// Reads this many octets.
    pub(crate) fn octets(&mut self, count: usize) -> Vec<u8> {
        let mut octets = vec![0; count];
        self.reader.read_exact(&mut octets).unwrap();
        octets
    }

    /// Whether the server closes the connection without another octet.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        // A reset also closes.
        self.reader.read_to_end(&mut rest).map_or(true, |count| count == 0)
    }
}
