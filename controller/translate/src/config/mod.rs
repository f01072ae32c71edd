//! The controller's ConfigMap, read once into checked values.

mod client;
mod headers;
mod key;
mod place;
mod process;
mod stream;
mod supported;
mod time;
mod tls;
mod unsupported;
mod upstream;
mod written;

use std::collections::BTreeMap;

use portcullis_model::policy::{BodyPolicy, Closed, HttpsRedirect, Retry, Timeouts};
use portcullis_model::{Balance, Settings};

use crate::annotations::{ResponseDefaults, Risk, Support, nearest, snippet, value};
use crate::parameters::{self, Parameters};
use crate::{Finding, ObjectKey, ObjectRef, Options, Resources, quoted};

pub(crate) use headers::is_name as is_header_name;
pub use key::ConfigKey;
use key::{Action, Entry, Problem};
use place::{Below, Place};
use written::Written;

/// What the ConfigMap decides: settings of the proxy and defaults of annotations.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What goes to the proxy as it is.
    pub settings: Settings,
    /// Defaults of `ssl-redirect`, `force-ssl-redirect`, `preserve-trailing-slash`, `use-port-in-redirects`.
    pub https_redirect: HttpsRedirect,
    /// Default of `ssl-redirect` alone, for Ingresses that set `force-ssl-redirect` only.
    pub ssl_redirect: bool,
    /// Default of `force-ssl-redirect` alone.
    pub force_ssl_redirect: bool,
    /// Default of `service-upstream`.
    pub service_upstream: bool,
    /// Default of `proxy-http-version`: whether it is 1.0.
    pub http10: bool,
    /// Defaults of `proxy-body-size` and of what is buffered of bodies.
    pub body: BodyPolicy,
    /// Default of `load-balance`.
    pub balance: Balance,
    /// Defaults of `proxy-connect-timeout`, `proxy-send-timeout`, `proxy-read-timeout`.
    pub timeouts: Timeouts,
    /// Defaults of `proxy-next-upstream` and its family, with `retry-non-idempotent` in it.
    pub retry: Retry,
    /// `retry-non-idempotent`, default off.
    pub retry_non_idempotent: bool,
    /// `no-tls-redirect-locations`, default `/.well-known/acme-challenge`: rule paths that begin so are never redirected to HTTPS.
    pub no_tls_redirect_locations: Vec<String>,
    /// `add-headers`: the ConfigMap that lists them.
    pub add_headers: Option<ObjectKey>,
    /// `proxy-set-headers`: the ConfigMap that lists them.
    pub proxy_set_headers: Option<ObjectKey>,
    /// `global-allowed-response-headers`, as written: names that `custom-headers` may set.
    pub allowed_response_headers: Vec<String>,
    /// Defaults of `proxy-cookie-domain`, `proxy-cookie-path`, `proxy-redirect-from`, `proxy-redirect-to`.
    pub response: ResponseDefaults,
    /// `allow-cross-namespace-resources`, default off: annotations may name objects of other namespaces.
    pub allow_cross_namespace: bool,
    /// A protecting key that is set and not supported yet: every route of every Ingress is closed.
    pub closed: Option<Closed>,
    /// `annotations-risk-level`, default High.
    pub risk_level: Risk,
    /// `annotation-value-word-blocklist`.
    pub word_blocklist: Vec<String>,
    /// `allow-snippet-annotations`, default off: whether a snippet refuses its Ingress, or only counts for nothing.
    pub allow_snippets: bool,
    /// `strict-validate-path-type`, default on: the admission webhook refuses Exact and Prefix paths with special characters.
    pub strict_path_types: bool,
}

impl Config {
    /// Reads the data of the ConfigMap `object`; `None` gives the defaults.
    #[must_use]
    pub fn read(
        object: Option<&ObjectKey>,
        data: Option<&BTreeMap<String, String>>,
        findings: &mut Vec<Finding>,
    ) -> Self {
        Self::read_with(object, data, None, findings)
    }

