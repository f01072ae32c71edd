//! Sends clients elsewhere instead of to the upstream.

use portcullis_model::RedirectCode;
use portcullis_model::policy::{Location, Redirect};

use super::chars::{Chars, Charset};
use super::reader::{Ignored, Reader};
use super::spec::{Group, Key, OnError, Spec};
use super::value::{self, Fault};
use super::{Draft, Risk, Scope};

pub(super) const GROUP: Group = Group {
    name: "redirect",
    doc: "Sends clients elsewhere instead of to the upstream; before HTTPS redirects, access lists and authentication.",
    keys: &[
        &FROM_TO_WWW_REDIRECT,
        &RELATIVE_REDIRECTS,
        &TEMPORAL_REDIRECT,
        &TEMPORAL_REDIRECT_CODE,
        &PERMANENT_REDIRECT,
        &PERMANENT_REDIRECT_CODE,
    ],
    parse,
};

const FROM_TO_WWW_REDIRECT: Key<bool> = Key {
    parse: value::boolean,
    spec: Spec {
        key: "from-to-www-redirect",
        value: value::BOOLEAN,
        default: "false",
        scope: Scope::Host,
        on_error: OnError::Reject,
        doc: "Sends requests for `www.` and the host to the host, and the other way round where the host begins with `www.`.",
        ..Spec::BASE
    },
};

const RELATIVE_REDIRECTS: Key<bool> = Key {
    parse: value::boolean,
    spec: Spec {
        key: "relative-redirects",
        value: value::BOOLEAN,
        default: "false",
        config_key: Some("relative-redirects"),
        on_error: OnError::Reject,
        doc: "Leaves the `Location` of redirects to a path relative.",
        ..Spec::BASE
    },
};

const TEMPORAL_REDIRECT: Key<Location> = Key {
    parse: location,
    spec: Spec {
        key: "temporal-redirect",
        value: "a URL whose scheme begins with `http`",
        risk: Risk::Medium,
        on_error: OnError::Reject,
        chars: Chars::Of(Charset::URL),
        doc: "Answers with `temporal-redirect-code` and this `Location`; path and query of the request are not appended. Wins over \
              `permanent-redirect`. With another scheme, all annotations of the group act as absent.",
        ..Spec::BASE
    },
};

const TEMPORAL_REDIRECT_CODE: Key<i64> = Key {
    parse: value::integer,
    spec: Spec {
        key: "temporal-redirect-code",
        value: "a status from 300 to 307",
        default: "302",
        on_error: OnError::Reject,
        doc: "Status of `temporal-redirect`; a number out of range means the default.",
        ..Spec::BASE
    },
};

const PERMANENT_REDIRECT: Key<Location> = Key {
    parse: location,
    spec: Spec {
        key: "permanent-redirect",
        value: "a URL or a path",
        risk: Risk::Medium,
        on_error: OnError::Reject,
        chars: Chars::Of(Charset::URL),
        doc: "Answers with `permanent-redirect-code` and this `Location`; path and query of the request are not appended.",
        ..Spec::BASE
    },
};

const PERMANENT_REDIRECT_CODE: Key<i64> = Key {
    parse: value::integer,
    spec: Spec {
        key: "permanent-redirect-code",
        value: "a status from 300 to 308",
        default: "301",
        on_error: OnError::Reject,
        doc: "Status of `permanent-redirect`; a number out of range means the default.",
        ..Spec::BASE
    },
};

fn parse(read: &mut Reader<'_>, draft: &mut Draft) {
    if let Ok(group) = group(read) {
        draft.www_redirect = group.www;
        draft.relative_redirects = group.relative.unwrap_or(draft.relative_redirects);
        draft.redirect = group.redirect;
    }
}

struct Redirects {
    www: bool,
    relative: Option<bool>,
    redirect: Option<Redirect>,
}

/// In the order of ingress-nginx, which does not look at the permanent redirect where there is a temporal one.
fn group(read: &mut Reader<'_>) -> Result<Redirects, Ignored> {
    let www = read.grouped(&FROM_TO_WWW_REDIRECT)?.unwrap_or(false);
    let relative = read.grouped(&RELATIVE_REDIRECTS)?;
    let temporal = temporal(read)?;
    let redirect = match temporal {
        Some(redirect) => {
            pass_over_permanent(read);
            Some(redirect)
        }
        None => permanent(read)?,
    };
    Ok(Redirects { www, relative, redirect })
}

fn temporal(read: &mut Reader<'_>) -> Result<Option<Redirect>, Ignored> {
    let Some(location) = read.grouped(&TEMPORAL_REDIRECT)? else {
        return Ok(None);
    };
    let code = code(read, &TEMPORAL_REDIRECT_CODE, 307, RedirectCode::FOUND)?;
    let text = location.value().to_str().unwrap_or_default();
    if !has_http_scheme(text) {
        let message = "its scheme does not begin with `http`; all annotations of the group redirect act as absent";
        read.adjusted(&TEMPORAL_REDIRECT.spec, message.to_owned());
        return Err(Ignored);
    }
    Ok(Some(Redirect { code, location }))
}

fn permanent(read: &mut Reader<'_>) -> Result<Option<Redirect>, Ignored> {
    let location = read.grouped(&PERMANENT_REDIRECT)?;
    let code = code(read, &PERMANENT_REDIRECT_CODE, 308, RedirectCode::MOVED_PERMANENTLY)?;
    Ok(location.map(|location| Redirect { code, location }))
}

