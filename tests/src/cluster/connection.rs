//! An HTTP/1.1 connection that is used again.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Open as long as the server keeps it.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    reader: BufReader<TcpStream>,
}

/// A status, and whether the server keeps the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Status code.
    pub code: u16,
    /// False after `Connection: close`.
    pub keeps: bool,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { address, reader: BufReader::new(stream) })
    }

    /// Asks for a path of a host and reads the whole answer.
    pub fn get(&mut self, host: &str, path: &str) -> io::Result<Status> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    /// Sends a body and reads the whole answer.
    pub fn post(&mut self, path: &str, kind: &str, body: &str) -> io::Result<Status> {
        let (host, length) = (self.address, body.len());
        let head = format!("Host: {host}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n");
        self.ask(&format!("POST {path} HTTP/1.1\r\n{head}\r\n{body}"))
    }

    fn ask(&mut self, request: &str) -> io::Result<Status> {
        self.reader.get_mut().write_all(request.as_bytes())?;
        let code = self.line()?.split(' ').nth(1).and_then(|code| code.parse().ok());
        let code = code.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer"))?;
        let (mut length, mut keeps) = (None, true);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            let Some((name, value)) = line.split_once(':') else { break };
            match name {
                "content-length" => length = value.trim().parse::<u64>().ok(),
                "connection" => keeps = value.trim() != "close",
                _ => {}
            }
        }
        match length {
            Some(length) => self.skip(length)?,
            None => self.skip_chunks()?,
        }
        Ok(Status { code, keeps })
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let read = io::copy(&mut self.reader.by_ref().take(length), &mut io::sink())?;
        if read < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn skip_chunks(&mut self) -> io::Result<()> {
        loop {
            let size = u64::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
            self.skip(size)?;
            self.line()?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}