    /// The same with the parameters of a class laid over it. They come second, so that one that cannot be read leaves what the
    /// ConfigMap says.
    pub(crate) fn read_with(
        object: Option<&ObjectKey>,
        data: Option<&BTreeMap<String, String>>,
        parameters: Option<&Parameters<'_>>,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let unnamed = ObjectKey::new("", "");
        let object = ObjectRef::new("ConfigMap", object.unwrap_or(&unnamed));
        let place = Place { object: &object, below: None };
        let mut reader = Reader { place, written: Written::default(), closed: None, findings };
        for (key, value) in data.into_iter().flatten() {
            reader.entry(key, value);
        }
        if let Some(Parameters { object: parameters, fields, .. }) = parameters {
            reader.place = Place { object: parameters, below: Some(Below { object: &object, data }) };
            for (field, value) in *fields {
                reader.entry(field, value);
            }
        }
        let Reader { written, closed, .. } = reader;
        Self { closed, ..written.into_config() }
    }

    /// Reads the ConfigMap that `options` names and the parameters of our class, without saying what is wrong with them: for
    /// what has to be known before anything is translated.
    #[must_use]
    pub fn of(resources: &Resources, options: &Options) -> Self {
        let key = options.config_map.as_ref();
        let data = key.and_then(|key| resources.config_maps.get(key)?.value.data.as_ref());
        let findings = &mut Vec::new();
        let parameters = parameters::of(resources, options, findings);
        Self::read_with(key, data, parameters.as_ref(), findings)
    }

    /// The reference of all keys as Markdown.
    #[must_use]
    pub fn render_markdown() -> String {
        let mut text =
            String::from("# ConfigMap\n\nA key marked with 🔒 keeps requests out: while it is set and not supported, ");
        text.push_str("every path answers 503. A value that cannot be read leaves the default.\n\n");
        text.push_str("| Key | Value | Default | Supported | What it does |\n| --- | --- | --- | --- | --- |\n");
        for ConfigKey { key, value, default, support, protects, doc } in config_keys() {
            let lock = if *protects { " 🔒" } else { "" };
            let default = if default.is_empty() { "–".to_owned() } else { format!("`{default}`") };
            let support = match support {
                Support::Full => "yes",
                Support::Partial => "partly",
                Support::NotYet => "not yet",
                Support::Never => "without effect",
            };
            text.push_str(&format!("| `{key}`{lock} | {value} | {default} | {support} | {doc} |\n"));
        }
        text
    }
}

impl Default for Config {
    fn default() -> Self {
        Written::default().into_config()
    }
}

/// Every key of the ConfigMap that ingress-nginx knows: those with effect first.
pub fn config_keys() -> impl Iterator<Item = &'static ConfigKey> {
    entries().map(|entry| &entry.key)
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    supported::KEYS.iter().chain(client::KEYS).chain(tls::KEYS).chain(stream::KEYS).chain(unsupported::KEYS)
}

