//! Which endpoint of a Service takes a request, and by which host name the upstream is asked.

use std::num::NonZeroUsize;

use portcullis_model::{Balance, Part, Template};

use super::chars::{Chars, Charset};
use super::reader::Reader;
use super::rewrite::header_template;
use super::spec::{Group, Key, OnError, Spec};
use super::value::{self, Fault};
use super::{Draft, Risk, Scope};
use crate::quoted;

pub(super) const GROUP: Group = Group {
    name: "balance",
    doc: "Which endpoint of a Service takes a request, and by which host name the upstream is asked.",
    keys: &[
        &LOAD_BALANCE,
        &UPSTREAM_HASH_BY,
        &UPSTREAM_HASH_BY_SUBSET,
        &UPSTREAM_HASH_BY_SUBSET_SIZE,
        &SERVICE_UPSTREAM,
        &UPSTREAM_VHOST,
    ],
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
        chars: Chars::Text,
        doc: "How requests are spread over endpoints: in turn, or to the one of two random ones that has been faster. \
              `upstream-hash-by` and `affinity` go before it.",
        ..Spec::BASE
    },
};

const UPSTREAM_HASH_BY: Key<Template> = Key {
    parse: hash_key,
    spec: Spec {
        key: "upstream-hash-by",
        value: "nginx variables of the request and text, such as `$request_uri` or `${host}-$http_x_user`",
        scope: Scope::Cluster,
        risk: Risk::High,
        on_error: OnError::Reject,
        chars: Chars::OfSpaced(Charset::VARIABLES),
        doc: "Requests for which this has the same value go to the same endpoint, by a consistent hash.",
        ..Spec::BASE
    },
};

const UPSTREAM_HASH_BY_SUBSET: Key<bool> = Key {
    parse: value::boolean,
    spec: Spec {
        key: "upstream-hash-by-subset",
        value: value::BOOLEAN,
        default: "false",
        scope: Scope::Cluster,
        on_error: OnError::Reject,
        doc: "The hash selects a set of endpoints, and chance one of them.",
        ..Spec::BASE
    },
};

const UPSTREAM_HASH_BY_SUBSET_SIZE: Key<i64> = Key {
    parse: value::integer,
    spec: Spec {
        key: "upstream-hash-by-subset-size",
        value: "a number of endpoints, at least 1",
        default: "3",
        scope: Scope::Cluster,
        on_error: OnError::Reject,
        doc: "How large such a set is. Less than 1 means 3.",
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
    match read.value(&LOAD_BALANCE) {
        None => {}
        Some("round_robin") => draft.balance = Balance::RoundRobin,
        Some("ewma") => draft.balance = Balance::Ewma,
        Some(word) => {
            let message = format!("{} needs other annotations; requests are spread round robin", quoted(word));
            let help = "use upstream-hash-by to hash, and affinity for sessions that stay";
            draft.balance = Balance::RoundRobin;
            read.warn("load-balance", "invalid-annotation", message, help);
        }
    }
    let subset = subset(read);
    match read.value(&UPSTREAM_HASH_BY) {
        Some(key) => {
            if key.as_literal().is_some() {
                let message = "names no variable, so all requests go to one endpoint".to_owned();
                read.warn("upstream-hash-by", "constant-hash", message, "write `$` before the name of a variable");
            }
            draft.balance = Balance::Hash { key, subset };
        }
        None if subset.is_some() => read.no_effect("upstream-hash-by-subset", "it needs upstream-hash-by"),
        None => {}
    }
    let written = read.has(&SERVICE_UPSTREAM.spec);
    let otherwise = !written && draft.service_upstream;
    draft.service_upstream = read.value(&SERVICE_UPSTREAM).unwrap_or(otherwise);
    draft.upstream.host = read.value(&UPSTREAM_VHOST);
}

/// The size of the sets; none where the hash selects an endpoint.
fn subset(read: &mut Reader<'_>) -> Option<NonZeroUsize> {
    let wanted = read.value(&UPSTREAM_HASH_BY_SUBSET).unwrap_or(false);
    let size = read.value(&UPSTREAM_HASH_BY_SUBSET_SIZE);
    if !wanted && size.is_some() {
        read.no_effect("upstream-hash-by-subset-size", "it needs upstream-hash-by-subset");
    }
    let given = size.and_then(|size| usize::try_from(size).ok()).and_then(NonZeroUsize::new);
    wanted.then(|| given.unwrap_or(DEFAULT_SIZE))
}

const DEFAULT_SIZE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);

