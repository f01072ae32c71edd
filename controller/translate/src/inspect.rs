//! `--deep-inspect`: Ingresses whose strings look like an attempt to write proxy configuration.
//!
//! Nothing here is ever pasted into a configuration text, so such strings are harmless; they are refused because
//! ingress-nginx refuses them, and because whoever writes them is up to something.

use k8s_openapi::api::networking::v1::Ingress;

/// The first string of `spec` that ingress-nginx would refuse, with the path of its field.
pub(crate) fn suspicious(ingress: &Ingress) -> Option<(String, &str)> {
    strings(ingress).find(|(_, text)| is_suspicious(text))
}

fn strings(ingress: &Ingress) -> impl Iterator<Item = (String, &str)> {
    let spec = ingress.spec.as_ref();
    let rules = spec.and_then(|spec| spec.rules.as_deref()).unwrap_or_default();
    let tls = spec.and_then(|spec| spec.tls.as_deref()).unwrap_or_default();
    let of_rules = rules.iter().enumerate().flat_map(|(number, rule)| {
        let host = rule.host.as_deref().map(move |host| (format!("spec.rules[{number}].host"), host));
        let paths = rule.http.iter().flat_map(|http| &http.paths).enumerate().filter_map(move |(index, path)| {
            Some((format!("spec.rules[{number}].http.paths[{index}].path"), path.path.as_deref()?))
        });
        host.into_iter().chain(paths)
    });
    let of_tls = tls.iter().enumerate().flat_map(|(number, entry)| {
        let secret = entry.secret_name.as_deref().map(move |name| (format!("spec.tls[{number}].secretName"), name));
        let hosts = entry.hosts.iter().flatten().map(move |host| (format!("spec.tls[{number}].hosts"), host.as_str()));
        secret.into_iter().chain(hosts)
    });
    of_rules.chain(of_tls)
}

fn is_suspicious(text: &str) -> bool {
    let directive = |name: &str| text.split_once(name).is_some_and(|(_, rest)| rest.contains(';'));
    let files = ["passwd", "shadow", "group", "nginx", "ingress-controller"];
    directive("alias")
        || directive("root")
        || text.split("/etc/").skip(1).any(|rest| files.iter().any(|file| rest.starts_with(file)))
        || text.contains("/var/run/secrets")
        || text.contains("_by_lua")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_and_secret_files_are_suspicious() {
        for (text, want) in [
            ("/x{}alias /etc;", true),
            ("/root /;x", true),
            ("/etc/passwd", true),
            ("/x/etc/nginx/y", true),
            ("/etc/hosts", false),
            ("/var/run/secrets/token", true),
            ("/content_by_lua", true),
            ("/alias", false),
            ("/root", false),
            ("shop.example.com", false),
        ] {
            assert_eq!(is_suspicious(text), want, "{text}");
        }
    }
}
