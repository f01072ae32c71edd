//! Lines in the default format: the same as from its parts, in fewer steps, for requests with nothing unusual about them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{Method, Version};
use portcullis_model::{AccessLogSettings, LogEscape};
use tokio::time::Instant;

use super::Lines;
use super::addresses::AddressTexts;
use super::captured::{Captured, Runs};
use super::clock::{LOCAL, WallClock};
use super::digits::{put_ip, put_number_field, put_seconds_field};
use super::escape::{Found, Style};
use super::literal::Literal;
use super::room::Room;

/// Whether lines are those of the default format.
pub(super) fn is_usual(settings: &AccessLogSettings) -> bool {
    settings.escape == LogEscape::Default && settings.format == AccessLogSettings::default().format
}

/// `$remote_addr` as it is written.
#[derive(Clone, Debug)]
pub(crate) struct ClientText(Literal<16>);

impl ClientText {
    /// Of an address.
    pub(crate) fn new(text: &str) -> Self {
        Self(Literal::new(text.as_bytes()))
    }
}

/// What a line has of a request head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsualHead<'h> {
    /// `$remote_addr`.
    pub(crate) client: &'h IpAddr,
    /// Its text, where it is known.
    pub(crate) client_text: Option<&'h ClientText>,
    /// `$request`: method, target and version.
    pub(crate) method: &'h Method,
    pub(crate) target: &'h str,
    pub(crate) version: Version,
    /// `$http_referer`.
    pub(crate) referer: Option<&'h [u8]>,
    /// `$http_user_agent`.
    pub(crate) user_agent: Option<&'h [u8]>,
}

/// What a line has of the rest of a request that one endpoint answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsualEnd<'e> {
    /// The present.
    pub(crate) now: Instant,
    /// `$status`.
    pub(crate) status: u16,
    /// `$body_bytes_sent`.
    pub(crate) sent: u64,
    /// `$request_length`.
    pub(crate) received: u64,
    /// `$request_time`.
    pub(crate) took: Duration,
    /// `$proxy_upstream_name`.
    pub(crate) upstream: &'e UpstreamNames,
    /// `$upstream_addr`, `$upstream_response_length`, `$upstream_response_time`, `$upstream_status`.
    pub(crate) address: &'e SocketAddr,
    pub(crate) upstream_sent: u64,
    pub(crate) upstream_took: Duration,
    pub(crate) upstream_status: u16,
}

/// More than a line has after the values of the request head, unless a name is very long.
const MOST_OF_END: usize = 1024;
/// More than it has of the head but for the three values whose lengths are known, unless the method is very long.
const MOST_OF_HEAD: usize = 192;
/// Between the client and `$request`: what there is after the client, and room for the time.
const BEFORE_REQUEST: [u8; 6 + BETWEEN] = *b" - - [                          ] \"";
/// Octets of it from the time on.
const BETWEEN: usize = LOCAL + 3;

/// Where parts of a line end.
#[derive(Clone, Copy, Debug)]
pub(super) struct UsualEnds {
    client: usize,
    request: usize,
}

impl Captured {
    /// Writes down what the line has of a request head. False, and nothing of use, where a value needs to be escaped.
    #[inline]
    pub(crate) fn note_usual(&mut self, head: &UsualHead<'_>) -> bool {
        let text = &mut self.request.text;
        text.clear();
        let mut found = Found::default();
        let mut ends = UsualEnds { client: 0, request: 0 };
        let is_whole = text.add_within(head.most(), |room| {
            let all = room.len();
            let room = head.put_client(room)?.put_first(&BEFORE_REQUEST, BEFORE_REQUEST.len())?;
            ends.client = all - room.len() - BETWEEN;
            let room = head.put_request(&mut found, room)?;
            ends.request = all - room.len() - 1;
            let room = match head.referer {
                Some(referer) => found.put_as_is(referer, room)?.put_first(b"\" \"", 3)?,
                None => room.put_first(b"-\" \"", 4)?,
            };
            match head.user_agent {
                Some(agent) => found.put_as_is(agent, room)?.put_first(b"\" ", 2),
                None => room.put_first(b"-\" ", 3),
            }
        });
        let is_usual = is_whole && found.is_plain();
        if is_usual {
            self.usual = Some(ends);
        }
        is_usual
    }

