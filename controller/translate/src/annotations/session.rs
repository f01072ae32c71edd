//! Sessions that stay on one endpoint by a cookie.

use std::sync::Arc;

use portcullis_model::{Affinity, AffinityMode, SameSite, SessionCookie};

use super::chars::{Chars, Charset};
use super::reader::Reader;
use super::spec::{Group, Key, Registered, Spec};
use super::value::{self, Fault};
use super::{Draft, Risk, Scope};
use crate::quoted;

pub(super) const GROUP: Group = Group {
    name: "session",
    doc: "Sessions that stay on one endpoint by a cookie. Where several Ingresses use a Service port, the mode is that of the oldest \
          one that sets it and the cookie that of the youngest with `affinity`; it is given to clients on paths of those with \
          `affinity` only, and followed wherever the Service port is used.",
    keys: &[
        &AFFINITY,
        &AFFINITY_MODE,
        &AFFINITY_CANARY_BEHAVIOR,
        &NAME,
        &PATH,
        &DOMAIN,
        &SAME_SITE,
        &CONDITIONAL_SAME_SITE_NONE,
        &SECURE,
        &EXPIRES,
        &MAX_AGE,
        &CHANGE_ON_FAILURE,
    ],
    parse,
};

const BASIC: Chars = Chars::OfSpaced(Charset::BASIC);

const AFFINITY: Key<&'static str> = Key {
    parse: |text| value::word(text, &["cookie"]),
    spec: Spec {
        key: "affinity",
        value: "`cookie`",
        scope: Scope::Cluster,
        chars: Chars::Text,
        doc: "Keeps a client on one endpoint by a cookie.",
        ..Spec::BASE
    },
};

const AFFINITY_MODE: Key<AffinityMode> = Key {
    parse: |text| {
        value::word(text, &["balanced", "persistent"]).map(|word| match word {
            "persistent" => AffinityMode::Persistent,
            _ => AffinityMode::Balanced,
        })
    },
    spec: Spec {
        key: "affinity-mode",
        value: "`balanced` or `persistent`",
        default: "balanced",
        scope: Scope::Cluster,
        risk: Risk::Medium,
        chars: Chars::Text,
        doc: "With `balanced` a share of the sessions moves when endpoints come; with `persistent` none moves while its endpoint is \
              there.",
        ..Spec::BASE
    },
};

const AFFINITY_CANARY_BEHAVIOR: Key<&'static str> = Key {
    parse: |text| value::word(text, &["sticky", "legacy"]),
    spec: Spec {
        key: "affinity-canary-behavior",
        value: "`sticky` or `legacy`",
        default: "sticky",
        scope: Scope::Cluster,
        chars: Chars::Text,
        doc: "On a canary: whether clients of the canary stay there, as the sessions of the primary do.",
        ..Spec::BASE
    },
};

const NAME: Key<Arc<str>> = Key {
    parse: cookie_name,
    spec: Spec {
        key: "session-cookie-name",
        value: "the name of a cookie",
        default: "INGRESSCOOKIE",
        scope: Scope::Cluster,
        risk: Risk::Medium,
        chars: BASIC,
        doc: "Name of the cookie.",
        ..Spec::BASE
    },
};

const PATH: Key<Arc<str>> = Key {
    parse: attribute,
    spec: Spec {
        key: "session-cookie-path",
        value: "a path",
        scope: Scope::Cluster,
        risk: Risk::Medium,
        chars: Chars::OfSpaced(Charset::URL),
        doc: "`Path` of the cookie; the path of the rule if absent, which does not do where that is a regular expression.",
        ..Spec::BASE
    },
};

const DOMAIN: Key<Arc<str>> = Key {
    parse: attribute,
    spec: Spec {
        key: "session-cookie-domain",
        value: "a host name",
        scope: Scope::Cluster,
        risk: Risk::Medium,
        chars: BASIC,
        doc: "`Domain` of the cookie; none if absent.",
        ..Spec::BASE
    },
};

/// The attribute; none for a word that ingress-nginx accepts and does not send.
const SAME_SITE: Key<Option<SameSite>> = Key {
    parse: |text| value::word_ignoring_case(text, &["none", "lax", "strict"]).map(|_| same_site(text)),
    spec: Spec {
        key: "session-cookie-samesite",
        value: "`None`, `Lax` or `Strict`",
        scope: Scope::Cluster,
        chars: Chars::Text,
        doc: "`SameSite` of the cookie; none if absent.",
        ..Spec::BASE
    },
};

const CONDITIONAL_SAME_SITE_NONE: Key<bool> = Key {
    parse: value::boolean,
    spec: Spec {
        key: "session-cookie-conditional-samesite-none",
        value: value::BOOLEAN,
        default: "false",
        scope: Scope::Cluster,
        doc: "Leaves `SameSite=None` out for old clients, which refuse such cookies.",
        ..Spec::BASE
    },
};

const SECURE: Key<bool> = Key {
    parse: value::boolean,
    spec: Spec {
        key: "session-cookie-secure",
        value: value::BOOLEAN,
        default: "false",
        scope: Scope::Cluster,
        doc: "Sets `Secure` for clients without TLS, too. For those with TLS it is always set.",
        ..Spec::BASE
    },
};

