//! Which path the upstream sees, and whether the paths of a host are regular expressions.

use std::sync::Arc;

use http::HeaderValue;
use portcullis_model::{Part, Template};

use super::chars::{Chars, Charset};
use super::reader::Reader;
use super::spec::{Group, Key, OnError, Spec};
use super::value::{self, Fault};
use super::{Draft, Risk, Scope};

pub(super) const GROUP: Group = Group {
    name: "rewrite",
    doc: "Which path the upstream sees, and whether the paths of a host are regular expressions.",
    keys: &[&REWRITE_TARGET, &USE_REGEX, &APP_ROOT, &X_FORWARDED_PREFIX, &ENABLE_REWRITE_LOG],
    parse,
};

const REWRITE_TARGET: Key<(Arc<str>, Template)> = Key {
    parse: target,
    spec: Spec {
        key: "rewrite-target",
        value: "a path, with `$1` to `$9` for what the groups of the rule's path matched",
        risk: Risk::Medium,
        chars: Chars::Of(Charset::CAPTURE),
        doc: "Replaces the whole path of requests before they are sent on; the query stays. The path of the rule is searched as a \
              regular expression, ignoring case, and all paths of the host become regular expressions. A target equal to the path \
              of the rule changes nothing. A URL as target answers with 302.",
        ..Spec::BASE
    },
};

const USE_REGEX: Key<bool> = Key {
    parse: value::boolean,
    spec: Spec {
        key: "use-regex",
        value: value::BOOLEAN,
        default: "false",
        scope: Scope::Host,
        doc: "Reads all paths of the host, those of other Ingresses too, as regular expressions that ignore case and begin at the \
              first character of the path.",
        ..Spec::BASE
    },
};

const APP_ROOT: Key<Arc<str>> = Key {
    parse: app_root,
    spec: Spec {
        key: "app-root",
        value: "a path, such as `/app`",
        scope: Scope::Host,
        risk: Risk::Medium,
        chars: Chars::Of(Charset::CAPTURE),
        doc: "Sends requests for exactly `/` to this path with 302. Variables are not expanded.",
        ..Spec::BASE
    },
};

const X_FORWARDED_PREFIX: Key<Template> = Key {
    parse: header_template,
    spec: Spec {
        key: "x-forwarded-prefix",
        value: "a path, with `$1` to `$9` for what the groups of the rule's path matched",
        risk: Risk::Medium,
        on_error: OnError::Reject,
        chars: Chars::OfSpaced(Charset::CAPTURE),
        doc: "Sent to the upstream as `X-Forwarded-Prefix`, on paths that `rewrite-target` rewrites.",
        ..Spec::BASE
    },
};

const ENABLE_REWRITE_LOG: Key<bool> = Key {
    parse: value::boolean,
    spec: Spec {
        key: "enable-rewrite-log",
        value: value::BOOLEAN,
        default: "false",
        support: super::Support::Never,
        doc: "Logs how nginx rewrites. Without effect: `portcullis explain` shows how a request is rewritten.",
        ..Spec::BASE
    },
};

fn parse(read: &mut Reader<'_>, draft: &mut Draft) {
    draft.rewrite = read.value(&REWRITE_TARGET);
    draft.use_regex = read.value(&USE_REGEX).unwrap_or(false);
    draft.app_root = read.value(&APP_ROOT);
    draft.forwarded_prefix = read.value(&X_FORWARDED_PREFIX);
    if draft.forwarded_prefix.is_some() && draft.rewrite.is_none() {
        read.no_effect("x-forwarded-prefix", "it needs `rewrite-target`");
    }
    if read.value(&ENABLE_REWRITE_LOG) == Some(true) {
        read.no_effect("enable-rewrite-log", "`portcullis explain` shows how a request is rewritten");
    }
}

fn target(text: &str) -> Result<(Arc<str>, Template), Fault> {
    let template = value::template(text)?;
    let rooted = match template.parts().first() {
        Some(Part::Literal(start)) => {
            start.starts_with('/') || start.starts_with("http://") || start.starts_with("https://")
        }
        Some(Part::Capture(_) | Part::Variable(_)) => true,
        None => false,
    };
    if rooted { Ok((text.into(), template)) } else { Err(Fault::not("a path, which begins with `/`")) }
}

fn app_root(text: &str) -> Result<Arc<str>, Fault> {
    let printable = text.bytes().all(|octet| octet.is_ascii_graphic());
    if text.contains('$') {
        return Err(Fault::Because("variables are not expanded in it".to_owned()));
    }
    let elsewhere = text.starts_with("//") || text.starts_with("/\\");
    if text.starts_with('/') && printable && !elsewhere {
        Ok(text.into())
    } else {
        Err(Fault::not("a path, which begins with `/`"))
    }
}

