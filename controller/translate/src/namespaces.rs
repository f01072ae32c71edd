//! From which namespaces Ingresses are served (ingress-nginx: `--watch-namespace`, `--watch-namespace-selector`).
//!
//! What an Ingress refers to is read wherever it is: as in ingress-nginx, only the Ingresses themselves are chosen.

use std::collections::BTreeMap;

use crate::{Options, Resources};

/// The choice at one moment.
pub(crate) enum Namespaces<'a> {
    All,
    One(&'a str),
    /// Those that are there: whether their labels fit.
    Selected(BTreeMap<&'a str, bool>),
}

/// Whether Ingresses of a namespace are served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Choice {
    Served,
    NotServed,
    /// They are not, since labels are asked for and there is no such Namespace.
    Unknown,
}

impl<'a> Namespaces<'a> {
    pub(crate) fn new(resources: &'a Resources, options: &'a Options) -> Self {
        if let Some(selector) = &options.namespace_selector {
            let none = BTreeMap::new();
            let fits = |labels: Option<&BTreeMap<String, String>>| selector.matches(labels.unwrap_or(&none));
            let known = resources.namespaces.iter();
            return Self::Selected(
                known.map(|(key, object)| (&*key.name, fits(object.value.metadata.labels.as_ref()))).collect(),
            );
        }
        match options.watch_namespace.as_str() {
            "" => Self::All,
            one => Self::One(one),
        }
    }

    pub(crate) fn choice(&self, namespace: &str) -> Choice {
        let is_served = match self {
            Self::All => true,
            Self::One(one) => *one == namespace,
            Self::Selected(known) => match known.get(namespace) {
                Some(fits) => *fits,
                None => return Choice::Unknown,
            },
        };
        if is_served { Choice::Served } else { Choice::NotServed }
    }
}
