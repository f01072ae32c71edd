//! The values of nginx variables that a request head and its route give.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use portcullis_model::{Known, Part, Template, Variable};

use super::head::{FieldLines, Reading, RequestHead, X_FORWARDED_FOR};
use crate::access_log::{ClientText, HeadVariable, Room, Style, UsualHead, put_ip, put_number};
use crate::table::CompiledRoute;
use crate::upstream::Upstream;

/// A request with what is known when its head was read.
#[derive(Clone, Copy)]
pub(super) struct Variables<'r> {
    pub(super) head: &'r RequestHead<'r>,
    /// None where the head was refused.
    pub(super) reading: Option<&'r Reading<'r>>,
    /// The route, for templates of its policies.
    pub(super) route: Option<&'r CompiledRoute>,
    pub(super) connection: ConnectionVariables<'r>,
}

/// What a connection gives.
#[derive(Clone, Copy, Default)]
pub(crate) struct ConnectionVariables<'r> {
    /// `$connection`.
    pub(crate) number: u64,
    /// `$connection_requests`.
    pub(crate) requests: u64,
    /// `$ssl_protocol`, `$ssl_cipher`, `$ssl_server_name`.
    pub(crate) tls: Option<&'r TlsFacts>,
}

/// What a TLS handshake settled.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsFacts {
    /// `TLSv1.3`.
    pub(crate) protocol: &'static str,
    /// As OpenSSL names cipher suites of TLS 1.3, and as the standard names those of TLS 1.2.
    pub(crate) cipher: String,
    /// Server name the client asked for.
    pub(crate) server_name: Option<String>,
}