/// A template whose own text fits into a header field.
pub(super) fn header_template(text: &str) -> Result<Template, Fault> {
    let template = value::template(text)?;
    let fits = |part: &Part| match part {
        Part::Literal(text) => HeaderValue::from_str(text).is_ok(),
        Part::Capture(_) | Part::Variable(_) => true,
    };
    if template.parts().iter().all(fits) { Ok(template) } else { Err(Fault::not("text that fits into a header")) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Outcome, read, read_unchecked};

    #[test]
    fn rewrite_target_is_a_template_and_a_bad_one_rewrites_nothing() {
        for (value, want, codes) in [
            ("/", Some("/"), &[][..]),
            ("/$2", Some("/$2"), &[]),
            ("/new/$1?", None, &["invalid-annotation"]),
            ("$1", Some("$1"), &[]),
            ("https://x.example/$1", Some("https://x.example/$1"), &[]),
            ("/b;return 200", None, &["invalid-annotation"]),
            ("/$nope", None, &["invalid-annotation"]),
            ("/$0", None, &["invalid-annotation"]),
            ("new", None, &["invalid-annotation"]),
            ("/a\n", None, &["invalid-annotation"]),
            ("", None, &["empty-annotation"]),
        ] {
            let got = read(&[("rewrite-target", value)]);
            assert_eq!(got.draft.rewrite.as_ref().map(|(text, _)| &**text), want, "{value:?}");
            assert_eq!(got.codes(), codes, "{value:?}");
            assert_eq!(got.outcome(), Outcome::Served, "{value:?}");
        }
    }

    #[test]
    fn without_validation_only_the_meaning_is_checked() {
        let got = read_unchecked(&[("rewrite-target", " /a b ")]);
        assert_eq!(got.draft.rewrite.map(|(text, _)| text.to_string()).as_deref(), Some("/a b"));
        assert!(read_unchecked(&[("rewrite-target", "/$nope")]).draft.rewrite.is_none());
        let got = read_unchecked(&[("x-forwarded-prefix", "/a\r\nX-Evil: 1")]);
        assert_eq!((got.outcome(), &got.draft.forwarded_prefix), (Outcome::Served, &None));
    }

    #[test]
    fn use_regex_is_a_boolean() {
        for (value, want) in [("true", true), ("1", true), ("false", false), ("yes", false), ("", false)] {
            assert_eq!(read(&[("use-regex", value)]).draft.use_regex, want, "{value:?}");
        }
    }

    #[test]
    fn app_root_is_an_absolute_path() {
        for (value, want) in [
            ("/app", Some("/app")),
            ("/", Some("/")),
            ("app", None),
            ("https://x.example/", None),
            ("/a b", None),
            ("/$host", None),
            ("", None),
        ] {
            let got = read(&[("app-root", value)]);
            assert_eq!(got.draft.app_root.as_deref(), want, "{value:?}");
            assert_eq!(got.codes().is_empty(), want.is_some(), "{value:?}");
        }
    }

    #[test]
    fn forwarded_prefix_may_be_empty_and_rejects_what_it_cannot_read() {
        for (value, want, outcome) in [
            ("/test/value", Some("/test/value"), Outcome::Served),
            ("/$1", Some("/$1"), Outcome::Served),
            ("/a b", Some("/a b"), Outcome::Served),
            ("", None, Outcome::Served),
            ("   ", None, Outcome::Served),
            ("/a;b", None, Outcome::TakenOut("x-forwarded-prefix")),
            ("/$nope", None, Outcome::TakenOut("x-forwarded-prefix")),
        ] {
            let got = read(&[("x-forwarded-prefix", value), ("rewrite-target", "/foo")]);
            assert_eq!(got.draft.forwarded_prefix.as_ref().map(ToString::to_string).as_deref(), want, "{value:?}");
            assert_eq!(got.outcome(), outcome, "{value:?}");
        }
        assert_eq!(read(&[("x-forwarded-prefix", "/p")]).codes(), ["no-effect"]);
    }

    #[test]
    fn the_rewrite_log_is_accepted_and_has_no_effect() {
        assert_eq!(read(&[("enable-rewrite-log", "true")]).codes(), ["no-effect"]);
        assert!(read(&[("enable-rewrite-log", "false")]).codes().is_empty());
    }
}
