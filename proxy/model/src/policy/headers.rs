//! Header fields that a configuration sets: on requests to upstreams and on responses to clients.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::{InvalidTemplate, Known, Part, Template, Variable};

/// `connection-proxy-header` and `custom-headers`.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct HeaderPolicy {
    /// `connection-proxy-header`: `Connection` as the upstream receives it, that of a WebSocket handshake too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionHeader>,
    /// `custom-headers`: set on responses of every status, after [`crate::Settings::add_headers`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<Arc<[SetHeader]>>,
}

/// The values of `connection-proxy-header`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionHeader {
    /// `close`: the upstream connection serves one request.
    Close,
    /// `keep-alive`.
    KeepAlive,
}

impl ConnectionHeader {
    /// The value as written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::KeepAlive => "keep-alive",
        }
    }
}

/// A field that takes the place of all fields of its name, or removes them.
///
/// Never one that frames messages or belongs to a connection: these are made by the proxy alone (RFC 9110 section 7.6.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SetHeader {
    name: HeaderName,
    text: HeaderText,
}

/// What a field is set to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HeaderText {
    /// Nothing: the field is removed.
    Remove,
    /// A value, ready to be sent.
    Fixed(HeaderValue),
    /// A text that is expanded per request; the field is removed where nothing comes of it.
    Template(Template),
}

/// Why a field cannot be set.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidSetHeader {
    /// RFC 9110 section 5.1.
    #[error("it is not the name of a header")]
    Name,
    /// RFC 9110 section 7.6.1.
    #[error("the header frames messages or belongs to a connection, so the proxy alone writes it")]
    Framing,
    /// RFC 9110 section 5.5.
    #[error("the value has characters that no header may have")]
    Value,
    /// A request without `Host` is not one of HTTP/1.1.
    #[error("`Host` cannot be removed")]
    Host,
    /// A name that stands for nothing here.
    #[error("{0}")]
    Template(#[from] InvalidTemplate),
    /// A variable whose value is known when it is too late.
    #[error("`${0}` has no value before the request is sent to the upstream")]
    TooLate(String),
}

impl SetHeader {
    /// A field with nginx variables in its value; an empty value removes the field.
    ///
    /// # Errors
    ///
    /// See [`InvalidSetHeader`].
    pub fn new(name: &str, value: &str) -> Result<Self, InvalidSetHeader> {
        let name = header_name(name)?;
        let template = Template::parse(value.trim())?;
        if let Some(late) = template.parts().iter().find_map(late_part) {
            return Err(InvalidSetHeader::TooLate(late));
        }
        let text = match template.as_literal() {
            Some("") if name == http::header::HOST => return Err(InvalidSetHeader::Host),
            Some("") => HeaderText::Remove,
            Some(literal) => HeaderText::Fixed(header_value(literal)?),
            None => {
                for part in template.parts() {
                    if let Part::Literal(literal) = part {
                        header_value(literal)?;
                    }
                }
                HeaderText::Template(template)
            }
        };
        Ok(Self { name, text })
    }

    /// A field whose value stands as it is: `$` is a character like others.
    ///
    /// # Errors
    ///
    /// See [`InvalidSetHeader`].
    pub fn literal(name: &str, value: &str) -> Result<Self, InvalidSetHeader> {
        Ok(Self { name: header_name(name)?, text: HeaderText::Fixed(header_value(value)?) })
    }

    /// Name of the field.
    #[must_use]
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    /// What it is set to.
    #[must_use]
    pub fn text(&self) -> &HeaderText {
        &self.text
    }

    /// Whether its value depends on the request.
    #[must_use]
    pub fn is_template(&self) -> bool {
        matches!(self.text, HeaderText::Template(_))
    }
}

fn header_name(text: &str) -> Result<HeaderName, InvalidSetHeader> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| InvalidSetHeader::Name)?;
    if FRAMING.contains(&name.as_str()) { Err(InvalidSetHeader::Framing) } else { Ok(name) }
}

