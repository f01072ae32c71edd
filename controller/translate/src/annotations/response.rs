//! What is changed in the fields that upstreams answer with.

use std::sync::Arc;

use portcullis_model::policy::{CookieDomain, PrefixChange, ResponseRewrite};

use super::chars::{Chars, Charset};
use super::reader::Reader;
use super::spec::{Group, Key, Spec};
use super::value::Fault;
use super::{Draft, Risk};

pub(super) const GROUP: Group = Group {
    name: "response",
    doc: "What is changed in cookies and redirects of upstreams.",
    keys: &[&PROXY_COOKIE_DOMAIN, &PROXY_COOKIE_PATH, &PROXY_REDIRECT_FROM, &PROXY_REDIRECT_TO],
    parse,
};

const PROXY_COOKIE_DOMAIN: Key<Option<CookieDomain>> = Key {
    parse: cookie_domain,
    spec: Spec {
        key: "proxy-cookie-domain",
        value: "`off`, or a domain and its replacement",
        default: "off",
        config_key: Some("proxy-cookie-domain"),
        risk: Risk::Medium,
        chars: Chars::Of(Charset::BASIC_SPACE),
        doc: "Changes `Domain` of the cookies of the upstream where it is the first domain, in whatever case. A dot before the \
              domains does not count.",
        ..Spec::BASE
    },
};

const PROXY_COOKIE_PATH: Key<Option<PrefixChange>> = Key {
    parse: cookie_path,
    spec: Spec {
        key: "proxy-cookie-path",
        value: "`off`, or the start of a path and its replacement",
        default: "off",
        config_key: Some("proxy-cookie-path"),
        risk: Risk::Medium,
        chars: Chars::OfSpaced(Charset::URL),
        doc: "Changes `Path` of the cookies of the upstream where it begins with the first text. Regular expressions are not \
              supported.",
        ..Spec::BASE
    },
};

const PROXY_REDIRECT_FROM: Key<Option<Arc<str>>> = Key {
    parse: redirect_from,
    spec: Spec {
        key: "proxy-redirect-from",
        value: "`off`, `default` or the start of a URL",
        default: "off",
        config_key: Some("proxy-redirect-from"),
        risk: Risk::Medium,
        chars: Chars::OfSpaced(Charset::URL),
        doc: "The start of `Location`, and of the URL in `Refresh`, of the upstream that `proxy-redirect-to` takes the place of. \
              With `off` and `default` both stay as they are. Regular expressions are not supported.",
        ..Spec::BASE
    },
};

const PROXY_REDIRECT_TO: Key<Option<Arc<str>>> = Key {
    parse: redirect_to,
    spec: Spec {
        key: "proxy-redirect-to",
        value: "`off` or the start of a URL",
        default: "off",
        config_key: Some("proxy-redirect-to"),
        risk: Risk::Medium,
        chars: Chars::OfSpaced(Charset::URL),
        doc: "What takes the place of `proxy-redirect-from`.",
        ..Spec::BASE
    },
};

/// What the ConfigMap decides for Ingresses that do not say otherwise; none where it is `off`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ResponseDefaults {
    /// `proxy-cookie-domain`.
    pub cookie_domain: Option<CookieDomain>,
    /// `proxy-cookie-path`.
    pub cookie_path: Option<PrefixChange>,
    /// `proxy-redirect-from`; none for `default`, too.
    pub redirect_from: Option<Arc<str>>,
    /// `proxy-redirect-to`.
    pub redirect_to: Option<Arc<str>>,
}

impl ResponseDefaults {
    /// The changes as a route has them.
    pub(crate) fn rewrite(self) -> Option<Box<ResponseRewrite>> {
        let location = self.redirect_from.zip(self.redirect_to);
        let location = location.and_then(|(from, to)| PrefixChange::new(&from, &to));
        let rewrite = ResponseRewrite { cookie_domain: self.cookie_domain, cookie_path: self.cookie_path, location };
        (!rewrite.is_empty()).then(|| Box::new(rewrite))
    }
}

fn parse(read: &mut Reader<'_>, draft: &mut Draft) {
    let ResponseDefaults { cookie_domain, cookie_path, redirect_from, redirect_to } = read.config.response.clone();
    let written = [&PROXY_REDIRECT_FROM, &PROXY_REDIRECT_TO].map(|key| read.has(&key.spec));
    let effective = ResponseDefaults {
        cookie_domain: read.value(&PROXY_COOKIE_DOMAIN).unwrap_or(cookie_domain),
        cookie_path: read.value(&PROXY_COOKIE_PATH).unwrap_or(cookie_path),
        redirect_from: read.value(&PROXY_REDIRECT_FROM).unwrap_or(redirect_from),
        redirect_to: read.value(&PROXY_REDIRECT_TO).unwrap_or(redirect_to),
    };
    match (&effective.redirect_from, &effective.redirect_to, written) {
        (Some(_), None, [true, _]) => read.no_effect("proxy-redirect-from", "it needs `proxy-redirect-to`"),
        (None, Some(_), [_, true]) => read.no_effect("proxy-redirect-to", "it needs `proxy-redirect-from`"),
        _ => {}
    }
    draft.response = effective.rewrite();
}

