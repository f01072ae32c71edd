//! What a translation leaves for the next one, so that a change costs only what it touches.
//!
//! A memo saves work and nothing else: an empty one gives the same result. It belongs to one set of [`Options`] and forgets
//! everything when they change.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::Ingress;
use portcullis_model::{Certificate, HostMatch, InvalidPattern, Pattern, PatternSyntax};

use crate::certificate::certificate_from_secret;
use crate::host::Merged;
use crate::ingress::{self, Parsed};
use crate::{Config, Finding, Object, ObjectKey, ObjectRef, Options, Resources};

/// Parsed Ingresses, merged hosts, certificates and patterns of the last translation.
#[derive(Debug, Default)]
pub struct Memo {
    options: Option<Options>,
    config: Option<ConfigEntry>,
    ingresses: BTreeMap<ObjectKey, (u64, Arc<Parsed>)>,
    pub(crate) hosts: BTreeMap<HostMatch, Arc<Merged>>,
    pub(crate) secrets: Secrets,
    pub(crate) patterns: Patterns,
}

#[derive(Debug)]
struct ConfigEntry {
    hash: Option<u64>,
    config: Arc<Config>,
    findings: Vec<Finding>,
}

impl Memo {
    /// Forgets what other flags gave.
    pub(crate) fn prepare(&mut self, options: &Options) {
        if self.options.as_ref() != Some(options) {
            *self = Self { options: Some(options.clone()), ..Self::default() };
        }
    }

    /// The ConfigMap as checked values. A change forgets all Ingresses, whose defaults it holds.
    pub(crate) fn config(
        &mut self,
        resources: &Resources,
        options: &Options,
        findings: &mut Vec<Finding>,
    ) -> Arc<Config> {
        let key = options.config_map.as_ref();
        let object = key.and_then(|key| resources.config_maps.get(key));
        let hash = object.map(|object| object.hash);
        let entry = match self.config.take() {
            Some(entry) if entry.hash == hash => entry,
            _ => {
                self.ingresses.clear();
                self.hosts.clear();
                let mut findings = Vec::new();
                let config = Config::read(key, object.and_then(|object| object.value.data.as_ref()), &mut findings);
                if let (Some(key), None) = (key, object) {
                    let message = "the ConfigMap named by --configmap does not exist; defaults are used".to_owned();
                    findings.push(Finding::info(&ObjectRef::new("ConfigMap", key), "", "no-config-map", message, ""));
                }
                ConfigEntry { hash, config: Arc::new(config), findings }
            }
        };
        findings.extend_from_slice(&entry.findings);
        Arc::clone(&self.config.insert(entry).config)
    }

    /// The Ingress as parsed values.
    pub(crate) fn ingress(
        &mut self,
        key: &ObjectKey,
        object: &Object<Ingress>,
        config: &Config,
        options: &Options,
    ) -> Arc<Parsed> {
        if let Some((hash, parsed)) = self.ingresses.get(key)
            && *hash == object.hash
        {
            return Arc::clone(parsed);
        }
        let parsed = Arc::new(ingress::parse(key, &object.value, config, options));
        self.ingresses.insert(key.clone(), (object.hash, Arc::clone(&parsed)));
        parsed
    }

    /// Forgets objects that are gone.
    pub(crate) fn forget(&mut self, resources: &Resources) {
        self.ingresses.retain(|key, _| resources.ingresses.contains_key(key));
        self.secrets.0.retain(|key, _| resources.secrets.contains_key(key));
        self.patterns.forget();
    }
}

/// Certificates by Secret.
#[derive(Debug, Default)]
pub(crate) struct Secrets(BTreeMap<ObjectKey, (u64, Result<Arc<Certificate>, String>)>);

impl Secrets {
    pub(crate) fn certificate(&mut self, key: &ObjectKey, secret: &Object<Secret>) -> Result<Arc<Certificate>, String> {
        if let Some((hash, certificate)) = self.0.get(key)
            && *hash == secret.hash
        {
            return certificate.clone();
        }
        let certificate = certificate_from_secret(key, &secret.value).map(Arc::new);
        self.0.insert(key.clone(), (secret.hash, certificate.clone()));
        certificate
    }
}

/// Path patterns by their text: equal ones are one, since each costs some 40 us and 8 KiB.
#[derive(Debug, Default)]
pub(crate) struct Patterns(BTreeMap<Box<str>, Weak<Pattern>>);

impl Patterns {
    pub(crate) fn location(&mut self, source: &str) -> Result<Arc<Pattern>, InvalidPattern> {
        if let Some(pattern) = self.0.get(source).and_then(Weak::upgrade) {
            return Ok(pattern);
        }
        let pattern = Arc::new(Pattern::new(source, PatternSyntax::LOCATION)?);
        self.0.insert(source.into(), Arc::downgrade(&pattern));
        Ok(pattern)
    }

    fn forget(&mut self) {
        self.0.retain(|_, pattern| pattern.strong_count() > 0);
    }
}
