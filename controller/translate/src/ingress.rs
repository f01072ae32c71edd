//! One Ingress, read on its own: what it says before any other object is looked at.

use std::sync::Arc;

use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend, IngressServiceBackend};
use portcullis_model::{ClusterId, HostMatch, PathType};

use crate::annotations::{self, Draft};
use crate::{Config, Finding, ObjectKey, ObjectRef, Options, inspect, quoted};

/// An Ingress as parsed values. Depends on the object, the ConfigMap and the flags only, so that the memo can keep it.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) key: ObjectKey,
    /// Seconds since 1970; objects without creation time count as the oldest.
    pub(crate) created: i64,
    pub(crate) draft: Draft,
    pub(crate) rules: Vec<Rule>,
    /// Whether it declares rules, valid or not: without any, its default backend is the catch-all.
    pub(crate) has_rules: bool,
    /// `spec.defaultBackend`.
    pub(crate) default_backend: Option<ClusterId>,
    pub(crate) tls: Vec<TlsEntry>,
    pub(crate) findings: Vec<Finding>,
    /// Whether it takes part at all; a refused Ingress only has findings.
    pub(crate) served: bool,
}

/// One rule of an Ingress.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) host: HostMatch,
    /// Host as written; empty for none.
    pub(crate) text: Arc<str>,
    pub(crate) paths: Vec<RulePath>,
}

/// One path of a rule that leads to a Service.
#[derive(Debug)]
pub(crate) struct RulePath {
    pub(crate) path: Arc<str>,
    pub(crate) path_type: PathType,
    pub(crate) backend: ClusterId,
    /// Where it stands: number of the rule and of the path.
    pub(crate) position: (usize, usize),
}

/// One entry of `spec.tls`.
#[derive(Debug)]
pub(crate) struct TlsEntry {
    pub(crate) hosts: Vec<HostMatch>,
    /// The Secret, in the namespace of the Ingress.
    pub(crate) secret: Option<ObjectKey>,
}

impl Parsed {
    pub(crate) fn object(&self) -> ObjectRef {
        ObjectRef::new("Ingress", &self.key)
    }

    /// Every cluster it names, its default backend first.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = &ClusterId> {
        let paths = self.rules.iter().flat_map(|rule| &rule.paths).map(|path| &path.backend);
        self.default_backend.iter().chain(paths)
    }
}

/// The path of a field of a rule's path, as findings name it.
pub(crate) fn path_field((rule, path): (usize, usize), field: &str) -> String {
    format!("spec.rules[{rule}].http.paths[{path}].{field}")
}

/// Reads one Ingress of ours.
pub(crate) fn parse(key: &ObjectKey, ingress: &Ingress, config: &Config, options: &Options) -> Parsed {
    let mut findings = Vec::new();
    let empty = std::collections::BTreeMap::new();
    let texts = ingress.metadata.annotations.as_ref().unwrap_or(&empty);
    let draft = annotations::read(key, texts, options, config, &mut findings);
    let mut reader = SpecReader { key, object: ObjectRef::new("Ingress", key), findings };
    let refused = reader.refusal(ingress, options) || (draft.rejected.is_some() && draft.closed.is_none());
    let spec = ingress.spec.as_ref();
    let rules = spec.and_then(|spec| spec.rules.as_deref()).unwrap_or_default();
    let has_rules = !rules.is_empty();
    let rules = rules
        .iter()
        .enumerate()
        .filter_map(|(number, rule)| {
            reader.rule(number, rule.host.as_deref(), rule.http.as_ref().map(|http| http.paths.as_slice()))
        })
        .collect();
    let default_backend = spec
        .and_then(|spec| spec.default_backend.as_ref())
        .and_then(|backend| reader.backend(backend, "spec.defaultBackend"));
    let tls = spec.and_then(|spec| spec.tls.as_deref()).unwrap_or_default();
    let tls = tls
        .iter()
        .enumerate()
        .map(|(number, entry)| reader.tls(number, entry.hosts.as_deref(), entry.secret_name.as_deref()))
        .collect();
    Parsed {
        key: key.clone(),
        created: ingress.metadata.creation_timestamp.as_ref().map_or(i64::MIN, |time| time.0.as_second()),
        draft,
        rules,
        has_rules,
        default_backend,
        tls,
        findings: reader.findings,
        served: !refused,
    }
}

/// Reads the fields of a spec and says what is wrong with them.
struct SpecReader<'a> {
    key: &'a ObjectKey,
    object: ObjectRef,
    findings: Vec<Finding>,
}

