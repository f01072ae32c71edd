//! What tests of annotations share.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use portcullis_model::Certificate;

use super::Draft;
use crate::{Config, Finding, ObjectKey, Options};

/// What came of the annotations of one Ingress.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) draft: Draft,
    pub(super) findings: Vec<Finding>,
}

/// What becomes of an Ingress.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome<'a> {
    Served,
    /// Served, and every path answers 503.
    Closed(&'a str),
    /// Not served because of a key that protects: its paths answer 503.
    Rejected(&'a str),
    /// Not served, for a key that does not protect.
    TakenOut(&'a str),
}

impl Got {
    /// Codes of the findings, sorted.
    pub(super) fn codes(&self) -> Vec<&'static str> {
        let mut codes: Vec<_> = self.findings.iter().map(|finding| finding.code).collect();
        codes.sort_unstable();
        codes
    }

    pub(super) fn outcome(&self) -> Outcome<'_> {
        match (self.draft.rejected, &self.draft.closed) {
            (None, None) => Outcome::Served,
            (None, Some(closed)) => Outcome::Closed(&closed.key),
            (Some(key), Some(_)) => Outcome::Rejected(key),
            (Some(key), None) => Outcome::TakenOut(key),
        }
    }
}

/// Reads annotations whose keys are written without prefix.
pub(super) fn read(annotations: &[(&str, &str)]) -> Got {
    read_with(annotations, &Config::default())
}

pub(super) fn read_with(annotations: &[(&str, &str)], config: &Config) -> Got {
    read_as(&prefixed(annotations), config, &options())
}

/// With `--enable-annotation-validation=false`.
pub(super) fn read_unchecked(annotations: &[(&str, &str)]) -> Got {
    read_with_options(&prefixed(annotations), |options| options.annotation_validation = false)
}

/// Reads annotations whose keys are written with prefix.
pub(super) fn read_with_options(annotations: &BTreeMap<String, String>, change: impl FnOnce(&mut Options)) -> Got {
    let mut options = options();
    change(&mut options);
    read_as(annotations, &Config::default(), &options)
}

fn read_as(annotations: &BTreeMap<String, String>, config: &Config, options: &Options) -> Got {
    let mut findings = Vec::new();
    let draft = super::read(&ObjectKey::new("demo", "shop"), annotations, options, config, &mut findings);
    Got { draft, findings }
}

fn prefixed(annotations: &[(&str, &str)]) -> BTreeMap<String, String> {
    let full = |(key, value): &(&str, &str)| (format!("nginx.ingress.kubernetes.io/{key}"), (*value).to_owned());
    annotations.iter().map(full).collect()
}

pub(super) fn options() -> Options {
    static CERTIFICATE: LazyLock<Arc<Certificate>> = LazyLock::new(|| {
        let made = rcgen::generate_simple_self_signed(vec!["ingress.local".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        Arc::new(crate::certificate_from_pem(certificate.as_bytes(), key.as_bytes(), None).unwrap())
    });
    Options::new(Arc::clone(&CERTIFICATE))
}
