//! Which Ingresses are ours (Kubernetes: IngressClass; ingress-nginx flags `--ingress-class`, `--controller-class` and family).

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{Ingress, IngressClass};

use crate::namespaces::{Choice, Namespaces};
use crate::{Finding, ObjectKey, ObjectRef, Options, Resources, quoted};

/// The annotation that named the class before the field did.
const LEGACY_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// Whether we serve an Ingress.
pub(crate) enum Verdict {
    /// We do.
    Ours,
    /// We do not, with a remark where its author may wonder why.
    NotOurs(Option<Finding>),
}

/// The classes at one moment, as far as they matter here.
pub(crate) struct Classes<'a> {
    options: &'a Options,
    namespaces: Namespaces<'a>,
    /// By name: whether the class is ours.
    ours: BTreeMap<&'a str, bool>,
}

impl<'a> Classes<'a> {
    pub(crate) fn new(resources: &'a Resources, options: &'a Options) -> Self {
        let ours = resources.classes.iter().map(|(key, class)| (&*key.name, names_us(&class.value, options)));
        Self { options, namespaces: Namespaces::new(resources, options), ours: ours.collect() }
    }

    /// Decides by `spec.ingressClassName`, else by the legacy annotation, else by `--watch-ingress-without-class`.
    ///
    /// The field wins: where it is set, the annotation is not asked. Classes are looked up anew each time, so that an Ingress
    /// created before its class is served as soon as the class exists.
    pub(crate) fn verdict(&self, key: &ObjectKey, ingress: &Ingress) -> Verdict {
        match self.namespaces.choice(&key.namespace) {
            Choice::Served => self.by_class(key, ingress),
            Choice::NotServed => Verdict::NotOurs(None),
            Choice::Unknown => Verdict::NotOurs(match self.by_class(key, ingress) {
                Verdict::Ours => Some(unknown_namespace(key)),
                Verdict::NotOurs(_) => None,
            }),
        }
    }

    fn by_class(&self, key: &ObjectKey, ingress: &Ingress) -> Verdict {
        let options = self.options;
        let class = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref());
        let annotations = ingress.metadata.annotations.as_ref();
        match (class, annotations.and_then(|annotations| annotations.get(LEGACY_ANNOTATION))) {
            (Some(class), _) => self.by_name(key, class),
            (None, Some(value)) if *value == options.ingress_class => Verdict::Ours,
            (None, Some(_)) => Verdict::NotOurs(None),
            (None, None) if options.watch_ingress_without_class => Verdict::Ours,
            (None, None) => Verdict::NotOurs(Some(without_class(key, options))),
        }
    }

    fn by_name(&self, key: &ObjectKey, class: &str) -> Verdict {
        let options = self.options;
        if options.ingress_class_by_name && class == options.ingress_class {
            return Verdict::Ours;
        }
        match self.ours.get(class) {
            Some(true) => Verdict::Ours,
            Some(false) => Verdict::NotOurs(None),
            None => Verdict::NotOurs(Some(unknown_class(key, class, options))),
        }
    }
}

/// Whether we serve Ingresses of a class: it names us, or has our name and `--ingress-class-by-name` is set.
pub(crate) fn is_ours(key: &ObjectKey, class: &IngressClass, options: &Options) -> bool {
    names_us(class, options) || (options.ingress_class_by_name && *key.name == *options.ingress_class)
}

/// By `--controller-class`.
fn names_us(class: &IngressClass, options: &Options) -> bool {
    let controller = class.spec.as_ref().and_then(|spec| spec.controller.as_deref());
    controller == Some(&options.controller_class)
}

fn unknown_namespace(key: &ObjectKey) -> Finding {
    Finding::warning(
        &ObjectRef::new("Ingress", key),
        "metadata.namespace",
        "unknown-namespace",
        format!(
            "there is no Namespace {}, whose labels would decide whether this Ingress is served",
            quoted(&key.namespace)
        ),
        "create the Namespace with labels that fit --watch-namespace-selector",
    )
}

fn unknown_class(key: &ObjectKey, class: &str, options: &Options) -> Finding {
    Finding::warning(
        &ObjectRef::new("Ingress", key),
        "spec.ingressClassName",
        "unknown-class",
        format!("the IngressClass {} does not exist, so this Ingress is not served", quoted(class)),
        &format!(
            "create the IngressClass with `spec.controller: {}`, or name an existing one",
            options.controller_class
        ),
    )
}

fn without_class(key: &ObjectKey, options: &Options) -> Finding {
    Finding::warning(
        &ObjectRef::new("Ingress", key),
        "spec.ingressClassName",
        "no-class",
        "the Ingress names no class, so it is not served".to_owned(),
        &format!("set `ingressClassName: {}`, or start with --watch-ingress-without-class", options.ingress_class),
    )
}