    /// Whether it was written down for a line in one go.
    #[inline]
    pub(crate) fn is_usual(&self) -> bool {
        self.usual.is_some()
    }

    /// Turns what was written down for a line in one go into parts of one.
    #[cold]
    pub(crate) fn take_apart(&mut self) {
        let Some(UsualEnds { client, request }) = self.usual.take() else { return };
        let Runs { text, lengths } = &mut self.request;
        // What begins the value after the counts is of the format there.
        text.remove(request, 1);
        text.remove(client, BETWEEN);
        lengths.clear();
        let request = request - BETWEEN;
        lengths.extend([client, request - client, text.len() - request]);
    }
}

impl UsualHead<'_> {
    #[inline]
    fn most(&self) -> usize {
        let length = |value: Option<&[u8]>| value.map_or(0, <[u8]>::len);
        MOST_OF_HEAD + self.target.len() + length(self.referer) + length(self.user_agent)
    }

    #[inline]
    fn put_client<'r>(&self, room: &'r mut [u8]) -> Option<&'r mut [u8]> {
        match self.client_text {
            Some(text) => text.0.put(room),
            None => put_ip(*self.client, room),
        }
    }

    #[inline]
    fn put_request<'r>(&self, found: &mut Found, room: &'r mut [u8]) -> Option<&'r mut [u8]> {
        // A method has no octet that would be changed (RFC 9110 section 5.6.2).
        let room = match self.method {
            &Method::GET => room.put_first(b"GET ", 4)?,
            other => room.put(other.as_str().as_bytes())?.put_first(b" ", 1)?,
        };
        found.put_as_is(self.target.as_bytes(), room)?.put_first(end_of_line(self.version), 12)
    }
}

/// The version as it ends `$request`, and what begins `$http_referer`, between which the counts go.
fn end_of_line(version: Version) -> &'static [u8; 12] {
    match version {
        Version::HTTP_09 => b" HTTP/0.9\" \"",
        Version::HTTP_10 => b" HTTP/1.0\" \"",
        Version::HTTP_2 => b" HTTP/2.0\" \"",
        Version::HTTP_3 => b" HTTP/3.0\" \"",
        _ => b" HTTP/1.1\" \"",
    }
}

impl UsualEnd<'_> {
    /// Adds the line. False where there is none yet because it is too long.
    #[inline]
    pub(crate) fn add(&self, captured: &Captured, clock: &WallClock, addresses: &AddressTexts, lines: &Lines) -> bool {
        let most = MOST_OF_END + captured.request.text.len();
        lines.add_within(most, |room| self.put(captured, clock, addresses, room))
    }

    #[inline]
    fn put<'r>(
        &self,
        captured: &Captured,
        clock: &WallClock,
        addresses: &AddressTexts,
        room: &'r mut [u8],
    ) -> Option<&'r mut [u8]> {
        let UsualEnds { client, request } = captured.usual?;
        let (before, after) = captured.request.text.text().split_at_checked(request)?;
        let (place, room) = room.split_at_mut_checked(request)?;
        place.copy_from_slice(before);
        clock.fill_in_at(self.now, place.get_mut(client..)?.first_chunk_mut()?)?;
        let room = put_number_field(self.status.into(), room)?;
        let room = put_number_field(self.sent, room)?.put(after)?;
        let room = put_number_field(self.received, room)?;
        let room = put_seconds_field(self.took, room)?;
        let room = self.upstream.0.put(room)?;
        let room = addresses.put_field(self.address, room)?;
        let room = put_number_field(self.upstream_sent, room)?;
        let room = put_seconds_field(self.upstream_took, room)?;
        let room = put_number_field(self.upstream_status.into(), room)?;
        captured.put_request_id(Style::Default, room)
    }
}