fn header_value(text: &str) -> Result<HeaderValue, InvalidSetHeader> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| InvalidSetHeader::Value)
}

/// Fields that decide where a message ends or what becomes of its connection, and `Proxy`, which CGI programs believe.
const FRAMING: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a part names whose value is not known while a request is on its way in.
fn late_part(part: &Part) -> Option<String> {
    match part {
        Part::Capture(group) => Some(group.to_string()),
        Part::Variable(Variable::Known(known)) => is_late(*known).then(|| known.name().to_owned()),
        Part::Variable(late @ (Variable::SentHeader(_) | Variable::UpstreamHeader(_))) => Some(late.to_string()),
        Part::Literal(_) | Part::Variable(Variable::Header(_) | Variable::Cookie(_) | Variable::Argument(_)) => None,
    }
}

fn is_late(known: Known) -> bool {
    matches!(
        known,
        Known::RemoteUser
            | Known::ProxyProtocolAddr
            | Known::Status
            | Known::BodyBytesSent
            | Known::BytesSent
            | Known::RequestLength
            | Known::RequestTime
            | Known::ProxyAlternativeUpstreamName
            | Known::UpstreamAddr
            | Known::UpstreamResponseLength
            | Known::UpstreamResponseTime
            | Known::UpstreamConnectTime
            | Known::UpstreamHeaderTime
            | Known::UpstreamStatus
            | Known::Reason
    )
}

impl Serialize for SetHeader {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut shown = serializer.serialize_struct("SetHeader", 2)?;
        shown.serialize_field("name", self.name.as_str())?;
        match &self.text {
            HeaderText::Remove => shown.serialize_field("value", "")?,
            HeaderText::Fixed(value) => shown.serialize_field("value", &String::from_utf8_lossy(value.as_bytes()))?,
            HeaderText::Template(template) => shown.serialize_field("value", template)?,
        }
        shown.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_fixed_expanded_or_nothing() {
        for (value, want) in [
            ("a b", HeaderText::Fixed(HeaderValue::from_static("a b"))),
            (" a\n", HeaderText::Fixed(HeaderValue::from_static("a"))),
            ("", HeaderText::Remove),
            ("  ", HeaderText::Remove),
            ("t=${msec}", HeaderText::Template(Template::parse("t=${msec}").unwrap())),
        ] {
            assert_eq!(SetHeader::new("X-A", value).unwrap().text(), &want, "{value:?}");
        }
        let literal = SetHeader::literal("X_Price", "5 $").unwrap();
        assert_eq!(literal.name(), "x_price");
        assert_eq!(literal.text(), &HeaderText::Fixed(HeaderValue::from_static("5 $")));
    }

    #[test]
    fn what_frames_a_message_or_breaks_it_is_refused() {
        use InvalidSetHeader::{Framing, Host, Name, TooLate, Value};
        for (name, value, want) in [
            ("Content-Length", "5", Framing),
            ("transfer-encoding", "chunked", Framing),
            ("Connection", "", Framing),
            ("Upgrade", "h2c", Framing),
            ("Proxy", "x", Framing),
            ("X A", "x", Name),
            ("", "x", Name),
            ("X-A", "a\r\nX-B: c", Value),
            ("X-A", "$host\u{0}", Value),
            ("Host", "", Host),
            ("X-A", "$status", TooLate("status".to_owned())),
            ("X-A", "${upstream_http_x}", TooLate("upstream_http_x".to_owned())),
            ("X-A", "$1", TooLate("1".to_owned())),
        ] {
            assert_eq!(SetHeader::new(name, value), Err(want), "{name}: {value:?}");
        }
        assert!(matches!(SetHeader::new("X-A", "$nope"), Err(InvalidSetHeader::Template(_))));
        assert_eq!(SetHeader::literal("Content-Length", "5"), Err(Framing));
    }
}
