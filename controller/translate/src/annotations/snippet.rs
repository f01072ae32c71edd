//! nginx configuration in annotations: never used, always refused.

use super::reader::{Reader, Rejection};
use super::spec::{Group, Key, OnError, Spec, Support};
use super::value::Fault;
use super::{Draft, Risk, Scope, chars::Chars};

pub(super) const GROUP: Group = Group {
    name: "snippet",
    doc: "nginx configuration in annotations. There is no nginx here, so an Ingress that carries some is refused; comments alone are \
          accepted where `annotations-risk-level` is `Critical`.",
    keys: &[&CONFIGURATION_SNIPPET, &SERVER_SNIPPET, &STREAM_SNIPPET, &AUTH_SNIPPET, &MODSECURITY_SNIPPET],
    parse,
};

const BASE: Spec = Spec {
    value: "nginx directives",
    risk: Risk::Critical,
    on_error: OnError::Reject,
    support: Support::Never,
    chars: Chars::Text,
    ..Spec::BASE
};

const CONFIGURATION_SNIPPET: Key<()> = snippet(Spec {
    key: "configuration-snippet",
    doc: "Directives for each path of the Ingress. Refused; use the annotations for headers, redirects, rewrites and access.",
    ..BASE
});

const SERVER_SNIPPET: Key<()> = snippet(Spec {
    key: "server-snippet",
    scope: Scope::Host,
    doc: "Directives for the host. Refused; write the paths it names as paths of an Ingress.",
    ..BASE
});

const STREAM_SNIPPET: Key<()> =
    snippet(Spec { key: "stream-snippet", scope: Scope::Ingress, doc: "Directives for TCP and UDP. Refused.", ..BASE });

const AUTH_SNIPPET: Key<()> = snippet(Spec {
    key: "auth-snippet",
    protects: true,
    doc: "Directives for the subrequest of `auth-url`. Refused.",
    ..BASE
});

const MODSECURITY_SNIPPET: Key<()> = snippet(Spec {
    key: "modsecurity-snippet",
    scope: Scope::Ingress,
    protects: true,
    doc: "Rules of a web application firewall. Refused.",
    ..BASE
});

const fn snippet(spec: Spec) -> Key<()> {
    Key { spec, parse: comments_only }
}

/// Reached only where `annotations-risk-level` is `Critical`; below, the Ingress is refused before.
fn parse(read: &mut Reader<'_>, _draft: &mut Draft) {
    for key in [&CONFIGURATION_SNIPPET, &SERVER_SNIPPET, &STREAM_SNIPPET, &AUTH_SNIPPET, &MODSECURITY_SNIPPET] {
        let Some(text) = read.raw(&key.spec) else { continue };
        let accepted = read.config.risk_level >= key.spec.risk;
        let Some(directive) = first_directive(text).filter(|_| accepted) else { continue };
        if read.config.allow_snippets {
            let reason = format!("{} is not understood", crate::quoted(directive));
            read.reject(key.spec.key, &rejection(&key.spec, text, &reason));
        } else {
            let message = "Snippet directives are disabled by the ConfigMap key allow-snippet-annotations; the rest of the \
                           Ingress is served without them";
            read.drop_snippet(&key.spec, message.to_owned(), HELP);
        }
    }
}

const HELP: &str = "replace it by annotations that say what it is for";

/// How an Ingress with a snippet is taken out. Its paths stay closed where the snippet looks as if it kept requests out.
pub(super) fn rejection<'s>(spec: &'s Spec, text: &str, reason: &str) -> Rejection<'s> {
    Rejection {
        key: spec.key,
        closing: (spec.protects || guards(text)).then_some(spec),
        code: "snippet-refused",
        message: format!("Snippet directives are disabled: {reason}"),
        help: HELP,
    }
}

fn comments_only(text: &str) -> Result<(), Fault> {
    match first_directive(text) {
        None => Ok(()),
        Some(_) => Err(Fault::not("empty or made of comments only")),
    }
}

/// The first line that is neither blank nor a comment.
fn first_directive(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Directives by which people keep requests out.
const GUARDS: &[&str] = &[
    "access_by_lua",
    "access_by_lua_block",
    "allow",
    "auth_basic",
    "auth_jwt",
    "auth_request",
    "deny",
    "if",
    "internal",
    "limit_conn",
    "limit_except",
    "limit_req",
    "return",
    "satisfy",
    "secure_link",
    "ssl_verify_client",
    "valid_referers",
];

/// Whether nginx directives may keep requests out.
pub(crate) fn guards(text: &str) -> bool {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut words =
        lines.flat_map(|line| line.split([';', '{', '}'])).filter_map(|part| part.split_whitespace().next());
    words.any(|word| GUARDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::super::Risk;
    use super::super::testing::{Outcome, read, read_with};
    use super::*;
    use crate::Config;

    fn config(risk_level: Risk, allow_snippets: bool) -> Config {
        Config { risk_level, allow_snippets, ..Config::default() }
    }

    #[test]
    fn snippets_take_the_ingress_out() {
        for (key, text) in [
            ("configuration-snippet", "more_set_headers \"a: b\";"),
            ("server-snippet", "more_set_headers \"a: b\";"),
            ("stream-snippet", "server {listen 8000;}"),
            ("configuration-snippet", "# a comment"),
            ("configuration-snippet", ""),
        ] {
            let got = read(&[(key, text)]);
            assert_eq!((got.outcome(), got.codes()), (Outcome::TakenOut(key), vec!["snippet-refused"]), "{key} {text}");
            assert!(got.findings[0].message.contains("Snippet directives are disabled"));
        }
    }

    #[test]
    fn the_paths_of_a_snippet_that_guards_stay_closed() {
        for (key, text, closed) in [
            ("configuration-snippet", "deny all;", true),
            ("configuration-snippet", "set $a 1;\n  if ($arg_x) { return 403; }", true),
            ("server-snippet", "location /metrics { deny all; }", true),
            ("auth-snippet", "proxy_set_header A b;", true),
            ("modsecurity-snippet", "SecRuleEngine On", true),
            ("configuration-snippet", "# deny all;\nexpires 1h;", false),
            ("configuration-snippet", "more_set_headers \"X: deny all\";", false),
        ] {
            let want = if closed { Outcome::Rejected(key) } else { Outcome::TakenOut(key) };
            assert_eq!(read(&[(key, text)]).outcome(), want, "{text}");
            assert_eq!(read(&[(key, text)]).draft.closed_host, None, "{text}");
        }
    }

    #[test]
    fn where_snippets_are_allowed_only_directives_are_refused() {
        for (allowed, text, outcome) in [
            (true, "# fine", Outcome::Served),
            (true, "  \n # a\n", Outcome::Served),
            (true, "expires 1h;", Outcome::TakenOut("configuration-snippet")),
            (false, "expires 1h;", Outcome::Served),
            (false, "# fine", Outcome::Served),
        ] {
            let got = read_with(&[("configuration-snippet", text)], &config(Risk::Critical, allowed));
            assert_eq!(got.outcome(), outcome, "{allowed} {text}");
            assert_eq!(got.codes().is_empty(), first_directive(text).is_none(), "{allowed} {text}");
        }
        let got = read_with(&[("configuration-snippet", "# fine")], &config(Risk::High, true));
        assert_eq!(got.outcome(), Outcome::TakenOut("configuration-snippet"));
    }
}