const EXPIRES: Key<i64> = Key {
    parse: value::integer,
    spec: Spec {
        key: "session-cookie-expires",
        value: "a number of seconds",
        scope: Scope::Cluster,
        risk: Risk::Medium,
        doc: "When the cookie ends, counted from now, as the date in `Expires`; none if absent.",
        ..Spec::BASE
    },
};

const MAX_AGE: Key<i64> = Key {
    parse: value::integer,
    spec: Spec {
        key: "session-cookie-max-age",
        value: "a number of seconds",
        scope: Scope::Cluster,
        risk: Risk::Medium,
        doc: "`Max-Age` of the cookie; none if absent.",
        ..Spec::BASE
    },
};

const CHANGE_ON_FAILURE: Key<bool> = Key {
    parse: value::boolean,
    spec: Spec {
        key: "session-cookie-change-on-failure",
        value: value::BOOLEAN,
        default: "false",
        scope: Scope::Cluster,
        doc: "Moves the session to another endpoint when its own fails; if off, it is tried there again.",
        ..Spec::BASE
    },
};

/// The keys that say something about the cookie.
const OF_COOKIE: &[&dyn Registered] =
    &[&NAME, &PATH, &DOMAIN, &SAME_SITE, &CONDITIONAL_SAME_SITE_NONE, &SECURE, &EXPIRES, &MAX_AGE, &CHANGE_ON_FAILURE];

fn parse(read: &mut Reader<'_>, draft: &mut Draft) {
    let wanted = read.value(&AFFINITY).is_some();
    draft.session.mode = read.value(&AFFINITY_MODE);
    let behavior = read.value(&AFFINITY_CANARY_BEHAVIOR);
    draft.session.legacy_canary = behavior == Some("legacy");
    if behavior.is_some() && !read.on_canary {
        read.no_effect(AFFINITY_CANARY_BEHAVIOR.spec.key, "it counts on a canary Ingress only");
    }
    let affinity = affinity(read);
    if wanted && !read.on_canary {
        if draft.use_regex && affinity.cookie.path.is_none() {
            let message = "the paths are regular expressions, which do not do as the path of a cookie".to_owned();
            read.warn(PATH.spec.key, "no-cookie-path", message, "set session-cookie-path where use-regex is true");
        }
        draft.session.affinity = Some(affinity);
        return;
    }
    let reason = if read.on_canary { "a canary follows the sessions of its primary" } else { "it needs affinity" };
    let lone = OF_COOKIE.iter().map(|key| key.spec()).filter(|spec| read.has(spec));
    let lone: Vec<&Spec> = lone.chain(wanted.then_some(&AFFINITY.spec)).collect();
    lone.iter().for_each(|spec| read.no_effect(spec.key, reason));
}

fn affinity(read: &mut Reader<'_>) -> Affinity {
    let same_site = read.value(&SAME_SITE);
    if same_site == Some(None) {
        let raw = read.raw(&SAME_SITE.spec).unwrap_or_default();
        read.adjusted(
            &SAME_SITE.spec,
            format!("{} is not written as browsers expect it, so it is not sent", quoted(raw)),
        );
    }
    let stock = SessionCookie::default();
    let cookie = SessionCookie {
        name: read.value(&NAME).unwrap_or(stock.name),
        path: read.value(&PATH),
        domain: read.value(&DOMAIN),
        expires: read.value(&EXPIRES),
        max_age: read.value(&MAX_AGE),
        secure: read.value(&SECURE).unwrap_or(false),
        same_site: same_site.flatten(),
        conditional_same_site_none: read.value(&CONDITIONAL_SAME_SITE_NONE).unwrap_or(false),
    };
    let change_on_failure = read.value(&CHANGE_ON_FAILURE).unwrap_or(false);
    Affinity { mode: AffinityMode::default(), cookie, change_on_failure }
}

fn same_site(text: &str) -> Option<SameSite> {
    [SameSite::None, SameSite::Lax, SameSite::Strict].into_iter().find(|known| known.name() == text)
}

/// What nginx's cookie parser reads back as written.
fn cookie_name(text: &str) -> Result<Arc<str>, Fault> {
    let fits = |octet: u8| octet.is_ascii_graphic() && !b";,=\"".contains(&octet);
    if text.bytes().all(fits) { Ok(text.into()) } else { Err(Fault::not("the name of a cookie, such as `SESSION`")) }
}

/// What does not end the attribute of a cookie.
fn attribute(text: &str) -> Result<Arc<str>, Fault> {
    let fits = |octet: u8| (octet.is_ascii_graphic() || octet == b' ') && octet != b';';
    if text.bytes().all(fits) { Ok(text.into()) } else { Err(Fault::not("text that fits into a cookie")) }
}

#[cfg(test)]
mod tests {
    use portcullis_model::{Affinity, AffinityMode, SameSite};

    use super::super::testing::{Outcome, read, read_unchecked};