impl Variables<'_> {
    /// Fills in a template. Variables without a value are empty, as in nginx.
    pub(super) fn expand(&self, template: &Template, groups: &[&[u8]; 10]) -> Vec<u8> {
        let mut text = Vec::new();
        for part in template.parts() {
            match part {
                Part::Literal(literal) => text.extend_from_slice(literal.as_bytes()),
                Part::Capture(group) => text.extend_from_slice(groups.get(usize::from(*group)).unwrap_or(&&[][..])),
                Part::Variable(variable) => self.push(variable, &mut text),
            }
        }
        text
    }

    /// Appends the value of a variable; nothing where it has none.
    pub(super) fn push(&self, variable: &Variable, out: &mut Vec<u8>) {
        let style = Style::Verbatim;
        // There is always room in a vector.
        match variable {
            Variable::Known(known) => self.put_known(*known, style, out),
            Variable::Header(name) => HeaderName::from_bytes(name.as_bytes())
                .map_or(None, |name| put_field(self.head.headers, &name, style, out)),
            Variable::Cookie(name) => style.put_some(cookie(self.head.headers, name), out),
            Variable::Argument(name) => style.put_some(argument(self.head.query(), name).map(str::as_bytes), out),
            Variable::SentHeader(_) | Variable::UpstreamHeader(_) => None,
        };
    }

    /// Writes the value of a variable, for the log.
    pub(super) fn put<R: Room>(&self, variable: &HeadVariable, style: Style, room: R) -> Option<R> {
        match variable {
            HeadVariable::Known(known) => self.put_known(*known, style, room),
            HeadVariable::Field(name) => put_field(self.head.headers, name, style, room),
            HeadVariable::UserAgent => self.put_lines(self.head.user_agent(), &header::USER_AGENT, style, room),
            HeadVariable::Referer => self.put_lines(self.head.referer(), &header::REFERER, style, room),
            HeadVariable::Cookie(name) => style.put_some(cookie(self.head.headers, name), room),
            HeadVariable::Argument(name) => style.put_some(argument(self.head.query(), name).map(str::as_bytes), room),
            HeadVariable::Nothing => style.put_unset(room),
        }
    }

    /// What a line in the default format has of the head, where that is nothing unusual. `peer` is the text of its peer.
    #[inline]
    pub(super) fn usual<'h>(&'h self, peer: &'h ClientText) -> Option<UsualHead<'h>> {
        let head = self.head;
        let only = |(first, count): FieldLines<'h>| (count <= 1).then_some(first.map(HeaderValue::as_bytes));
        Some(UsualHead {
            client: &head.peer.client,
            client_text: (head.peer.client == head.peer.socket).then_some(peer),
            method: head.method,
            target: head.target(),
            version: head.version,
            referer: only(head.referer())?,
            user_agent: only(head.user_agent())?,
        })
    }

    /// Writes all lines of a field of which the first is known.
    fn put_lines<R: Room>(&self, lines: FieldLines<'_>, name: &HeaderName, style: Style, room: R) -> Option<R> {
        match lines {
            (first, 0 | 1) => style.put_some(first.map(HeaderValue::as_bytes), room),
            _ => put_field(self.head.headers, name, style, room),
        }
    }

    fn put_known<R: Room>(&self, known: Known, style: Style, room: R) -> Option<R> {
        let head = self.head;
        let some = |text: Option<&str>, room: R| style.put_some(text.map(str::as_bytes), room);
        let tls = self.connection.tls;
        match known {
            Known::RemoteAddr | Known::BinaryRemoteAddr => put_ip(head.peer.client, room),
            Known::ProxyProtocolAddr => match head.facts.proxied {
                Some(proxied) => put_ip(proxied.source.to_canonical(), room),
                None => style.put_unset(room),
            },
            Known::RemotePort => put_number(head.facts.peer.port().into(), room),
            Known::Request => put_request_line(head, style, room),
            Known::RequestMethod => room.put_value(head.method.as_str().as_bytes(), style),
            Known::RequestUri => room.put_value(head.target().as_bytes(), style),
            Known::Uri => some(Some(self.reading.map_or(head.raw_path(), |reading| reading.path.as_str())), room),
            Known::Args => some(head.query(), room),
            Known::IsArgs => room.put(if head.query().is_some_and(|query| !query.is_empty()) { b"?" } else { b"" }),
            Known::Scheme => room.put(head.facts.scheme().as_bytes()),
            Known::PassAccessScheme => some(Some(head.scheme()), room),
            Known::ServerProtocol => room.put(protocol(head.version).as_bytes()),
            Known::ServerPort => put_number(head.facts.port.into(), room),
            Known::Host => some(self.host(), room),
            Known::BestHttpHost => some(self.best_host(), room),
            Known::Connection => put_number(self.connection.number, room),
            Known::ConnectionRequests => put_number(self.connection.requests, room),
            Known::SslProtocol => some(tls.map(|tls| tls.protocol), room),
            Known::SslCipher => some(tls.map(|tls| tls.cipher.as_str()), room),
            Known::SslServerName => some(tls.and_then(|tls| tls.server_name.as_deref()), room),
            Known::ProxyAddXForwardedFor => {
                let room = match head.headers.contains_key(&X_FORWARDED_FOR) {
                    true => put_field(head.headers, &X_FORWARDED_FOR, style, room)?.put(b", ")?,
                    false => room,
                };
                put_ip(head.peer.client, room)
            }
            Known::Namespace => some(self.route.map(|route| &*route.route.source.namespace), room),
            Known::IngressName => some(self.route.map(|route| &*route.route.source.ingress), room),
            Known::LocationPath => some(self.route.map(|route| &*route.route.source.path), room),
            Known::ServerName => some(self.route.map(|route| &*route.route.source.host), room),
            Known::ServiceName => some(self.upstream().map(|upstream| &*upstream.id().service), room),
            Known::ServicePort => some(self.upstream().map(|upstream| &*upstream.id().port), room),
            Known::ProxyUpstreamName => some(self.upstream().map(|upstream| &**upstream.name()), room),
            Known::Rule => match self.route {
                Some(route) => room.put_value(route.rule().to_string().as_bytes(), style),
                None => style.put_unset(room),
            },
            // Known to the log alone, at the end.
            Known::RemoteUser
            | Known::TimeLocal
            | Known::TimeIso8601
            | Known::Msec
            | Known::Status
            | Known::BodyBytesSent
            | Known::BytesSent
            | Known::RequestLength
            | Known::RequestTime
            | Known::RequestId
            | Known::ProxyAlternativeUpstreamName
            | Known::UpstreamAddr
            | Known::UpstreamResponseLength
            | Known::UpstreamResponseTime
            | Known::UpstreamConnectTime
            | Known::UpstreamHeaderTime
            | Known::UpstreamStatus
            | Known::Reason => style.put_unset(room),
        }
    }

    fn upstream(&self) -> Option<&Arc<Upstream>> {
        self.route.and_then(|route| route.upstream.as_ref())
    }

    fn host(&self) -> Option<&str> {
        self.reading.and_then(|reading| reading.authority.as_ref()).map(portcullis_model::Authority::host)
    }

    fn best_host(&self) -> Option<&str> {
        let own = || self.reading.and_then(|reading| reading.authority.as_ref()).map(|host| host.as_received());
        self.head.forwarded_host().or_else(own)
    }
}

/// `HTTP/1.1`, `HTTP/2.0`.
pub(super) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

fn put_request_line<R: Room>(head: &RequestHead<'_>, style: Style, room: R) -> Option<R> {
    // A method has no octet that any style would change (RFC 9110 section 5.6.2).
    let room = room.put(head.method.as_str().as_bytes())?.put_first(b" ", 1)?;
    let room = room.put_value(head.target().as_bytes(), style)?.put_first(b" ", 1)?;
    room.put(protocol(head.version).as_bytes())
}

