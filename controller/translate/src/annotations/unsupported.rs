//! Annotations that are known and have no effect yet.
//!
//! Their values are checked all the same. One that would have an effect yields a finding, and where it keeps requests out the
//! paths it protects answer 503: never silence, never an open door. A key leaves this file for the file of its own group.

mod keys;

use super::reader::Reader;
use super::spec::{Group, Key, OnError, Registered, Spec, Support};
use super::value::{self, Fault};
use super::{Draft, Risk, Scope, chars::Chars};
use keys::LATER;

pub(super) const GROUP: Group = Group {
    name: "unsupported",
    doc: "Known and without effect yet. Where such a key keeps requests out, its paths answer 503 instead.",
    keys: &REGISTERED,
    parse,
};

const REGISTERED: [&dyn Registered; LATER.len()] = registered();

#[expect(clippy::indexing_slicing, reason = "runs at compile time, where an index out of range is a compile error")]
const fn registered() -> [&'static dyn Registered; LATER.len()] {
    let mut all: [&'static dyn Registered; LATER.len()] = [&LATER[0]; LATER.len()];
    let mut index = 0;
    while index < all.len() {
        all[index] = &LATER[index];
        index += 1;
    }
    all
}

/// A key that is known and not honoured yet.
struct Later {
    /// The parser tells whether a value may have an effect at all. One equal to the default has none; of a key that protects,
    /// the parser alone decides.
    key: Key<bool>,
    /// The key without which this one counts for nothing; empty for none.
    needs: &'static str,
}

impl Registered for Later {
    fn spec(&self) -> &Spec {
        &self.key.spec
    }

    #[cfg(test)]
    fn check(&self, text: &str) -> Result<(), Fault> {
        self.key.check(text)
    }
}

fn parse(read: &mut Reader<'_>, _draft: &mut Draft) {
    if read.unread().next().is_none() {
        return;
    }
    for later in LATER {
        if read.has(&later.key.spec) {
            look(read, later);
        }
    }
}

fn look(read: &mut Reader<'_>, later: &Later) {
    let spec = &later.key.spec;
    let lone = !later.needs.is_empty() && read.entries().all(|(key, _)| key != later.needs);
    if lone {
        read.raw(spec);
        return read.no_effect(spec.key, &format!("it needs {}", later.needs));
    }
    if !read.value(&later.key).unwrap_or(false) || (read.on_canary && spec.scope != Scope::Cluster) {
        return;
    }
    if !spec.protects && read.raw(spec).is_some_and(|text| value::same(text, spec.default)) {
        return;
    }
    match spec.support {
        Support::Never => read.no_effect(spec.key, spec.doc),
        Support::Full | Support::Partial | Support::NotYet => read.not_yet(spec, &format!("`{}`", spec.key)),
    }
}

impl Later {
    const fn new(spec: Spec, parse: fn(&str) -> Result<bool, Fault>) -> Self {
        Self { key: Key { spec: Spec { support: Support::NotYet, ..spec }, parse }, needs: "" }
    }

    /// Free text.
    const fn text(key: &'static str, value: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self::new(Spec { key, value, default, doc, chars: Chars::Text, ..Spec::BASE }, |_| Ok(true))
    }

    /// `true` or `false`.
    const fn boolean(key: &'static str, default: &'static str, doc: &'static str) -> Self {
        let spec = Spec { key, value: value::BOOLEAN, default, doc, ..Spec::BASE };
        Self::new(spec, |text| value::boolean(text).map(|_| true))
    }

    /// A whole number.
    const fn number(key: &'static str, value: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self::new(Spec { key, value, default, doc, ..Spec::BASE }, |text| value::integer(text).map(|_| true))
    }

    /// A whole number that counts above zero only.
    const fn above_zero(key: &'static str, value: &'static str, doc: &'static str) -> Self {
        let spec = Spec { key, value, default: "0", doc, ..Spec::BASE };
        Self::new(spec, |text| value::integer(text).map(|number| number > 0))
    }

    /// A size in the notation of nginx.
    const fn size(key: &'static str, default: &'static str, doc: &'static str) -> Self {
        let value = "a size, such as `8k` or `1m`";
        Self::new(Spec { key, value, default, doc, chars: Chars::Text, ..Spec::BASE }, |text| {
            value::size(text).map(|_| true)
        })
    }

    /// `on` or `off`.
    const fn switch(key: &'static str, default: &'static str, doc: &'static str) -> Self {
        let spec = Spec { key, value: "`on` or `off`", default, doc, chars: Chars::Text, ..Spec::BASE };
        Self::new(spec, |text| value::switch(text).map(|_| true))
    }

    /// Addresses and networks, divided by commas.
    const fn networks(key: &'static str, doc: &'static str) -> Self {
        let value = "addresses or networks such as `10.0.0.0/8`, divided by commas";
        Self::new(Spec { key, value, doc, chars: Chars::Text, ..Spec::BASE }, |text| {
            value::networks(text).map(|_| true)
        })
    }

    const fn parsed(mut self, parse: fn(&str) -> Result<bool, Fault>) -> Self {
        self.key.parse = parse;
        self
    }

    const fn chars(mut self, chars: Chars) -> Self {
        self.key.spec.chars = chars;
        self
    }

    const fn scope(mut self, scope: Scope) -> Self {
        self.key.spec.scope = scope;
        self
    }

    const fn risk(mut self, risk: Risk) -> Self {
        self.key.spec.risk = risk;
        self
    }

    const fn on_error(mut self, on_error: OnError) -> Self {
        self.key.spec.on_error = on_error;
        self
    }

    const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.key.spec.aliases = aliases;
        self
    }

    const fn config_key(mut self, key: &'static str) -> Self {
        self.key.spec.config_key = Some(key);
        self
    }

    const fn needs(mut self, key: &'static str) -> Self {
        self.needs = key;
        self
    }

    const fn protects(mut self) -> Self {
        self.key.spec.protects = true;
        self
    }

    const fn without_effect(mut self) -> Self {
        self.key.spec.support = Support::Never;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Outcome, read};

    #[test]
    fn what_protects_closes_the_paths() {
        for (key, value, field) in [
            ("auth-type", "basic", "auth-type"),
            ("auth-type", "digest", "auth-type"),
            ("auth-secret", "creds", "auth-secret"),
            ("auth-url", "https://auth.example/check?x=$host", "auth-url"),
            ("allowlist-source-range", "10.0.0.0/8, 2001:db8::1", "allowlist-source-range"),
            ("whitelist-source-range", "10.0.0.0/8", "whitelist-source-range"),
            ("denylist-source-range", "192.0.2.1", "denylist-source-range"),
            ("satisfy", "any", "satisfy"),
            ("limit-rps", "5", "limit-rps"),
            ("limit-rpm", "5", "limit-rpm"),
            ("limit-connections", "1", "limit-connections"),
        ] {
            let got = read(&[(key, value)]);
            let closed = got.draft.closed.as_ref().map(|closed| &*closed.key);
            assert_eq!(closed, Some(field.replace("whitelist", "allowlist").as_str()), "{key}");
            assert_eq!((got.codes(), &got.draft.closed_host), (vec!["not-yet-supported"], &None), "{key}");
            assert_eq!(got.findings[0].field, format!("nginx.ingress.kubernetes.io/{field}"));
            assert_eq!(got.findings[0].severity, crate::Severity::Error, "{key}");
        }
    }

    #[test]
    fn client_certificates_close_the_whole_host() {
        for (key, value) in
            [("auth-tls-secret", "demo/ca"), ("auth-tls-verify-client", "optional"), ("auth-tls-match-cn", "CN=a.*")]
        {
            let got = read(&[(key, value)]);
            assert_eq!(got.draft.closed_host.map(|closed| closed.key.to_string()).as_deref(), Some(key));
            assert_eq!(got.draft.closed.map(|closed| closed.key.to_string()).as_deref(), Some(key));
        }
    }

    #[test]
    fn values_without_effect_are_passed_over() {
        for (key, value) in [
            ("limit-rps", "0"),
            ("limit-rpm", "-1"),
            ("satisfy", "all"),
            ("auth-tls-verify-client", "off"),
            ("enable-modsecurity", "false"),
            ("enable-opentelemetry", "F"),
            ("enable-cors", "false"),
            ("ssl-passthrough", "0"),
            ("http2-push-preload", "false"),
            ("enable-global-auth", "true"),
        ] {
            let got = read(&[(key, value)]);
            assert_eq!((got.codes(), got.outcome()), (vec![], Outcome::Served), "{key} {value}");
        }
    }

    #[test]
    fn other_keys_warn_and_serve() {
        for (key, value) in [
            ("enable-cors", "true"),
            ("custom-http-errors", "404,503"),
            ("mirror-target", "https://x.example$request_uri"),
            ("enable-modsecurity", "true"),
            ("ssl-passthrough", "true"),
            ("limit-rate", "100"),
        ] {
            let got = read(&[(key, value)]);
            assert_eq!((got.codes(), got.outcome()), (vec!["not-yet-supported"], Outcome::Served), "{key}");
            assert_eq!(got.findings[0].severity, crate::Severity::Warning, "{key}");
        }
        assert_eq!(read(&[("http2-push-preload", "true")]).codes(), ["no-effect"]);
    }

    #[test]
    fn bad_values_have_the_outcome_of_the_contract() {
        for (key, value, outcome) in [
            ("auth-type", "magic", Outcome::Rejected("auth-type")),
            ("auth-secret", "a;b", Outcome::Closed("auth-secret")),
            ("auth-url", "http://x.example/;\n\n}\n\nreturn 200;", Outcome::Rejected("auth-url")),
            ("limit-rps", "-", Outcome::Rejected("limit-rps")),
            ("limit-connections", "x", Outcome::Rejected("limit-connections")),
            ("allowlist-source-range", "10.0.0.0/8, nonsense", Outcome::Closed("allowlist-source-range")),
            ("auth-tls-match-cn", "CN=(", Outcome::Rejected("auth-tls-match-cn")),
            ("auth-tls-match-cn", "OU=x", Outcome::Rejected("auth-tls-match-cn")),
            ("ssl-passthrough", "yes", Outcome::TakenOut("ssl-passthrough")),
            ("custom-http-errors", "200", Outcome::TakenOut("custom-http-errors")),
            ("custom-headers", "a;b", Outcome::Served),
            ("limit-rps", "", Outcome::Closed("limit-rps")),
            ("auth-url", "", Outcome::Closed("auth-url")),
            ("whitelist-source-range", "", Outcome::Served),
        ] {
            assert_eq!(read(&[(key, value)]).outcome(), outcome, "{key} {value:?}");
        }
    }

    #[test]
    fn keys_that_need_another_one_say_so() {
        assert_eq!(read(&[("auth-realm", "shop")]).codes(), ["no-effect"]);
    }

    #[test]
    fn the_main_name_wins_over_an_alias() {
        let got = read(&[("allowlist-source-range", "10.0.0.0/8"), ("whitelist-source-range", "nonsense")]);
        assert_eq!(
            (got.codes(), got.outcome()),
            (vec!["not-yet-supported"], Outcome::Closed("allowlist-source-range"))
        );
        let got = read(&[("allowlist-source-range", ""), ("whitelist-source-range", "10.0.0.0/8")]);
        assert_eq!(got.codes(), ["not-yet-supported"]);
    }
}
