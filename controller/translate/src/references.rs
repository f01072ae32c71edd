//! Which Secrets Ingresses name, so that of all others nobody needs to keep what they hold.

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::Ingress;

use crate::class::{Classes, Verdict};
use crate::{ObjectKey, Options, Resources};

/// Annotations that name a Secret: `namespace/name`, or `name` for one of the Ingress' namespace.
const KEYS: [&str; 3] = ["auth-secret", "auth-tls-secret", "proxy-ssl-secret"];

/// Secrets that are named, as classes and namespaces are at one moment.
pub struct SecretReferences<'a> {
    classes: Classes<'a>,
    keys: [String; KEYS.len()],
}

impl<'a> SecretReferences<'a> {
    /// For Ingresses among these objects.
    #[must_use]
    pub fn new(resources: &'a Resources, options: &'a Options) -> Self {
        let keys = KEYS.map(|key| format!("{}/{key}", options.annotations_prefix));
        Self { classes: Classes::new(resources, options), keys }
    }

    /// Those that an Ingress names: none where it is not one of ours, and rather one too many where it is, since whether it may
    /// use them is decided when they are used.
    #[must_use]
    pub fn of(&self, key: &ObjectKey, ingress: &Ingress) -> BTreeSet<ObjectKey> {
        if !matches!(self.classes.verdict(key, ingress), Verdict::Ours) {
            return BTreeSet::new();
        }
        let tls = ingress.spec.iter().flat_map(|spec| spec.tls.iter().flatten());
        let certificates = tls.filter_map(|entry| entry.secret_name.as_deref());
        let annotations = ingress.metadata.annotations.as_ref();
        let named = self.keys.iter().filter_map(|key| annotations?.get(key)).map(|text| text.trim());
        certificates
            .map(|name| (None, name))
            .chain(named.map(parts))
            .filter_map(|(namespace, name)| {
                let namespace = namespace.unwrap_or(&key.namespace);
                let is_named = !name.is_empty() && !namespace.is_empty();
                is_named.then(|| ObjectKey::new(namespace, name))
            })
            .collect()
    }
}

/// Secrets that flags name, which are needed whatever Ingresses say.
#[must_use]
pub fn secrets_of_flags(options: &Options) -> BTreeSet<ObjectKey> {
    options.default_ssl_certificate.iter().cloned().collect()
}

fn parts(text: &str) -> (Option<&str>, &str) {
    text.split_once('/').map_or((None, text), |(namespace, name)| (Some(namespace), name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotations;
    use crate::tests::{options, resources};

    fn named(annotations: &str, spec: &str) -> Vec<String> {
        let text = format!(
            "kind: Ingress\nmetadata: {{name: i, namespace: demo, annotations: {{{annotations}}}}}\nspec: {{{spec}}}"
        );
        let (resources, options) = (resources(&text), options());
        let references = SecretReferences::new(&resources, &options);
        let (key, ingress) = resources.ingresses.iter().next().unwrap();
        references.of(key, &ingress.value).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn tls_sections_and_annotations_name_secrets() {
        let prefix = "nginx.ingress.kubernetes.io";
        let ours = "ingressClassName: nginx";
        let tls = "tls: [{secretName: a}, {secretName: b, hosts: [x.example]}, {secretName: ''}, {}, {secretName: a}]";
        assert_eq!(named("", &format!("{ours}, {tls}")), ["demo/a", "demo/b"]);
        assert_eq!(named("", tls), [""; 0], "not ours");
        assert_eq!(named("", ours), [""; 0]);
        for (annotations, want) in [
            (format!("{prefix}/auth-secret: users"), &["demo/users"][..]),
            (format!("{prefix}/auth-secret: ' other/users '"), &["other/users"]),
            (
                format!("{prefix}/auth-tls-secret: demo/ca, {prefix}/proxy-ssl-secret: demo/client"),
                &["demo/ca", "demo/client"],
            ),
            (format!("{prefix}/proxy-ssl-secret: ''"), &[]),
            (format!("{prefix}/proxy-ssl-secret: /a"), &[]),
            (format!("{prefix}/proxy-ssl-secret: a/"), &[]),
            ("example.com/auth-secret: users".to_owned(), &[]),
        ] {
            assert_eq!(named(&annotations, ours), want, "{annotations}");
        }
    }

    #[test]
    fn no_annotation_that_names_a_secret_is_forgotten() {
        let naming =
            annotations::specs().filter(|(_, spec)| spec.key.ends_with("-secret") || spec.value.contains("Secret"));
        let naming: Vec<&str> = naming.map(|(_, spec)| spec.key).filter(|key| !KEYS.contains(key)).collect();
        assert_eq!(naming, [""; 0]);
        assert!(KEYS.into_iter().all(|key| annotations::find(key).is_some()));
    }
}
