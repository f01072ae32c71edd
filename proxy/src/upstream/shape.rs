//! How requests go out over HTTP/2 whose fields have the same names: worked out once, and filled in for each of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use portcullis_model::HeaderNameRules;

use crate::hpack;

/// Values of the fields that tell an upstream where a request comes from, in the order of [`OUR_NAMES`].
pub(crate) type Ours = [HeaderValue; 7];

/// The fields of [`Ours`].
pub(crate) static OUR_NAMES: [HeaderName; 7] = [
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-scheme"),
    HeaderName::from_static("x-scheme"),
];

/// `X-Forwarded-Host`.
pub(crate) fn forwarded_host([_, _, host, ..]: &Ours) -> &HeaderValue {
    host
}

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// By what fields are kept, besides their names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Rules {
    /// Whether the client is believed.
    pub(crate) trusted: bool,
    /// Which names are admitted.
    pub(crate) names: HeaderNameRules,
    /// Whether `X-Request-ID` is ours.
    pub(crate) request_id: bool,
}

/// The fields of a request as received, which are not changed any more, and what goes out instead of them.
#[derive(Debug)]
pub(crate) struct Shaped {
    shape: Rc<Shape>,
    ours: Rc<Ours>,
    request_id: Option<HeaderValue>,
    /// Another one than that of [`Ours`].
    host: Option<HeaderValue>,
}

/// What becomes of fields with certain names.
#[derive(Debug)]
struct Shape {
    rules: Rules,
    /// Those received, in their order.
    received: Vec<(HeaderName, Fate)>,
    /// Those that go out: with values to be filled in, but for the last.
    sent: HeaderMap,
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    /// It is not passed on.
    Dropped,
    /// It goes on as it is.
    Kept,
    /// It goes on, and stays out of the table of HPACK.
    KeptOutOfTable,
    /// It goes on with the first try; with a further one the body tells how long it is.
    Length,
}

/// The shapes of the requests that a worker sees most.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    /// Those used last are first.
    known: RefCell<Vec<Rc<Shape>>>,
    /// Marks of requests that had none.
    seen: Cell<[u32; SEEN]>,
}

/// Shapes that are kept.
const KNOWN: usize = 8;
/// Marks that are kept.
const SEEN: usize = 16;
/// Most fields that a shape is made for,
const FIELDS: usize = 32;
/// and most octets in their names.
const OCTETS: usize = 1024;

impl Shapes {
    /// The shape of requests with the names of `received`; none until such a request came before, and where names are repeated.
    ///
    /// The fields named in [`Ours`], `TE` and `Host` are seen to. Of others `is_dropped` tells.
    pub(crate) fn shaped(
        &self,
        received: &HeaderMap,
        rules: Rules,
        is_dropped: impl Fn(&HeaderName) -> bool,
        ours: &Rc<Ours>,
        request_id: Option<&HeaderValue>,
        host: Option<&HeaderValue>,
    ) -> Option<Shaped> {
        if received.len() != received.keys_len() {
            return None;
        }
        let shape = self.find(received, rules).or_else(|| self.learn(received, rules, is_dropped))?;
        Some(Shaped { shape, ours: Rc::clone(ours), request_id: request_id.cloned(), host: host.cloned() })
    }

    fn find(&self, received: &HeaderMap, rules: Rules) -> Option<Rc<Shape>> {
        let mut known = self.known.borrow_mut();
        let place = known.iter().position(|shape| shape.fits(received, rules))?;
        if let Some(passed) = known.get_mut(..=place) {
            passed.rotate_right(1);
        }
        known.first().map(Rc::clone)
    }