/// `[$proxy_upstream_name] [$proxy_alternative_upstream_name]` and a space, where there is no alternative.
#[derive(Debug)]
pub(crate) struct UpstreamNames(Literal<48>);

impl UpstreamNames {
    /// For this name.
    pub(crate) fn new(name: &str) -> Self {
        let mut text = b"[".to_vec();
        // There is always room in a vector.
        Style::Default.put_some(Some(name.as_bytes()), &mut text);
        text.extend_from_slice(b"] [] ");
        Self(Literal::new(&text))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;

    use portcullis_model::Template;

    use super::super::Batch;
    use super::*;

    #[test]
    fn only_the_default_format_is_usual() {
        let usual = AccessLogSettings::default();
        assert!(is_usual(&usual));
        assert!(!is_usual(&AccessLogSettings { escape: LogEscape::Json, ..usual.clone() }));
        assert!(!is_usual(&AccessLogSettings { format: Template::parse("$status").unwrap(), ..usual }));
    }

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn head<'h>(target: &'h str, user_agent: Option<&'h [u8]>) -> UsualHead<'h> {
        UsualHead {
            client: &CLIENT,
            client_text: None,
            method: &Method::GET,
            target,
            version: Version::HTTP_2,
            referer: None,
            user_agent,
        }
    }

    fn end<'e>(names: &'e UpstreamNames, address: &'e SocketAddr, now: Instant) -> UsualEnd<'e> {
        UsualEnd {
            now,
            status: 200,
            sent: 12_345,
            received: 78,
            took: Duration::from_millis(1_234),
            upstream: names,
            address,
            upstream_sent: 999,
            upstream_took: Duration::from_millis(56),
            upstream_status: 201,
        }
    }

    #[test]
    fn values_that_are_to_be_escaped_are_left_to_others() {
        let mut captured = Captured::default();
        for (head, want) in [
            (head("/a?b=c", Some(b"an agent")), true),
            (head("/a", Some(&[b'x'; 3000])), true),
            (head("/a", Some(b"an \"agent\"")), false),
            (head("/a\\b", None), false),
            (head("/a", Some("\u{e4}".as_bytes())), false),
            (head("/a", None), true),
        ] {
            assert_eq!((captured.note_usual(&head), captured.is_usual()), (want, want), "{head:?}");
            captured.clear();
        }
    }

    #[test]
    fn lines_need_no_memory_but_what_the_lines_before_them_had() {
        let (queue, batches) = sync_channel(2);
        let (lines, mut captured) = (Lines::new(queue, Arc::default()), Captured::default());
        let (clock, addresses, names) = (WallClock::new(), AddressTexts::default(), UpstreamNames::new("shop-web-80"));
        let (now, address) = (Instant::now(), ([10, 0, 0, 1], 8080).into());
        let mut write = || {
            for _ in 0..100 {
                assert!(captured.note_usual(&head("/a?b=c", Some(b"an agent"))));
                captured.note_request_id(b"0123456789abcdef0123456789abcdef");
                assert!(end(&names, &address, now).add(&captured, &clock, &addresses, &lines));
                captured.clear();
            }
            lines.hand_over();
            batches.try_iter().for_each(Batch::give_back);
        };
        write();
        assert_eq!(allocation_counter::measure(&mut write).count_total, 0);
        assert!(captured.note_usual(&head("/a?b=c", Some(b"an agent"))));
        captured.note_request_id(b"an-id");
        assert!(end(&names, &address, now).add(&captured, &clock, &addresses, &lines));
        let line = String::from_utf8(lines.take_waiting()).unwrap();
        let (before, after) = line.split_once(" [").unwrap();
        assert_eq!(before, "192.0.2.1 - -");
        let want = "] \"GET /a?b=c HTTP/2.0\" 200 12345 \"-\" \"an agent\" 78 1.234 [shop-web-80] [] 10.0.0.1:8080 999 0.056 201 an-id\n";
        assert_eq!(after.get(LOCAL..), Some(want));
    }
}
