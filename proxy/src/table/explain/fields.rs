//! Which header fields of a request and of its response are changed.

use portcullis_model::policy::{CookieDomain, HeaderPolicy, HeaderText, PrefixChange, ResponseRewrite, SetHeader};

/// The settings that change fields, each with what it does. `sent_on` tells whether there is an upstream.
pub(super) fn changes(
    (added, set): (&[SetHeader], &[SetHeader]),
    policy: &HeaderPolicy,
    rewrite: Option<&ResponseRewrite>,
    sent_on: bool,
) -> Vec<(&'static str, String)> {
    let HeaderPolicy { connection, response } = policy;
    let mut changes = Vec::new();
    if sent_on {
        if !set.is_empty() {
            // Values may be secret.
            changes.push(("proxy-set-headers", format!("the upstream receives {}", names(set))));
        }
        if let Some(connection) = connection {
            let detail = format!("the upstream receives Connection: {}", connection.as_str());
            changes.push(("connection-proxy-header", detail));
        }
        if let Some(rewrite) = rewrite {
            rewrites(rewrite, &mut changes);
        }
    }
    if !added.is_empty() {
        changes.push(("add-headers", format!("the response has {}", names(added))));
    }
    if let Some(custom) = response {
        changes.push(("custom-headers", format!("the response has {}", names(custom))));
    }
    changes
}

fn rewrites(rewrite: &ResponseRewrite, changes: &mut Vec<(&'static str, String)>) {
    let ResponseRewrite { cookie_domain, cookie_path, location } = rewrite;
    if let Some(domain) = cookie_domain {
        changes.push(("proxy-cookie-domain", domain_change(domain)));
    }
    if let Some(path) = cookie_path {
        changes.push(("proxy-cookie-path", prefix_change("Path of cookies", path)));
    }
    if let Some(location) = location {
        changes.push(("proxy-redirect-from", prefix_change("Location and Refresh", location)));
    }
}

fn domain_change(change: &CookieDomain) -> String {
    format!("Domain of cookies: {} becomes {}", change.from(), change.to())
}

fn prefix_change(what: &str, change: &PrefixChange) -> String {
    format!("{what}: what begins with {} begins with {}", change.from(), change.to())
}

fn names(headers: &[SetHeader]) -> String {
    let name = |header: &SetHeader| match header.text() {
        HeaderText::Remove => format!("no {}", header.name()),
        HeaderText::Fixed(_) | HeaderText::Template(_) => header.name().to_string(),
    };
    headers.iter().map(name).collect::<Vec<_>>().join(", ")
}
