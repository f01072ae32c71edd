//! Which endpoint of a Service takes a request, and by which host name the upstream is asked.

use portcullis_model::Template;

use super::chars::{Chars, Charset};
use super::reader::Reader;
use super::rewrite::header_template;
use super::spec::{Group, Key, OnError, Spec, Support};
use super::value;
use super::{Draft, Scope};
use crate::quoted;

pub(super) const GROUP: Group = Group {
    name: "balance",
    doc: "Which endpoint of a Service takes a request, and by which host name the upstream is asked.",
    keys: &[&LOAD_BALANCE, &SERVICE_UPSTREAM, &UPSTREAM_VHOST],
    parse,
};

/// Every word that ingress-nginx accepts. The last four are what it calls its own implementations.
const ALGORITHMS: &[&str] = &["round_robin", "ewma", "chash", "chashsubset", "sticky_balanced", "sticky_persistent"];

const LOAD_BALANCE: Key<&'static str> = Key {
    parse: |text| value::word(text, ALGORITHMS),
    spec: Spec {
        key: "load-balance",
        value: "`round_robin` or `ewma`",
        default: "round_robin",
        config_key: Some("load-balance"),
        scope: Scope::Cluster,
        on_error: OnError::Reject,
        support: Support::Partial,
        chars: Chars::Text,
        doc: "How requests are spread over endpoints. Only `round_robin` is supported yet; requests are spread so with the others.",
        ..Spec::BASE
    },
};

const SERVICE_UPSTREAM: Key<bool> = Key {
    parse: value::boolean,
    spec: Spec {
        key: "service-upstream",
        value: value::BOOLEAN,
        default: "false",
        config_key: Some("service-upstream"),
        scope: Scope::Cluster,
        doc: "Sends to the cluster address of the Service instead of its endpoints. A value that cannot be read means `false`.",
        ..Spec::BASE
    },
};

const UPSTREAM_VHOST: Key<Template> = Key {
    parse: header_template,
    spec: Spec {
        key: "upstream-vhost",
        value: "a host name, which may hold nginx variables such as `$service_name.$namespace.svc`",
        on_error: OnError::Reject,
        chars: Chars::Trimmed(Charset::REGEX),
        doc: "The `Host` that the upstream receives, instead of the client's.",
        ..Spec::BASE
    },
};

fn parse(read: &mut Reader<'_>, draft: &mut Draft) {
    if let Some(word) = read.value(&LOAD_BALANCE).filter(|word| *word != "round_robin") {
        read.warn(
            "load-balance",
            "not-yet-supported",
            format!("{} is not supported yet; requests are spread round robin", quoted(word)),
            "",
        );
    }
    let written = read.has(&SERVICE_UPSTREAM.spec);
    let otherwise = !written && draft.service_upstream;
    draft.service_upstream = read.value(&SERVICE_UPSTREAM).unwrap_or(otherwise);
    draft.upstream.host = read.value(&UPSTREAM_VHOST);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Outcome, read, read_unchecked, read_with};
    use crate::Config;

    #[test]
    fn only_round_robin_is_supported_and_nonsense_rejects() {
        for (value, codes, outcome) in [
            ("round_robin", &[][..], Outcome::Served),
            (" round_robin ", &[], Outcome::Served),
            ("ewma", &["not-yet-supported"], Outcome::Served),
            ("sticky_balanced", &["not-yet-supported"], Outcome::Served),
            ("EWMA", &["invalid-annotation"], Outcome::TakenOut("load-balance")),
            ("nonsense", &["invalid-annotation"], Outcome::TakenOut("load-balance")),
            ("", &["empty-annotation"], Outcome::Served),
        ] {
            let got = read(&[("load-balance", value)]);
            assert_eq!((got.codes(), got.outcome()), (codes.to_vec(), outcome), "{value}");
        }
        assert_eq!(read_unchecked(&[("load-balance", "nonsense")]).outcome(), Outcome::Served);
    }

    #[test]
    fn service_upstream_defaults_to_the_config_map_and_a_bad_value_means_false() {
        let on = Config { service_upstream: true, ..Config::default() };
        for (config, value, want) in [
            (&Config::default(), Some("true"), true),
            (&Config::default(), None, false),
            (&on, None, true),
            (&on, Some("false"), false),
            (&on, Some("maybe"), false),
        ] {
            let annotations: Vec<_> = value.map(|value| ("service-upstream", value)).into_iter().collect();
            assert_eq!(read_with(&annotations, config).draft.service_upstream, want, "{value:?}");
        }
    }

    #[test]
    fn upstream_vhost_may_hold_variables() {
        for (value, want, outcome) in [
            ("ext.example", Some("ext.example"), Outcome::Served),
            (" $service_name.$namespace.svc ", Some("${service_name}.${namespace}.svc"), Outcome::Served),
            ("a;return 200", None, Outcome::TakenOut("upstream-vhost")),
            ("$nope.example", None, Outcome::TakenOut("upstream-vhost")),
            ("a b", None, Outcome::TakenOut("upstream-vhost")),
            ("a\r\nX: y", None, Outcome::TakenOut("upstream-vhost")),
            ("", None, Outcome::Served),
        ] {
            let got = read(&[("upstream-vhost", value)]);
            assert_eq!(got.draft.upstream.host.as_ref().map(ToString::to_string).as_deref(), want, "{value:?}");
            assert_eq!(got.outcome(), outcome, "{value:?}");
        }
        let got = read_unchecked(&[("upstream-vhost", "a\u{1}b")]);
        assert_eq!((got.outcome(), &got.draft.upstream.host), (Outcome::Served, &None));
    }
}
