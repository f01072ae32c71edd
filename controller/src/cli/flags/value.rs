//! Values of flags: what each kind takes, and how it is read.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use portcullis::dns::system_addresses_now;
use portcullis_translate::{EndpointOverride, ObjectKey};

/// What values a flag takes. Names and spellings are those of Go's flag packages, which users of ingress-nginx write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// `--flag`, `--flag=true`, `--flag=false`.
    Switch,
    /// Any text.
    Text,
    /// Any text that must not be shown again.
    Secret,
    /// A port from 0 to 65535.
    Port,
    /// A whole number.
    Integer,
    /// A whole number of seconds, not negative.
    Seconds,
    /// A number.
    Number,
    /// Numbers divided by commas.
    Numbers,
    /// A Go duration such as `1m30s`.
    Duration,
    /// `namespace/name`.
    NamespacedName,
    /// An IP address.
    IpAddress,
    /// `IP:PORT`.
    SocketAddress,
    /// `IP[:PORT]`.
    Nameserver,
    /// A path beginning with `/`.
    UrlPath,
    /// `NAMESPACE/SERVICE[:PORT]=HOST:PORT`; can be repeated.
    Endpoint,
}

impl Kind {
    /// Stands for the value in help texts.
    pub(crate) fn metavariable(self) -> &'static str {
        match self {
            Self::Switch => "BOOL",
            Self::Text | Self::Secret => "TEXT",
            Self::Port => "PORT",
            Self::Integer | Self::Number => "NUMBER",
            Self::Seconds => "SECONDS",
            Self::Numbers => "NUMBER,...",
            Self::Duration => "DURATION",
            Self::NamespacedName => "NAMESPACE/NAME",
            Self::IpAddress => "IP",
            Self::SocketAddress => "IP:PORT",
            Self::Nameserver => "IP[:PORT]",
            Self::UrlPath => "PATH",
            Self::Endpoint => "NAMESPACE/SERVICE[:PORT]=HOST:PORT",
        }
    }

    /// Whether `text` is such a value; the error says what would be. Names are not resolved here.
    pub(crate) fn check(self, text: &str) -> Result<(), String> {
        match self {
            Self::Switch => switch(text).map(drop),
            Self::Text | Self::Secret => Ok(()),
            Self::Port => parsed::<u16>(text, "a port from 0 to 65535"),
            Self::Integer => parsed::<i64>(text, "a whole number"),
            Self::Seconds => parsed::<u32>(text, "a whole number of seconds"),
            Self::Number => parsed::<f64>(text, "a number"),
            Self::Numbers => {
                text.split(',').try_for_each(|part| parsed::<f64>(part.trim(), "a list of numbers, divided by commas"))
            }
            Self::Duration => duration(text).map(drop),
            Self::NamespacedName if text.is_empty() => Ok(()),
            Self::NamespacedName => namespaced_name(text).map(drop),
            Self::IpAddress => parsed::<IpAddr>(text, "an IP address"),
            Self::SocketAddress => parsed::<SocketAddr>(text, "an IP address and a port, such as 127.0.0.1:10254"),
            Self::Nameserver if text.is_empty() => Ok(()),
            Self::Nameserver => nameserver(text).map(drop),
            Self::UrlPath if text.starts_with('/') => Ok(()),
            Self::UrlPath => Err("expected a path that begins with /".to_owned()),
            Self::Endpoint => endpoint_parts(text).map(drop),
        }
    }

    /// Whether two values mean the same.
    pub(crate) fn same(self, one: &str, other: &str) -> bool {
        match self {
            Self::Switch => switch(one).ok() == switch(other).ok(),
            _ => one == other,
        }
    }

    /// A value as it may be shown.
    pub(crate) fn shown(self, value: &str) -> &str {
        match self {
            Self::Secret => "[redacted]",
            _ => value,
        }
    }
}

fn parsed<T: std::str::FromStr>(text: &str, expected: &str) -> Result<(), String> {
    text.parse::<T>().map(drop).map_err(|_| format!("expected {expected}"))
}

/// Reads a switch as Go's `strconv.ParseBool` does.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// Reads a Go duration: `0`, or numbers with units from `ns` to `h`. A negative one is none at all.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a duration such as 30s or 1m30s".to_owned();
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(expected());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let (number, _) = rest.split_at_checked(rest.len() - unit.len()).ok_or_else(expected)?;
        let number = number.parse::<f64>().map_err(|_| expected())?;
        let (scale, after) =
            UNITS.iter().find_map(|(name, scale)| Some((scale, unit.strip_prefix(name)?))).ok_or_else(expected)?;
        seconds += number * scale;
        rest = after;
    }
    let seconds = if text.starts_with('-') { 0.0 } else { seconds };
    Duration::try_from_secs_f64(seconds).map_err(|_| expected())
}

/// Units of Go durations, in seconds. A name that begins with another one comes first.
const UNITS: [(&str, f64); 7] =
    [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// Reads `namespace/name`.
pub(crate) fn namespaced_name(text: &str) -> Result<ObjectKey, String> {
    ObjectKey::parse(text).ok_or_else(|| "expected namespace/name".to_owned())
}

/// Reads the address of a name server; port 53 where none is given.
pub(crate) fn nameserver(text: &str) -> Result<SocketAddr, String> {
    let alone = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    text.parse()
        .or(alone)
        .map_err(|_| "expected an IP address, with a port where it is not 53, such as 127.0.0.1:5353".to_owned())
}

/// Reads and resolves the value of `--endpoint`. A host name is looked up once, as the system does; IPv4 is preferred.
pub(crate) fn endpoint(text: &str) -> Result<EndpointOverride, String> {
    let (service, port, host, number) = endpoint_parts(text)?;
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let ip = match literal.parse::<IpAddr>() {
        Ok(ip) => Some(ip),
        Err(_) => {
            let mut found = system_addresses_now(host).map_err(|error| format!("`{host}` is not found: {error}"))?;
            found.sort_by_key(IpAddr::is_ipv6);
            found.first().copied()
        }
    };
    let ip = ip.ok_or_else(|| format!("`{host}` has no address"))?;
    Ok(EndpointOverride { service, port: port.map(str::to_owned), address: SocketAddr::new(ip, number) })
}

fn endpoint_parts(text: &str) -> Result<(ObjectKey, Option<&str>, &str, u16), String> {
    let expected =
        || "expected NAMESPACE/SERVICE[:PORT]=HOST:PORT, such as shop/wear-service=127.0.0.1:9000".to_owned();
    let (service, address) = text.split_once('=').ok_or_else(expected)?;
    let (service, port) = match service.split_once(':') {
        Some((service, port)) if !port.is_empty() => (service, Some(port)),
        Some(_) => return Err(expected()),
        None => (service, None),
    };
    let (host, number) = address.rsplit_once(':').ok_or_else(expected)?;
    let number = number.parse().map_err(|_| expected())?;
    if host.is_empty() {
        return Err(expected());
    }
    Ok((ObjectKey::parse(service).ok_or_else(expected)?, port, host, number))
}
