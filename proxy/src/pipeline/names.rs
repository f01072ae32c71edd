//! What the names of the fields of a request mean to us: told once per field, in one pass over the head.

/// What a field of a request is to a proxy, by its name alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Meaning {
    /// Nothing: it is passed on.
    None,
    /// `Host`.
    Host,
    /// `Content-Length`.
    ContentLength,
    /// `Cookie`.
    Cookie,
    /// `X-Request-ID`.
    RequestId,
    /// `traceparent`.
    Traceparent,
    /// `User-Agent`.
    UserAgent,
    /// `Referer`.
    Referer,
    /// `Expect`; never passed on.
    Expect,
    /// `Connection`; of one connection only, as those that follow (RFC 9110 section 7.6.1).
    Connection,
    /// `Connection` that names other fields than `Keep-Alive`; told by its value.
    Others,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Upgrade`.
    Upgrade,
    /// Another one that concerns one connection only.
    HopByHop,
    /// Not for clients to send: applications may believe it to be ours.
    NotTheirs,
    /// Asks for another path or method than the one that is decided on.
    Rerouting,
    /// Has characters that not every rule admits: others than letters, digits and `-`.
    Unusual,
}

impl Meaning {
    /// What a field of this name is. Names are lower case.
    pub(super) fn of(name: &str) -> Self {
        Self::known(name).unwrap_or_else(|| Self::of_other(name))
    }

    /// The same for names that are known, a few of which mean nothing: they are what most requests have.
    fn known(name: &str) -> Option<Self> {
        // Length first: that is one jump, and leaves a comparison or two.
        Some(match (name.len(), name) {
            (2, "te") => Self::HopByHop,
            (4, "host") => Self::Host,
            (5, "proxy") => Self::HopByHop,
            (6, "expect") => Self::Expect,
            (6, "cookie") => Self::Cookie,
            (6, "accept") => Self::None,
            (7, "upgrade") => Self::Upgrade,
            (7, "referer") => Self::Referer,
            (7, "trailer") => Self::HopByHop,
            (9, "forwarded") => Self::NotTheirs,
            (10, "connection") => Self::Connection,
            (10, "keep-alive") => Self::HopByHop,
            (10, "user-agent") => Self::UserAgent,
            (11, "traceparent") => Self::Traceparent,
            (12, "x-request-id") => Self::RequestId,
            (12, "content-type" | "grpc-timeout") => Self::None,
            (14, "content-length") => Self::ContentLength,
            (14, "http2-settings") => Self::HopByHop,
            (14, "x-original-url") => Self::Rerouting,
            (13, "x-rewrite-url") => Self::Rerouting,
            (13, "grpc-encoding") => Self::None,
            (15, "accept-encoding" | "accept-language") => Self::None,
            (16, "proxy-connection") => Self::HopByHop,
            (17, "transfer-encoding") => Self::TransferEncoding,
            (17, "x-original-method") => Self::Rerouting,
            (18, "proxy-authenticate") => Self::HopByHop,
            (19, "proxy-authorization") => Self::HopByHop,
            (20, "grpc-accept-encoding") => Self::None,
            (22, "x-http-method-override") => Self::Rerouting,
            (23, "x-forwarded-client-cert") => Self::NotTheirs,
            (24, "x-original-forwarded-for") => Self::NotTheirs,
            (25, "x-original-forwarded-host") => Self::NotTheirs,
            _ => return None,
        })
    }

    fn of_other(name: &str) -> Self {
        if name.starts_with("ssl-client-") {
            Self::NotTheirs
        } else if name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
            Self::None
        } else {
            Self::Unusual
        }
    }

    /// Whether a field of this name is hop-by-hop.
    pub(super) fn is_name_hop_by_hop(name: &str) -> bool {
        Self::known(name).is_some_and(Self::is_hop_by_hop)
    }

    /// Whether it is never passed on, in either direction.
    pub(super) fn is_hop_by_hop(self) -> bool {
        matches!(self, Self::Connection | Self::TransferEncoding | Self::Upgrade | Self::HopByHop)
    }
}

/// The meanings that fields of a head have.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Meanings(u32);

/// Those of fields that may have to be removed.
const DOUBTFUL: Meanings = Meanings(
    Meanings::only(Meaning::Expect).0
        | Meanings::only(Meaning::TransferEncoding).0
        | Meanings::only(Meaning::Upgrade).0
        | Meanings::only(Meaning::HopByHop).0
        | Meanings::only(Meaning::NotTheirs).0
        | Meanings::only(Meaning::Rerouting).0
        | Meanings::only(Meaning::Unusual).0,
);

impl Meanings {
    const fn only(meaning: Meaning) -> Self {
        Self(1 << meaning as u32)
    }

    /// Adds that of a field.
    pub(super) fn add(&mut self, meaning: Meaning) {
        self.0 |= Self::only(meaning).0;
    }

    /// Whether a field has this meaning.
    pub(super) fn have(self, meaning: Meaning) -> bool {
        self.0 & Self::only(meaning).0 != 0
    }

    /// Whether a field may have to be removed.
    pub(super) fn are_doubtful(self) -> bool {
        self.0 & DOUBTFUL.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_they_say_and_others_nothing() {
        for (meaning, names) in [
            (Meaning::Host, &["host"][..]),
            (Meaning::ContentLength, &["content-length"]),
            (Meaning::Cookie, &["cookie"]),
            (Meaning::RequestId, &["x-request-id"]),
            (Meaning::Traceparent, &["traceparent"]),
            (Meaning::Expect, &["expect"]),
            (Meaning::Connection, &["connection"]),
            (Meaning::TransferEncoding, &["transfer-encoding"]),
            (Meaning::Upgrade, &["upgrade"]),
            (Meaning::HopByHop, &["te", "proxy", "trailer", "keep-alive", "http2-settings", "proxy-connection"]),
            (Meaning::HopByHop, &["proxy-authenticate", "proxy-authorization"]),
            (Meaning::NotTheirs, &["forwarded", "x-forwarded-client-cert", "ssl-client-verify", "ssl-client-"]),
            (Meaning::NotTheirs, &["x-original-forwarded-for", "x-original-forwarded-host"]),
            (Meaning::Rerouting, &["x-original-url", "x-rewrite-url", "x-original-method", "x-http-method-override"]),
            (Meaning::Unusual, &["x_forwarded_for", "x.user", "user_agent", "a!"]),
            (Meaning::None, &["accept", "accept-encoding", "accept-language", "x-forwarded-for", "referrer"]),
            (Meaning::None, &["content-type", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding"]),
            (Meaning::UserAgent, &["user-agent"]),
            (Meaning::Referer, &["referer"]),
            (Meaning::None, &["ssl-client", "hosts", "tex", "x-original-urls", "authorization", "x-1"]),
        ] {
            for name in names {
                assert_eq!(Meaning::of(name), meaning, "{name}");
            }
        }
    }

    #[test]
    fn a_head_has_the_meanings_of_its_fields() {
        let mut meanings = Meanings::default();
        assert!(!meanings.are_doubtful() && !meanings.have(Meaning::None));
        for meaning in [Meaning::None, Meaning::Host, Meaning::Cookie, Meaning::ContentLength, Meaning::Connection] {
            meanings.add(meaning);
            assert!(meanings.have(meaning) && !meanings.are_doubtful(), "{meaning:?}");
        }
        for meaning in [Meaning::HopByHop, Meaning::NotTheirs, Meaning::Rerouting, Meaning::Unusual, Meaning::Expect] {
            let mut meanings = meanings;
            meanings.add(meaning);
            assert!(meanings.have(meaning) && meanings.are_doubtful(), "{meaning:?}");
        }
    }
}