struct Reader<'a> {
    place: Place<'a>,
    written: Written,
    closed: Option<Closed>,
    findings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    /// One setting; `name` is that of the place.
    fn entry(&mut self, name: &str, value: &str) {
        let Some(entry) = entries().find(|entry| self.place.name(entry.key.key) == name) else {
            return self.unknown(name);
        };
        let key = &entry.key;
        if let Err(problem) = entry.apply(&mut self.written, value) {
            return self.refuse(entry, value, problem);
        }
        self.conflict(entry, value);
        let (object, field) = (self.place.object, self.place.field(name));
        match entry.action {
            Action::Flag(_) | Action::Set(_) | Action::Secret(_) => {}
            Action::Later(_) | Action::Nothing if value::same(value, key.default) => {}
            Action::Later(_) if value.is_empty() && key.default == "false" => {}
            Action::Later(_) => {
                let message = "not supported yet, and has no effect".to_owned();
                self.findings.push(Finding::warning(object, &field, "not-yet-supported", message, ""));
            }
            Action::Nothing => {
                let message = format!("no effect: {}", key.doc);
                self.findings.push(Finding::info(object, &field, "no-effect", message, "remove it"));
            }
            Action::Close => self.close(key, value),
            Action::Snippet => self.snippet(key.key, value),
        }
    }

    /// A setting that the ConfigMap has, too, and otherwise.
    fn conflict(&mut self, entry: &Entry, value: &str) {
        let Some((below, other)) = self.place.below(entry.key.key) else { return };
        if value::same(value, other) || value::list(value).eq(value::list(other)) {
            return;
        }
        // In snippets there may be credentials for upstreams.
        let shown = if matches!(entry.action, Action::Secret(_) | Action::Snippet) {
            "another value".to_owned()
        } else {
            format!("{} instead of {}", quoted(other), quoted(value))
        };
        let message = format!("the key {} of the {below} says {shown}; this field wins", entry.key.key);
        let field = self.place.field_of(entry);
        let help = "say it in one place";
        self.findings.push(Finding::warning(self.place.object, &field, "parameters-conflict", message, help));
    }

    fn refuse(&mut self, entry: &Entry, value: &str, problem: Problem) {
        let (object, field) = (self.place.object, self.place.field_of(entry));
        let key = &entry.key;
        let (fault, end) = match problem {
            Problem::Remark(message) => {
                return self.findings.push(Finding::info(object, &field, "not-offered", message, ""));
            }
            Problem::Default(fault) if self.place.below(key.key).is_some() => {
                (fault, "what the ConfigMap says is used".to_owned())
            }
            Problem::Default(fault) if key.default.is_empty() => (fault, "it acts as absent".to_owned()),
            Problem::Default(fault) => (fault, format!("the default {} is used", quoted(key.default))),
            Problem::Instead(fault, end) => (fault, end),
        };
        let shown = if matches!(entry.action, Action::Secret(_)) { "the value".to_owned() } else { quoted(value) };
        let message = format!("{shown} {}; {end}", fault.verdict());
        let help = format!("expected: {}", key.value);
        self.findings.push(Finding::warning(object, &field, "invalid-config-value", message, &help));
    }

    fn close(&mut self, key: &ConfigKey, value: &str) {
        if value::list(value).next().is_none() {
            return;
        }
        self.closed.get_or_insert_with(|| Closed { key: key.key.into() });
        let message = "not supported yet; because it keeps requests out, every path of every Ingress answers 503";
        let help = "remove it only if requests may come in without it";
        let field = self.place.field(&self.place.name(key.key));
        self.findings.push(Finding::error(self.place.object, &field, "not-yet-supported", message.to_owned(), help));
    }

    fn snippet(&mut self, key: &str, value: &str) {
        let comments = value.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'));
        if !comments {
            let guards = snippet::guards(value) || ["modsecurity-snippet", "global-auth-snippet"].contains(&key);
            let end = if guards {
                "because they may keep requests out, every path of every Ingress answers 503"
            } else {
                "they have no effect"
            };
            let message = format!("nginx directives are not executed here; {end}");
            let help = "replace it by keys and annotations that say what it is for";
            if guards {
                self.closed.get_or_insert_with(|| Closed { key: key.into() });
            }
            let field = self.place.field(&self.place.name(key));
            self.findings.push(Finding::error(self.place.object, &field, "snippet-refused", message, help));
        }
    }

    fn unknown(&mut self, name: &str) {
        let removed = ["zipkin-", "datadog-", "global-rate-limit-", "enable-opentracing", "opentracing-"];
        let (message, help) = if removed.iter().any(|prefix| name.starts_with(prefix)) {
            ("is deprecated: ingress-nginx no longer has it, and it has no effect", Some("remove it".to_owned()))
        } else {
            let names: Vec<_> = config_keys().map(|key| self.place.name(key.key)).collect();
            let near = nearest(name, names.iter().map(|name| &**name)).map(|name| format!("did you mean {name}?"));
            (self.place.not_known(), near)
        };
        let message = format!("{} {message}", quoted(name));
        let (help, field) = (help.unwrap_or_default(), self.place.field(name));
        self.findings.push(Finding::warning(self.place.object, &field, "unknown-key", message, &help));
    }
}

#[cfg(test)]
mod tests;