/// A template of what a request head says: what is known later cannot choose an endpoint.
fn hash_key(text: &str) -> Result<Template, Fault> {
    let template = value::template(text)?;
    let late = template.parts().iter().find(|part| match part {
        Part::Literal(_) => false,
        Part::Capture(_) => true,
        Part::Variable(variable) => !variable.is_of_request(),
    });
    match late {
        None => Ok(template),
        Some(Part::Variable(variable)) => {
            Err(Fault::Because(format!("`${variable}` has no value when an endpoint is chosen")))
        }
        Some(_) => Err(Fault::Because("groups have no value when an endpoint is chosen".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_model::Balance;

    use super::super::testing::{Outcome, read, read_unchecked, read_with};
    use crate::Config;

    #[test]
    fn words_of_the_list_choose_and_nonsense_rejects() {
        for (value, want, codes, outcome) in [
            ("round_robin", Balance::RoundRobin, &[][..], Outcome::Served),
            (" round_robin ", Balance::RoundRobin, &[], Outcome::Served),
            ("ewma", Balance::Ewma, &[], Outcome::Served),
            ("sticky_balanced", Balance::RoundRobin, &["invalid-annotation"], Outcome::Served),
            ("EWMA", Balance::RoundRobin, &["invalid-annotation"], Outcome::TakenOut("load-balance")),
            ("nonsense", Balance::RoundRobin, &["invalid-annotation"], Outcome::TakenOut("load-balance")),
            ("", Balance::RoundRobin, &["empty-annotation"], Outcome::Served),
        ] {
            let got = read(&[("load-balance", value)]);
            assert_eq!((got.codes(), got.outcome()), (codes.to_vec(), outcome), "{value}");
            assert_eq!(got.draft.balance, want, "{value}");
        }
        assert_eq!(read_unchecked(&[("load-balance", "nonsense")]).outcome(), Outcome::Served);
    }

    #[test]
    fn the_config_map_gives_the_default() {
        let ewma = Config { balance: Balance::Ewma, ..Config::default() };
        for (annotations, want) in [
            (&[][..], "ewma"),
            (&[("load-balance", "round_robin")], "round_robin"),
            (&[("load-balance", "")], "ewma"),
            (&[("upstream-hash-by", "$host")], "${host}"),
        ] {
            let got = match read_with(annotations, &ewma).draft.balance {
                Balance::RoundRobin => "round_robin".to_owned(),
                Balance::Ewma => "ewma".to_owned(),
                Balance::Hash { key, .. } => key.to_string(),
            };
            assert_eq!(got, want, "{annotations:?}");
        }
    }

    #[test]
    fn a_hash_key_names_what_the_request_says() {
        let rejected = Outcome::TakenOut("upstream-hash-by");
        for (value, codes, outcome) in [
            ("$request_uri", &[][..], Outcome::Served),
            ("$binary_remote_addr", &[], Outcome::Served),
            ("${host}-$http_x_user$arg_k${cookie_a}", &[], Outcome::Served),
            ("request_uri", &["constant-hash"], Outcome::Served),
            ("$nope", &["invalid-annotation"], rejected),
            ("$1", &["invalid-annotation"], rejected),
            ("$upstream_addr", &["invalid-annotation"], rejected),
            ("$sent_http_x", &["invalid-annotation"], rejected),
            ("$", &["invalid-annotation"], rejected),
            ("$request_uri;", &["invalid-annotation"], rejected),
            ("", &["empty-annotation"], Outcome::Served),
        ] {
            let got = read(&[("upstream-hash-by", value)]);
            assert_eq!((got.codes(), got.outcome()), (codes.to_vec(), outcome), "{value}");
        }
    }

    #[test]
    fn sets_have_three_endpoints_unless_told_otherwise() {
        let (subset, size) = ("upstream-hash-by-subset", "upstream-hash-by-subset-size");
        for (annotations, want, codes) in [
            (&[][..], None, &[][..]),
            (&[(subset, "true")], Some(3), &[]),
            (&[(subset, "true"), (size, "0")], Some(3), &[]),
            (&[(subset, "true"), (size, "-1")], Some(3), &[]),
            (&[(subset, "true"), (size, "2")], Some(2), &[]),
            (&[(subset, "false"), (size, "2")], None, &["no-effect"]),
        ] {
            let annotations: Vec<_> = [("upstream-hash-by", "$host")].iter().chain(annotations).copied().collect();
            let got = read(&annotations);
            let Balance::Hash { subset, .. } = &got.draft.balance else { panic!("{annotations:?}") };
            assert_eq!((subset.map(|size| size.get()), got.codes()), (want, codes.to_vec()), "{annotations:?}");
        }
        for (key, value) in [(subset, "maybe"), (size, "few")] {
            assert_eq!(read(&[("upstream-hash-by", "$host"), (key, value)]).outcome(), Outcome::TakenOut(key));
        }
        assert_eq!(read(&[(subset, "true")]).codes(), ["no-effect"]);
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