fn code(read: &mut Reader<'_>, key: &Key<i64>, highest: u16, default: RedirectCode) -> Result<RedirectCode, Ignored> {
    let Some(number) = read.grouped(key)? else {
        return Ok(default);
    };
    let status = u16::try_from(number).ok().filter(|status| *status <= highest);
    Ok(status.and_then(RedirectCode::new).unwrap_or_else(|| {
        let message = format!("{number} is not from 300 to {highest}; {} is used", default.status().as_u16());
        read.adjusted(&key.spec, message);
        default
    }))
}

fn pass_over_permanent(read: &mut Reader<'_>) {
    for key in [&PERMANENT_REDIRECT.spec, &PERMANENT_REDIRECT_CODE.spec] {
        if read.raw(key).is_some() {
            read.no_effect(key.key, "`temporal-redirect` wins");
        }
    }
}

fn location(text: &str) -> Result<Location, Fault> {
    Location::new(text).ok_or_else(|| Fault::not("a URL or a path that begins with one slash"))
}

fn has_http_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        let scheme = scheme.to_ascii_lowercase();
        scheme.starts_with("http")
            && scheme.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Got, Outcome, read, read_with};
    use crate::Config;

    /// Status and target of the redirect.
    fn redirect(got: &Got) -> Option<(u16, &str)> {
        let redirect = got.draft.redirect.as_ref()?;
        Some((redirect.code.status().as_u16(), redirect.location.value().to_str().unwrap()))
    }

    #[test]
    fn permanent_redirects_have_a_target_and_a_status() {
        for (target, code, want) in [
            ("https://x.example", "", Some((301, "https://x.example"))),
            ("/new", "", Some((301, "/new"))),
            ("https://x.example/a?b=c&d", "302", Some((302, "https://x.example/a?b=c&d"))),
            ("https://x.example", "308", Some((308, "https://x.example"))),
            ("https://x.example", "309", Some((301, "https://x.example"))),
            ("https://x.example", "0", Some((301, "https://x.example"))),
            ("https://x.example", "-1", Some((301, "https://x.example"))),
        ] {
            let mut annotations = vec![("permanent-redirect", target)];
            if !code.is_empty() {
                annotations.push(("permanent-redirect-code", code));
            }
            let got = read(&annotations);
            assert_eq!(redirect(&got), want, "{target} {code}");
            assert_eq!(got.outcome(), Outcome::Served, "{target} {code}");
        }
    }

    #[test]
    fn temporal_redirects_win_and_need_http() {
        for (target, code, want) in [
            ("https://t.example/x?y=1", "", Some((302, "https://t.example/x?y=1"))),
            ("HTTP://t.example", "307", Some((307, "HTTP://t.example"))),
            ("https://t.example", "308", Some((302, "https://t.example"))),
            ("ftp://t.example", "", None),
            ("/path", "", None),
            ("https", "", None),
        ] {
            let mut annotations = vec![("temporal-redirect", target), ("permanent-redirect", "https://p.example")];
            if !code.is_empty() {
                annotations.push(("temporal-redirect-code", code));
            }
            let got = read(&annotations);
            assert_eq!(redirect(&got), want, "{target} {code}");
            assert_eq!(got.outcome(), Outcome::Served, "{target} {code}");
        }
    }

    #[test]
    fn an_unusable_temporal_redirect_takes_the_group_with_it() {
        let got = read(&[("temporal-redirect", "ftp://t.example"), ("from-to-www-redirect", "true")]);
        assert!(!got.draft.www_redirect);
        assert_eq!(got.codes(), ["invalid-annotation"]);
        let got = read(&[("temporal-redirect", ""), ("from-to-www-redirect", "true")]);
        assert_eq!((got.draft.www_redirect, got.codes()), (false, vec!["empty-annotation"]));
    }

    #[test]
    fn bad_values_reject_the_ingress() {
        for (key, value) in [
            ("permanent-redirect", "https://x.example/a b"),
            ("permanent-redirect", "https://x.example/$host"),
            ("permanent-redirect", "//evil.example"),
            ("permanent-redirect", "/a\r\nX: y"),
            ("permanent-redirect-code", "x"),
            ("temporal-redirect", "https://x.example#a"),
            ("from-to-www-redirect", "yes"),
            ("relative-redirects", "on"),
        ] {
            let got = read(&[(key, value)]);
            assert_eq!(got.outcome(), Outcome::TakenOut(key), "{key} {value:?}");
        }
        let got = read(&[("temporal-redirect", "https://x.example"), ("temporal-redirect-code", "x")]);
        assert_eq!(got.outcome(), Outcome::TakenOut("temporal-redirect-code"));
    }

    #[test]
    fn a_status_alone_does_nothing() {
        for key in ["permanent-redirect-code", "temporal-redirect-code"] {
            let got = read(&[(key, "307")]);
            assert_eq!((redirect(&got), got.outcome()), (None, Outcome::Served), "{key}");
        }
    }

    #[test]
    fn relative_redirects_default_to_the_config_map() {
        let mut config = Config::default();
        config.settings.relative_redirects = true;
        for (value, want) in [(None, true), (Some("false"), false), (Some("true"), true), (Some(""), true)] {
            let annotations: Vec<_> = value.map(|value| ("relative-redirects", value)).into_iter().collect();
            assert_eq!(read_with(&annotations, &config).draft.relative_redirects, want, "{value:?}");
        }
        assert!(!read(&[]).draft.relative_redirects);
    }
}