/// Appends all lines of a field, as nginx joins them. Returns whether there are any.
pub(super) fn push_field(headers: &HeaderMap, name: &str, out: &mut Vec<u8>) -> bool {
    let Some(name) = HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| headers.contains_key(name)) else {
        return false;
    };
    put_field(headers, &name, Style::Verbatim, out).is_some()
}

/// Writes all lines of a field, as nginx joins them.
pub(super) fn put_field<R: Room>(headers: &HeaderMap, name: &HeaderName, style: Style, room: R) -> Option<R> {
    // Mostly no field has several lines, and to ask for the only one is cheaper.
    if headers.len() == headers.keys_len() {
        return style.put_some(headers.get(name).map(HeaderValue::as_bytes), room);
    }
    let mut lines = headers.get_all(name).iter();
    let mut room = style.put_some(lines.next().map(HeaderValue::as_bytes), room)?;
    for line in lines {
        room = room.put(b", ")?.put_value(line.as_bytes(), style)?;
    }
    Some(room)
}

/// The value of a cookie (RFC 6265 section 4.2): the first of that name.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let pairs = headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|octet| *octet == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The value of a query parameter, not decoded (nginx: `$arg_name`, whose name ignores case).
fn argument<'q>(query: Option<&'q str>, name: &str) -> Option<&'q str> {
    let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use portcullis_model::Settings;

    use super::super::testing::{PLAIN, parts};
    use super::*;
    use crate::access_log::{Batch, Captured, Lines, LogFormat};

    #[test]
    fn a_head_gives_values_for_its_variables() {
        let parts = parts(
            "GET /a%20b?x=1&Y=2 HTTP/1.1\nHost: Shop.Example:8080\nX-User: u\nX-User: v\nUser-Agent: one\nReferer: two\nReferer: three\nCookie: a=1; bb=2\nCookie: c=3\nX-Forwarded-For: 1.2.3.4",
        );
        let head = RequestHead::new(&parts, PLAIN, &Settings::default());
        let reading = head.read().unwrap();
        let connection = ConnectionVariables { number: 7, requests: 2, tls: None };
        let variables = Variables { head: &head, reading: Some(&reading), route: None, connection };
        for (name, want) in [
            ("request", Some("GET /a%20b?x=1&Y=2 HTTP/1.1")),
            ("request_uri", Some("/a%20b?x=1&Y=2")),
            ("uri", Some("/a b")),
            ("args", Some("x=1&Y=2")),
            ("is_args", Some("?")),
            ("host", Some("shop.example")),
            ("best_http_host", Some("Shop.Example:8080")),
            ("remote_addr", Some("127.0.0.9")),
            ("remote_port", Some("4000")),
            ("server_port", Some("8080")),
            ("scheme", Some("http")),
            ("http_x_user", Some("u, v")),
            ("http_x_other", None),
            ("http_user_agent", Some("one")),
            ("http_referer", Some("two, three")),
            ("cookie_bb", Some("2")),
            ("cookie_c", Some("3")),
            ("cookie_b", None),
            ("arg_y", Some("2")),
            ("arg_z", None),
            ("connection", Some("7")),
            ("connection_requests", Some("2")),
            ("ssl_protocol", None),
            ("proxy_add_x_forwarded_for", Some("1.2.3.4, 127.0.0.9")),
            ("namespace", None),
        ] {
            let mut out = Vec::new();
            variables.push(&Variable::parse(name).unwrap(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want.unwrap_or_default(), "{name}");
            let mut logged = Vec::new();
            variables.put(&HeadVariable::new(&Variable::parse(name).unwrap()), Style::Default, &mut logged).unwrap();
            assert_eq!(String::from_utf8(logged).unwrap(), want.unwrap_or("-"), "{name}");
        }
    }

    #[test]
    fn lines_need_no_memory_but_what_the_lines_before_them_had() {
        let parts = parts("GET /a?b=c HTTP/1.1\nHost: a.example\nUser-Agent: \"odd\"\nReferer: http://b.example/");
        let head = RequestHead::new(&parts, PLAIN, &Settings::default());
        let reading = head.read().unwrap();
        let connection = ConnectionVariables::default();
        let variables = Variables { head: &head, reading: Some(&reading), route: None, connection };
        let format = LogFormat::new(Arc::new(Settings::default()));
        let (queue, batches) = sync_channel(2);
        let (lines, mut captured) = (Lines::new(queue, Arc::default()), Captured::default());
        let mut write = || {
            for _ in 0..100 {
                format.capture_request(&mut captured, |variable, style, room| variables.put(variable, style, room));
                format.complete(&mut captured);
                lines.add(|room| format.render(&captured, room, |_, _, room| put_number(12_345, room)));
                captured.clear();
            }
            lines.hand_over();
            batches.try_iter().for_each(Batch::give_back);
        };
        write();
        assert_eq!(allocation_counter::measure(write).count_total, 0);
        drop(lines);
        assert!(batches.recv().is_err());
    }
}