/// `off`, or two domains.
pub(crate) fn cookie_domain(text: &str) -> Result<Option<CookieDomain>, Fault> {
    let change = |(from, to)| CookieDomain::new(from, to).map(Some);
    off_or(text, || two_words(text).and_then(change).ok_or(Fault::not("`off` or two domains")))
}

/// `off`, or the starts of two paths.
pub(crate) fn cookie_path(text: &str) -> Result<Option<PrefixChange>, Fault> {
    let change = |(from, to)| PrefixChange::new(from, to).map(Some);
    off_or(text, || two_words(text).and_then(change).ok_or(Fault::not("`off` or two paths without variables")))
}

/// `off`, `default`, which would change the name of an upstream of nginx only, or the start of a URL.
pub(crate) fn redirect_from(text: &str) -> Result<Option<Arc<str>>, Fault> {
    if text == "default" { Ok(None) } else { redirect_to(text) }
}

/// `off`, or the start of a URL.
pub(crate) fn redirect_to(text: &str) -> Result<Option<Arc<str>>, Fault> {
    let plain = PrefixChange::new(text, text).is_some();
    off_or(text, || if plain { Ok(Some(text.into())) } else { Err(Fault::not("the start of a URL without variables")) })
}

fn off_or<T>(text: &str, otherwise: impl FnOnce() -> Result<Option<T>, Fault>) -> Result<Option<T>, Fault> {
    if text == "off" { Ok(None) } else { otherwise() }
}

fn two_words(text: &str) -> Option<(&str, &str)> {
    let mut words = text.split_ascii_whitespace();
    let two = words.next().zip(words.next());
    two.filter(|_| words.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Outcome, read, read_with};
    use super::*;
    use crate::Config;

    fn shown(rewrite: Option<&ResponseRewrite>) -> String {
        let Some(ResponseRewrite { cookie_domain, cookie_path, location }) = rewrite else { return String::new() };
        let pair = |change: &PrefixChange| format!("{}>{}", change.from(), change.to());
        [
            cookie_domain.as_ref().map(|change| format!("domain {}>{}", change.from(), change.to())),
            cookie_path.as_ref().map(|change| format!("path {}", pair(change))),
            location.as_ref().map(|change| format!("location {}", pair(change))),
        ]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
    }

    #[test]
    fn values_are_off_or_a_pair_and_bad_ones_mean_the_default() {
        for (annotations, want, codes) in [
            (&[("proxy-cookie-domain", "localhost example.org")][..], "domain localhost>example.org", &[][..]),
            (&[("proxy-cookie-domain", "off")], "", &[]),
            (&[("proxy-cookie-domain", "one")], "", &["invalid-annotation"]),
            (&[("proxy-cookie-domain", "a b c")], "", &["invalid-annotation"]),
            (&[("proxy-cookie-domain", "~a b")], "", &["invalid-annotation"]),
            (&[("proxy-cookie-domain", "")], "", &["empty-annotation"]),
            (&[("proxy-cookie-path", "/one/ /")], "path /one/>/", &[]),
            (&[("proxy-cookie-path", "/one/ /;Secure")], "", &["invalid-annotation"]),
            (&[("proxy-cookie-path", "/one/")], "", &["invalid-annotation"]),
            (
                &[("proxy-redirect-from", "http://a.example/"), ("proxy-redirect-to", "https://b.example/")],
                "location http://a.example/>https://b.example/",
                &[],
            ),
            (&[("proxy-redirect-from", "off"), ("proxy-redirect-to", "b.example")], "", &["no-effect"]),
            (&[("proxy-redirect-from", "default"), ("proxy-redirect-to", "b.example")], "", &["no-effect"]),
            (&[("proxy-redirect-from", "http://a.example/")], "", &["no-effect"]),
            (&[("proxy-redirect-from", "http://a.example/"), ("proxy-redirect-to", "off")], "", &["no-effect"]),
            (&[("proxy-redirect-to", "http://$host/")], "", &["invalid-annotation"]),
        ] {
            let got = read(annotations);
            assert_eq!(shown(got.draft.response.as_deref()), want, "{annotations:?}");
            assert_eq!((got.codes(), got.outcome()), (codes.to_vec(), Outcome::Served), "{annotations:?}");
        }
    }

    #[test]
    fn each_key_has_its_own_default() {
        let config = Config {
            response: ResponseDefaults {
                cookie_domain: CookieDomain::new("a", "b"),
                cookie_path: PrefixChange::new("/a", "/b"),
                redirect_from: Some("http://a/".into()),
                redirect_to: None,
            },
            ..Config::default()
        };
        for (annotations, want) in [
            (&[][..], "domain a>b, path /a>/b"),
            (&[("proxy-cookie-domain", "off")], "path /a>/b"),
            (&[("proxy-cookie-path", "nonsense")], "domain a>b, path /a>/b"),
            (&[("proxy-redirect-to", "http://b/")], "domain a>b, path /a>/b, location http://a/>http://b/"),
        ] {
            assert_eq!(shown(read_with(annotations, &config).draft.response.as_deref()), want, "{annotations:?}");
        }
    }
}