    fn affinity(annotations: &[(&str, &str)]) -> Affinity {
        let annotations: Vec<_> = [("affinity", "cookie")].iter().chain(annotations).copied().collect();
        read(&annotations).draft.session.affinity.unwrap()
    }

    #[test]
    fn only_cookie_is_an_affinity() {
        for (value, want, codes) in [
            ("cookie", true, &[][..]),
            ("ip", false, &["invalid-annotation"]),
            ("Cookie", false, &["invalid-annotation"]),
            ("", false, &["empty-annotation"]),
        ] {
            let got = read(&[("affinity", value)]);
            assert_eq!((got.draft.session.affinity.is_some(), got.codes()), (want, codes.to_vec()), "{value}");
            assert_eq!(got.outcome(), Outcome::Served, "{value}");
        }
    }

    #[test]
    fn a_bad_value_leaves_the_default() {
        let cookie = affinity(&[]).cookie;
        assert_eq!((&*cookie.name, cookie.expires, cookie.secure), ("INGRESSCOOKIE", None, false));
        for (key, value) in [
            ("session-cookie-name", "a;b"),
            ("session-cookie-name", "a b"),
            ("session-cookie-path", "/a;Domain=x"),
            ("session-cookie-domain", "a\r\nX: y"),
            ("session-cookie-expires", "2h"),
            ("session-cookie-max-age", "1.5"),
            ("session-cookie-secure", "yes"),
            ("session-cookie-change-on-failure", "yes"),
            ("session-cookie-samesite", "Sometimes"),
            ("session-cookie-conditional-samesite-none", "x"),
            ("affinity-mode", "sticky"),
        ] {
            assert_eq!(affinity(&[(key, value)]), affinity(&[]), "{key} {value:?}");
            let got = read(&[("affinity", "cookie"), (key, value)]);
            assert_eq!((got.codes(), got.outcome()), (vec!["invalid-annotation"], Outcome::Served), "{key} {value:?}");
            let got = read_unchecked(&[("affinity", "cookie"), (key, value)]);
            assert_eq!(got.draft.session.affinity, Some(affinity(&[])), "{key} {value:?} unchecked");
        }
    }

    #[test]
    fn all_keys_are_read() {
        let got = affinity(&[
            ("session-cookie-name", "route"),
            ("session-cookie-path", "/p"),
            ("session-cookie-domain", "a.example"),
            ("session-cookie-expires", "-5"),
            ("session-cookie-max-age", "172800"),
            ("session-cookie-secure", "true"),
            ("session-cookie-samesite", "None"),
            ("session-cookie-conditional-samesite-none", "true"),
            ("session-cookie-change-on-failure", "true"),
        ]);
        let cookie = &got.cookie;
        let texts = (&*cookie.name, cookie.path.as_deref(), cookie.domain.as_deref());
        assert_eq!(texts, ("route", Some("/p"), Some("a.example")));
        assert_eq!((cookie.expires, cookie.max_age, cookie.same_site), (Some(-5), Some(172_800), Some(SameSite::None)));
        assert!(cookie.secure && cookie.conditional_same_site_none && got.change_on_failure);
    }

    #[test]
    fn same_site_counts_in_its_exact_spelling_only() {
        for (value, want, codes) in [
            ("None", Some(SameSite::None), &[][..]),
            ("Lax", Some(SameSite::Lax), &[]),
            ("Strict", Some(SameSite::Strict), &[]),
            ("lax", None, &["invalid-annotation"]),
            ("STRICT", None, &["invalid-annotation"]),
        ] {
            let got = read(&[("affinity", "cookie"), ("session-cookie-samesite", value)]);
            assert_eq!(got.codes(), codes, "{value}");
            assert_eq!(got.draft.session.affinity.unwrap().cookie.same_site, want, "{value}");
        }
    }

    #[test]
    fn the_mode_counts_on_its_own_and_the_cookie_does_not() {
        let got = read(&[("affinity-mode", "persistent")]);
        assert_eq!((got.draft.session.mode, got.codes()), (Some(AffinityMode::Persistent), vec![]));
        assert_eq!(read(&[("session-cookie-name", "a")]).codes(), ["no-effect"]);
    }

    #[test]
    fn a_canary_says_only_whether_it_follows() {
        for (behavior, legacy) in [("legacy", true), ("sticky", false)] {
            let got = read(&[("canary", "true"), ("affinity", "cookie"), ("affinity-canary-behavior", behavior)]);
            assert_eq!((&got.draft.session.affinity, got.draft.session.legacy_canary), (&None, legacy));
            assert_eq!(got.codes(), ["no-effect"], "affinity is that of the primary");
        }
        assert_eq!(read(&[("affinity", "cookie"), ("affinity-canary-behavior", "legacy")]).codes(), ["no-effect"]);
    }

    #[test]
    fn regular_expressions_are_no_path_of_a_cookie() {
        let regex = [("affinity", "cookie"), ("use-regex", "true")];
        assert_eq!(read(&regex).codes(), ["no-cookie-path"]);
        let with_path: Vec<_> = regex.into_iter().chain([("session-cookie-path", "/foo")]).collect();
        assert_eq!(read(&with_path).codes(), [""; 0]);
    }
}
