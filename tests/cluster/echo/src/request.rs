//! Reading HTTP/1.1 requests, as far as a backend of tests needs it.

use std::io::{self, BufRead, Read};

/// Heads and lengths beyond these end the connection.
const LINE: u64 = 16 * 1024;
const FIELDS: usize = 100;

/// A request; its body has been read and counted.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query as sent.
    pub(crate) target: String,
    /// Names in lower case, in the order they came.
    pub(crate) fields: Vec<(String, String)>,
    /// Length of the body in bytes.
    pub(crate) body: u64,
}

impl Request {
    /// Reads the next one; none where the connection ended in peace.
    pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let first = line(reader)?;
        let mut words = first.split_ascii_whitespace();
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
        let mut request = Self { method: method.to_owned(), target: target.to_owned(), fields: Vec::new(), body: 0 };
        loop {
            let text = line(reader)?;
            let Some((name, value)) = text.split_once(':') else { break };
            request.fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            if request.fields.len() > FIELDS {
                return Err(io::Error::other("too many fields"));
            }
        }
        request.body = request.drop_body(reader)?;
        Ok(Some(request))
    }

    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The number that a parameter of the query has.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        let (_, query) = self.target.split_once('?')?;
        let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1;
        value.parse().ok()
    }

    fn drop_body(&self, reader: &mut impl BufRead) -> io::Result<u64> {
        if self.field("transfer-encoding").is_none() {
            let length = self.field("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
            return io::copy(&mut reader.take(length), &mut io::sink());
        }
        let mut sum = 0;
        loop {
            let size = line(reader)?;
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
            if size == 0 {
                while !line(reader)?.is_empty() {}
                return Ok(sum);
            }
            sum += io::copy(&mut reader.take(size), &mut io::sink())?;
            line(reader)?;
        }
    }
}

/// A line without its end; empty at the end of the stream.
fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    reader.take(LINE).read_line(&mut text)?;
    Ok(text.trim_end().to_owned())
}