impl SpecReader<'_> {
    fn error(&mut self, field: &str, code: &'static str, message: String, help: &str) {
        self.findings.push(Finding::error(&self.object, field, code, message, help));
    }

    /// Whether the Ingress as a whole is refused by a flag.
    fn refusal(&mut self, ingress: &Ingress, options: &Options) -> bool {
        let has_default = ingress.spec.as_ref().is_some_and(|spec| spec.default_backend.is_some());
        if options.disable_catch_all && has_default {
            self.error(
                "spec.defaultBackend",
                "catch-all-disabled",
                "the Ingress has a default backend, so it is not served".to_owned(),
                "remove the field, or start without --disable-catch-all",
            );
            return true;
        }
        if options.deep_inspect
            && let Some((field, text)) = inspect::suspicious(ingress)
        {
            let message = format!("{} looks like proxy configuration, so the Ingress is not served", quoted(text));
            self.error(&field, "suspicious-value", message, "write a plain host, path or name");
            return true;
        }
        false
    }

    fn rule(&mut self, number: usize, host: Option<&str>, paths: Option<&[HTTPIngressPath]>) -> Option<Rule> {
        let text = host.unwrap_or_default();
        let host = match text.parse::<HostMatch>() {
            Ok(host) => host,
            Err(error) => {
                let field = format!("spec.rules[{number}].host");
                self.error(&field, "invalid-host", format!("{error}; the rule is not served"), "");
                return None;
            }
        };
        let paths = paths.unwrap_or_default().iter().enumerate();
        let paths = paths.filter_map(|(index, path)| self.path((number, index), path)).collect();
        Some(Rule { host, text: text.into(), paths })
    }

    fn path(&mut self, position: (usize, usize), path: &HTTPIngressPath) -> Option<RulePath> {
        let text = path.path.as_deref().filter(|text| !text.is_empty()).unwrap_or("/");
        let field = path_field(position, "path");
        if !text.starts_with('/') || text.chars().any(char::is_control) {
            let message = format!("{} is not a path, so it is not served", quoted(text));
            self.error(&field, "invalid-path", message, "a path begins with `/` and has no control characters");
            return None;
        }
        let path_type = match path.path_type.as_str() {
            "Exact" => PathType::Exact,
            "Prefix" | "ImplementationSpecific" | "" => PathType::Prefix,
            other => {
                let message = format!("{} is not a path type, so the path is not served", quoted(other));
                let field = path_field(position, "pathType");
                self.error(&field, "invalid-path-type", message, "write Exact, Prefix or ImplementationSpecific");
                return None;
            }
        };
        if path.path_type != "ImplementationSpecific" && !text.bytes().all(is_plain) {
            self.findings.push(Finding::warning(
                &self.object,
                &field,
                "path-not-valid-for-type",
                format!("path {} cannot be used with pathType {}: it has other characters than letters, digits and ._-/", quoted(text), path.path_type),
                "use pathType ImplementationSpecific for regular expressions; with strict-validate-path-type the admission webhook refuses others",
            ));
        }
        let backend = self.backend(&path.backend, &path_field(position, "backend"))?;
        Some(RulePath { path: text.into(), path_type, backend, position })
    }

    fn backend(&mut self, backend: &IngressBackend, field: &str) -> Option<ClusterId> {
        match &backend.service {
            Some(service) => Some(self.cluster(service, field)),
            None => {
                let message =
                    "only backends of kind Service are served; such requests fall to the default backend".to_owned();
                self.error(field, "not-a-service", message, "name a Service and a port");
                None
            }
        }
    }

    fn cluster(&mut self, service: &IngressServiceBackend, field: &str) -> ClusterId {
        let port = service.port.as_ref();
        let number = port.and_then(|port| port.number).filter(|number| *number > 0).map(|number| number.to_string());
        let text = number.or_else(|| port?.name.clone().filter(|name| !name.is_empty()));
        if text.is_none() {
            let message =
                format!("the backend names no port of Service {}, so requests answer 503", quoted(&service.name));
            self.error(field, "no-service-port", message, "set `service.port.number` or `service.port.name`");
        }
        ClusterId {
            namespace: self.key.namespace.clone(),
            service: service.name.as_str().into(),
            port: text.unwrap_or_default().into(),
        }
    }

    fn tls(&mut self, number: usize, hosts: Option<&[String]>, secret: Option<&str>) -> TlsEntry {
        let mut known = Vec::new();
        for text in hosts.unwrap_or_default() {
            match text.parse::<HostMatch>() {
                Ok(host) => known.push(host),
                Err(error) => self.error(&format!("spec.tls[{number}].hosts"), "invalid-host", error.to_string(), ""),
            }
        }
        let secret = secret.filter(|name| !name.is_empty());
        let secret = secret.map(|name| ObjectKey { namespace: self.key.namespace.clone(), name: name.into() });
        TlsEntry { hosts: known, secret }
    }
}

/// Characters of Exact and Prefix paths that the webhook of ingress-nginx accepts.
fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"._-/".contains(&octet)
}
