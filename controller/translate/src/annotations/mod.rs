//! The annotations of an Ingress: one definition per key, read by the parser, `docs`, `lint` and the webhook.
//!
//! A group of keys is a file: its `GROUP`, one `Key` per annotation (name, syntax, default, scope, risk, what a bad value does,
//! documentation, parser), the function that reads them into a [`Draft`], and the tests. A new annotation goes into the file of
//! its group; a new group is one word in the list below.

mod chars;
mod docs;
mod draft;
mod nearest;
mod reader;
mod screen;
mod spec;
#[cfg(test)]
mod testing;
mod unknown;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::sync::LazyLock;

pub use docs::render_markdown;
pub use draft::{CanaryRules, Draft, SessionRules, UpstreamTlsRules};
pub(crate) use https_redirect::mode as https_redirect_mode;
pub(crate) use nearest::nearest;
pub use response::ResponseDefaults;
pub use spec::{Group, OnError, Scope, Spec, Support};

use reader::Reader;
pub(crate) use reader::rejection;
use serde::Serialize;

use crate::{Config, Finding, ObjectKey, ObjectRef, Options};

/// Declares the modules of the groups and lists them, in the order in which they are read and documented.
macro_rules! groups {
    ($($name:ident),* $(,)?) => {
        $(pub(crate) mod $name;)*

        static GROUPS: &[&Group] = &[$(&$name::GROUP),*];
    };
}

groups! {
    canary, rewrite, redirect, https_redirect, hosts, tls, balance, session, backend, upstream_tls, body, timeouts, retry,
    headers, response, observe, snippet, unsupported,
}

/// How much harm a value could do in ingress-nginx; `annotations-risk-level` is the highest accepted.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Risk {
    /// Numbers, booleans, words of a list.
    Low,
    /// Text of few characters.
    Medium,
    /// Text that may hold nginx variables or regular expressions.
    High,
    /// Text that nginx would execute.
    Critical,
}

/// Reads all annotations of one Ingress. What is wrong with them becomes findings; what it means for the Ingress is in the draft.
#[must_use]
pub fn read(
    ingress: &ObjectKey,
    annotations: &BTreeMap<String, String>,
    options: &Options,
    config: &Config,
    findings: &mut Vec<Finding>,
) -> Draft {
    let mut draft = Draft::new(config);
    for key in screen::stock_prefix(annotations, options) {
        let message = format!("no effect, because --annotations-prefix is {}", options.annotations_prefix);
        let help = "write the key with that prefix; the admission webhook of ingress-nginx refuses this one";
        findings.push(Finding::warning(&ObjectRef::new("Ingress", ingress), key, "stock-prefix", message, help));
    }
    let mut reader = Reader::new(ingress, annotations, options, config, findings);
    if reader.unread().next().is_none() {
        return draft;
    }
    screen::screen(&mut reader);
    for group in GROUPS {
        reader.enter(group);
        (group.parse)(&mut reader, &mut draft);
    }
    unknown::report(&mut reader);
    reader.finish(&mut draft);
    draft
}

/// Every group, in the order in which they are read.
#[must_use]
pub fn groups() -> &'static [&'static Group] {
    GROUPS
}

/// Every annotation with the name of its group.
pub fn specs() -> impl Iterator<Item = (&'static str, &'static Spec)> {
    GROUPS.iter().flat_map(|group| group.specs().map(|spec| (group.name, spec)))
}

/// The annotation of this name, which may be an alias, and the name of its group.
#[must_use]
pub fn find(key: &str) -> Option<(&'static str, &'static Spec)> {
    static INDEX: LazyLock<BTreeMap<&str, (&str, &Spec)>> = LazyLock::new(|| {
        let names = |(group, spec): (&'static str, &'static Spec)| {
            spec.aliases.iter().copied().chain([spec.key]).map(move |name| (name, (group, spec)))
        };
        specs().flat_map(names).collect()
    });
    INDEX.get(key).copied()
}

#[cfg(test)]
mod tests;