    /// Makes a shape the second time it is missed: most that come once never come again.
    #[cold]
    #[inline(never)]
    fn learn(&self, received: &HeaderMap, rules: Rules, is_dropped: impl Fn(&HeaderName) -> bool) -> Option<Rc<Shape>> {
        let octets: usize = received.keys().map(|name| name.as_str().len()).sum();
        if received.len() > FIELDS || octets > OCTETS {
            return None;
        }
        let mark = u32::try_from(octets * (FIELDS + 1) + received.len() + 1).unwrap_or_default();
        let mut seen = self.seen.get();
        let place = seen.get_mut(octets % SEEN)?;
        if std::mem::replace(place, mark) != mark {
            self.seen.set(seen);
            return None;
        }
        let shape = Rc::new(Shape::new(received, rules, is_dropped));
        let mut known = self.known.borrow_mut();
        known.truncate(KNOWN - 1);
        known.insert(0, Rc::clone(&shape));
        Some(shape)
    }
}

impl Shape {
    fn new(received: &HeaderMap, rules: Rules, is_dropped: impl Fn(&HeaderName) -> bool) -> Self {
        let fate = |name: &HeaderName| match name {
            _ if *name == header::HOST || *name == header::TE || OUR_NAMES.contains(name) => Fate::Dropped,
            _ if (rules.request_id && *name == X_REQUEST_ID) || is_dropped(name) => Fate::Dropped,
            _ if *name == header::CONTENT_LENGTH => Fate::Length,
            _ if hpack::is_new_every_time(name.as_str()) => Fate::KeptOutOfTable,
            _ => Fate::Kept,
        };
        let received: Vec<_> = received.keys().map(|name| (name.clone(), fate(name))).collect();
        let kept = received.iter().filter(|(_, fate)| *fate != Fate::Dropped).map(|(name, _)| name);
        let request_id = rules.request_id.then_some(&X_REQUEST_ID);
        let mut sent = HeaderMap::with_capacity(2 * (received.len() + OUR_NAMES.len()));
        for name in kept.chain(&OUR_NAMES).chain(request_id) {
            sent.insert(name, NOTHING);
        }
        // gRPC wants to hear that trailers are understood.
        sent.insert(header::TE, HeaderValue::from_static("trailers"));
        Self { rules, received, sent }
    }

    fn fits(&self, received: &HeaderMap, rules: Rules) -> bool {
        self.received.len() == received.len()
            && self.rules == rules
            && received.keys().zip(&self.received).all(|(name, (of_shape, _))| name == of_shape)
    }
}

impl Shaped {
    /// The host asked for.
    pub(crate) fn host(&self) -> &HeaderValue {
        self.host.as_ref().unwrap_or_else(|| forwarded_host(&self.ours))
    }

    /// The fields that go out, but for the host, and whether the length of the body is among them. With the
    /// first of a connection all names come into the table of HPACK, and are known with the next.
    pub(crate) fn fields(&self, received: &mut HeaderMap, has_body: bool, first: bool) -> (HeaderMap, bool) {
        let mut fields = self.shape.sent.clone();
        let mut places = fields.values_mut();
        let (mut has_length, mut misses_length) = (false, false);
        for (value, (_, fate)) in received.values_mut().zip(&self.shape.received) {
            if *fate == Fate::Dropped {
                continue;
            }
            let Some(place) = places.next() else { break };
            // Of none the body tells only where the method expects one.
            if *fate == Fate::Length && has_body && value != "0" {
                // It is seldom shared yet, and to share it would cost more than to write it once more.
                has_length = !value.is_empty();
                misses_length = !has_length;
                *place = std::mem::replace(value, NOTHING);
                continue;
            }
            has_length |= *fate == Fate::Length;
            place.clone_from(value);
            if *fate == Fate::KeptOutOfTable {
                place.set_sensitive(!first);
            }
        }
        for (value, place) in self.ours.iter().zip(&mut places) {
            place.clone_from(value);
        }
        if let (Some(id), Some(place)) = (&self.request_id, places.next()) {
            place.clone_from(id);
            place.set_sensitive(!first);
        }
        if misses_length {
            fields.remove(header::CONTENT_LENGTH);
        }
        (fields, has_length)
    }
}

const NOTHING: HeaderValue = HeaderValue::from_static("");

#[cfg(test)]
mod tests;
