//! The whole translation: objects to a snapshot and findings.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::Ingress;
use portcullis_model::policy::SetHeader;
use portcullis_model::{
    Affinity, Alias, Balance, CertificateChoice, CertificateSet, Cluster, ClusterId, ClusterPolicy, HostAction,
    HostAlias, HostMatch, Snapshot, VirtualHost,
};

use crate::canary::{self, Canaries, Follower, MergedCanaries};
use crate::class::{Classes, Verdict};
use crate::host::{self, Contribution, Input, Locations, Merged};
use crate::ingress::Parsed;
use crate::memo::{self, Beside, BesideOwned, ClusterInput, Resolved};
use crate::streams::Streams;
use crate::{
    Config, Finding, Memo, Object, ObjectKey, ObjectRef, Options, Resources, affinity, backend, headers, quoted, tls,
};

/// What objects mean: what to serve, and what their authors should know.
#[derive(Clone, Debug)]
pub struct Translation {
    /// What to serve.
    pub snapshot: Snapshot,
    /// What is wrong, surprising or worth knowing, sorted and without duplicates.
    pub findings: Vec<Finding>,
    /// The Ingresses that are served, sorted: those of our class that no rule or flag refuses.
    pub served: Vec<ObjectKey>,
}

/// Translates all objects. The result depends on `resources` and `options` alone; `memo` only saves work.
#[must_use]
pub fn translate(resources: &Resources, options: &Options, memo: &mut Memo) -> Translation {
    translate_only(&resources.ingresses, resources, options, memo)
}

/// The same with other Ingresses than those of `resources`.
pub(crate) fn translate_only(
    ingresses: &BTreeMap<ObjectKey, Object<Ingress>>,
    resources: &Resources,
    options: &Options,
    memo: &mut Memo,
) -> Translation {
    memo.prepare(options);
    let mut findings = Vec::new();
    let config = memo.config(resources, options, &mut findings);
    let ingresses = served(ingresses, resources, options, &config, memo, &mut findings);
    let mut translator =
        Translator { resources, options, config, memo, findings, certificates: BTreeMap::new(), followers: Vec::new() };
    let hosts = translator.hosts(&ingresses);
    let mut served: Vec<ObjectKey> = ingresses.iter().map(|parsed| parsed.key.clone()).collect();
    served.sort_unstable();
    let default_backend = translator.default_backend();
    let mut clusters = translator.clusters(&ingresses, &hosts, default_backend.as_ref());
    let streams = Streams::read(resources, options, &mut translator.findings);
    clusters.extend(streams.clusters);
    let default_certificate = translator.default_certificate();
    let settings = headers::settings(&translator.config, resources, options, &mut translator.findings);
    let Translator { mut findings, certificates, .. } = translator;
    memo.forget(resources);
    findings.sort();
    findings.dedup();
    let snapshot = Snapshot {
        hosts,
        streams: streams.services,
        clusters,
        certificates: Arc::new(CertificateSet { default: default_certificate, by_host: certificates }),
        default_backend,
        health_path: options.health_check_path.as_str().into(),
        settings: Arc::new(settings),
    };
    Translation { snapshot, findings, served }
}

/// Ingresses of ours in the order that decides conflicts: oldest first; of equal age, the larger `namespace/name` first.
fn served(
    all: &BTreeMap<ObjectKey, Object<Ingress>>,
    resources: &Resources,
    options: &Options,
    config: &Config,
    memo: &mut Memo,
    findings: &mut Vec<Finding>,
) -> Vec<Arc<Parsed>> {
    let classes = Classes::new(resources, options);
    let mut last = BesideOwned::new(std::mem::take(&mut memo.ingresses));
    let mut kept = Vec::with_capacity(all.len());
    let mut ingresses = Vec::with_capacity(all.len());
    for (key, object) in all {
        match classes.verdict(key, &object.value) {
            Verdict::NotOurs(remark) => findings.extend(remark),
            Verdict::Ours => {
                let parsed = memo::parsed(last.take(key), key, object, config, options);
                findings.extend_from_slice(&parsed.findings);
                kept.push((key.clone(), (object.hash, Arc::clone(&parsed))));
                if parsed.served {
                    ingresses.push(parsed);
                }
            }
        }
    }
    memo.ingresses = kept.into_iter().collect();
    sort_by_age(&mut ingresses);
    ingresses
}

/// Brings Ingresses into the order that decides conflicts.
pub(crate) fn sort_by_age(ingresses: &mut [Arc<Parsed>]) {
    ingresses.sort_by(|one, other| one.created.cmp(&other.created).then_with(|| name(other).cmp(name(one))));
}

/// The octets of `namespace/name`.
fn name(parsed: &Parsed) -> impl Iterator<Item = u8> {
    parsed.key.namespace.bytes().chain([b'/']).chain(parsed.key.name.bytes())
}

struct Translator<'a> {
    resources: &'a Resources,
    options: &'a Options,
    config: Arc<Config>,
    memo: &'a mut Memo,
    findings: Vec<Finding>,
    certificates: BTreeMap<HostMatch, CertificateChoice>,
    /// Canaries that follow the sessions of their primaries.
    followers: Vec<Follower>,
}

/// Contributions by host, in order of age.
type ByHost = BTreeMap<HostMatch, Vec<Contribution>>;

impl Translator<'_> {
    fn hosts(&mut self, ingresses: &[Arc<Parsed>]) -> BTreeMap<HostMatch, Arc<VirtualHost>> {
        let by_host = contributions(ingresses);
        let catch_all = catch_all(ingresses);
        let canaries = self.canaries(ingresses, &by_host, catch_all.as_ref());
        let aliases = self.aliases(&by_host);
        for (host, contributions) in &by_host {
            self.certificate(host, contributions, aliases.get(host));
        }
        let mut last = BesideOwned::new(std::mem::take(&mut self.memo.hosts));
        let mut built = Vec::with_capacity(by_host.len());
        for (host, contributions) in by_host {
            let catch_all = catch_all.clone().filter(|_| host == HostMatch::Any);
            let aliases = aliases.get(&host).cloned().unwrap_or_default();
            let input = self.input(&host, contributions, catch_all, &canaries, aliases);
            let merged = match last.take(&host) {
                Some(merged) if merged.input == input => merged,
                _ => Arc::new(host::build(&host, input, &self.config, &mut self.memo.common)),
            };
            self.findings.extend_from_slice(&merged.findings);
            built.push((host, merged));
        }
        let mut hosts = built.iter().map(|(host, merged)| (host.clone(), Arc::clone(&merged.host))).collect();
        self.memo.hosts = built.into_iter().collect();
        self.add_www_redirects(&mut hosts);
        hosts
    }

    fn canaries(&mut self, ingresses: &[Arc<Parsed>], by_host: &ByHost, catch_all: Option<&Contribution>) -> Canaries {
        let canaries = || ingresses.iter().filter(|parsed| parsed.draft.canary.is_some());
        let mut touched = BTreeMap::new();
        for host in canaries().flat_map(|parsed| &parsed.rules).map(|rule| &rule.host).chain([&HostMatch::Any]) {
            if let Some(contributions) = by_host.get(host) {
                let default_server = *host == HostMatch::Any;
                let catch_all = catch_all.filter(|_| default_server);
                touched.insert(host.clone(), Locations::gather(contributions, catch_all, default_server));
            }
        }
        let MergedCanaries { by_primary, followers } = canary::merge(canaries(), &touched, &mut self.findings);
        self.followers = followers;
        by_primary
    }

    /// Aliases by host: those of the oldest Ingress that has any; a name that belongs to a host, or to an earlier one's aliases, is left out.
    fn aliases(&mut self, by_host: &ByHost) -> BTreeMap<HostMatch, Vec<HostAlias>> {
        let mut kept = BTreeMap::new();
        for (host, contributions) in by_host {
            let mut owners = contributions.iter().filter(|contribution| !contribution.ingress.draft.aliases.is_empty());
            let Some(owner) = owners.next() else { continue };
            for late in owners.filter(|late| late.ingress.draft.aliases != owner.ingress.draft.aliases) {
                self.findings.push(Finding::warning(
                    &late.ingress.object(),
                    &format!("{}/server-alias", self.options.annotations_prefix),
                    "alias-ignored",
                    format!(
                        "host {host} already has the aliases of Ingress {}, so these are not used",
                        owner.ingress.key
                    ),
                    "put all aliases of a host on one Ingress",
                ));
            }
            let aliases = &owner.ingress.draft.aliases;
            let free: Vec<HostAlias> = aliases.iter().filter(|alias| !is_host(alias, by_host)).cloned().collect();
            for dropped in aliases.iter().filter(|alias| is_host(alias, by_host)) {
                self.findings.push(Finding::warning(
                    &owner.ingress.object(),
                    &format!("{}/server-alias", self.options.annotations_prefix),
                    "alias-is-host",
                    format!(
                        "the alias {} is a host of its own, so it stays with that host",
                        quoted(&dropped.to_string())
                    ),
                    "remove the alias",
                ));
            }
            kept.insert(host.clone(), free);
        }
        kept
    }

    /// Registers the certificate of a host and of the aliases it covers.
    fn certificate(&mut self, host: &HostMatch, contributions: &[Contribution], aliases: Option<&Vec<HostAlias>>) {
        if *host == HostMatch::Any {
            return;
        }
        let ingresses = contributions.iter().map(|contribution| &contribution.ingress);
        let choice = tls::choose(host, ingresses, self.resources, &mut self.memo.secrets, &mut self.findings);
        let Some(choice) = choice else { return };
        for name in aliases.into_iter().flatten().filter_map(host::alias_host) {
            if let Some(covering) = choice.covering(&name) {
                self.certificates.insert(name, covering);
            }
        }
        self.certificates.insert(host.clone(), choice);
    }

    fn input(
        &mut self,
        host: &HostMatch,
        contributions: Vec<Contribution>,
        catch_all: Option<Contribution>,
        canaries: &Canaries,
        aliases: Vec<HostAlias>,
    ) -> Input {
        let ingresses = || contributions.iter().chain(&catch_all).map(|contribution| &contribution.ingress);
        let mut own_canaries = Canaries::new();
        if !canaries.is_empty() {
            let clusters = ingresses().flat_map(|parsed| parsed.clusters());
            own_canaries.extend(clusters.filter_map(|id| Some((id.clone(), canaries.get(id)?.clone()))));
        }
        let mut fallbacks = BTreeMap::new();
        for parsed in ingresses() {
            let Some(service) = &parsed.draft.default_backend else { continue };
            let key = crate::ObjectKey { namespace: Arc::clone(&parsed.key.namespace), name: Arc::clone(service) };
            match backend::first_port(&key, self.resources, self.options) {
                Some(id) => {
                    fallbacks.insert(parsed.key.clone(), id);
                }
                None => self.findings.push(Finding::warning(
                    &parsed.object(),
                    &format!("{}/default-backend", self.options.annotations_prefix),
                    "service-not-found",
                    format!(
                        "the Service {} does not exist or has no port, so the annotation has no effect",
                        quoted(&key.name)
                    ),
                    "name a Service of the Ingress' namespace",
                )),
            }
        }
        let mut upstream_tls = BTreeMap::new();
        for parsed in ingresses() {
            let world = (self.resources, self.options);
            let Memo { upstream_tls: known, secrets, .. } = &mut *self.memo;
            let resolved = known.resolve(parsed, world, secrets, &mut self.findings);
            upstream_tls.extend(resolved.map(|resolved| (parsed.key.clone(), resolved)));
        }
        let custom_headers = ingresses().filter_map(|parsed| self.custom_headers(parsed)).collect();
        Input {
            upstream_tls,
            custom_headers,
            certificate: self.certificates.get(host).cloned(),
            tls: self.is_tls(host),
            canaries: own_canaries,
            fallbacks,
            aliases,
            contributions,
            catch_all,
        }
    }

    /// What `custom-headers` of an Ingress leads to; none where that closes its paths.
    fn custom_headers(&mut self, parsed: &Parsed) -> Option<(ObjectKey, Option<Arc<[SetHeader]>>)> {
        let text = parsed.draft.custom_headers.as_ref()?;
        let memo = &mut self.memo.custom_headers;
        let custom = memo.named(text, &parsed.key.namespace, &self.config, self.resources);
        if let Err(reason) = &custom {
            self.findings.push(Finding::error(
                &parsed.object(),
                &format!("{}/custom-headers", self.options.annotations_prefix),
                "custom-headers-refused",
                format!("{reason}; every path of the Ingress answers 503"),
                "name a ConfigMap of the namespace whose names are all in global-allowed-response-headers",
            ));
        }
        Some((parsed.key.clone(), custom.ok()))
    }

    /// Whether a certificate is registered for the host itself or for the wildcard above it.
    fn is_tls(&self, host: &HostMatch) -> bool {
        let above = match host {
            HostMatch::Exact(name) => name.parent().and_then(|parent| parent.parse().ok()).map(HostMatch::Wildcard),
            HostMatch::Wildcard(_) | HostMatch::Any => None,
        };
        self.certificates.contains_key(host) || above.is_some_and(|above| self.certificates.contains_key(&above))
    }

    /// `from-to-www-redirect`: a host that only redirects, unless a host or an alias has that name.
    fn add_www_redirects(&mut self, hosts: &mut BTreeMap<HostMatch, Arc<VirtualHost>>) {
        let merged: Vec<Arc<Merged>> = self.memo.hosts.values().filter(|merged| merged.www_redirect).cloned().collect();
        for merged in merged {
            let HostMatch::Exact(target) = &merged.host.host else { continue };
            let Some(from) = host::www_counterpart(target).map(HostMatch::Exact) else { continue };
            if hosts.contains_key(&from) {
                continue;
            }
            let certificate = merged.input.certificate.as_ref();
            if let Some(covering) = certificate.and_then(|certificate| certificate.covering(&from)) {
                self.certificates.insert(from.clone(), covering);
            }
            let redirecting = VirtualHost {
                host: from.clone(),
                aliases: Vec::<Alias>::new(),
                tls: false,
                handshake: None,
                action: HostAction::RedirectTo(target.clone()),
            };
            hosts.insert(from, Arc::new(redirecting));
        }
    }

    fn default_backend(&mut self) -> Option<ClusterId> {
        let key = self.options.default_backend_service.as_ref()?;
        let found = backend::first_port(key, self.resources, self.options);
        if found.is_none() {
            let message = "the Service named by --default-backend-service does not exist or has no port; the built-in 404 answers".to_owned();
            self.findings.push(Finding::error(
                &ObjectRef::new("Service", key),
                "",
                "service-not-found",
                message,
                "create the Service",
            ));
        }
        found
    }

    fn default_certificate(&mut self) -> Arc<portcullis_model::Certificate> {
        let Some(key) = &self.options.default_ssl_certificate else {
            return Arc::clone(&self.options.fallback_certificate);
        };
        tls::load(key, self.resources, &mut self.memo.secrets).unwrap_or_else(|reason| {
            let message = format!("{reason}; a self-signed certificate is the default");
            self.findings.push(Finding::error(&ObjectRef::new("Secret", key), "", "default-certificate", message, ""));
            Arc::clone(&self.options.fallback_certificate)
        })
    }

    /// Every cluster that is named. Upstream settings come from the oldest Ingress that names it.
    fn clusters(
        &mut self,
        ingresses: &[Arc<Parsed>],
        hosts: &BTreeMap<HostMatch, Arc<VirtualHost>>,
        default_backend: Option<&ClusterId>,
    ) -> BTreeMap<ClusterId, Arc<Cluster>> {
        let affinities = affinity::merge(ingresses, &self.followers);
        let mut wanted: Vec<(&ClusterId, bool, Option<&Arc<Parsed>>)> = Vec::new();
        for parsed in ingresses {
            wanted.extend(parsed.clusters().map(|id| (id, parsed.draft.service_upstream, Some(parsed))));
        }
        let others = hosts.values().flat_map(|host| fallbacks(host)).chain(default_backend);
        wanted.extend(others.map(|id| (id, self.config.service_upstream, None)));
        wanted.sort_by_key(|(id, ..)| *id);
        wanted.dedup_by_key(|(id, ..)| *id);

        let mut services = Beside::new(&self.resources.services);
        let mut slices = Beside::new(&self.resources.endpoint_slices);
        let mut last = BesideOwned::new(std::mem::take(&mut self.memo.clusters));
        let mut resolved = Vec::with_capacity(wanted.len());
        for (id, service_upstream, first) in wanted {
            let key = backend::service_key(id);
            let service = services.find(&key).map(|service| service.hash);
            let slices = slices.find(&key).map_or(0, |slices| combined(slices.values().map(|slice| slice.hash)));
            let input = ClusterInput { service_upstream, service, slices };
            if let (None, Some(parsed)) = (service, first) {
                self.missing_service(id, parsed);
            }
            let balance = first.map_or(&self.config.balance, |parsed| &parsed.draft.balance);
            let affinity = affinities.get(id);
            let same = |entry: &Resolved| entry.input == input && is_policy(&entry.cluster.policy, balance, affinity);
            let entry = last.take(id).filter(same).unwrap_or_else(|| {
                let mut findings = Vec::new();
                let policy = self.memo.common.cluster_policy(balance, affinity);
                let cluster =
                    backend::cluster(id, service_upstream, policy, self.resources, self.options, &mut findings);
                Resolved { input, cluster: Arc::new(cluster), findings }
            });
            self.findings.extend_from_slice(&entry.findings);
            resolved.push((id.clone(), entry));
        }
        let clusters = resolved.iter().map(|(id, entry)| (id.clone(), Arc::clone(&entry.cluster))).collect();
        self.memo.clusters = resolved.into_iter().collect();
        clusters
    }

    fn missing_service(&mut self, id: &ClusterId, parsed: &Parsed) {
        let overridden = self.options.endpoint_overrides.iter().any(|entry| entry.service == backend::service_key(id));
        if overridden {
            return;
        }
        self.findings.push(Finding::warning(
            &parsed.object(),
            "",
            "service-not-found",
            format!("the Service {} does not exist, so requests to it answer 503", quoted(&id.service)),
            "create the Service in the namespace of the Ingress",
        ));
    }
}

fn is_policy(policy: &ClusterPolicy, balance: &Balance, affinity: Option<&Affinity>) -> bool {
    policy.balance == *balance && policy.affinity.as_ref() == affinity
}

/// One hash of several, in their order.
fn combined(hashes: impl Iterator<Item = u64>) -> u64 {
    hashes.fold(1, |all, hash| (all.rotate_left(5) ^ hash).wrapping_mul(0x517c_c1b7_2722_0a95))
}

fn contributions(ingresses: &[Arc<Parsed>]) -> ByHost {
    let primary = ingresses.iter().filter(|parsed| parsed.draft.canary.is_none());
    let mut rules: Vec<_> = primary
        .flat_map(|parsed| parsed.rules.iter().enumerate().map(move |(number, rule)| (&rule.host, parsed, number)))
        .collect();
    rules.sort_by_key(|(host, ..)| *host);
    let mut by_host = vec![(HostMatch::Any, Vec::new())];
    for (host, parsed, rule) in rules {
        let contribution = Contribution { ingress: Arc::clone(parsed), rule };
        match by_host.last_mut() {
            Some((last, contributions)) if last == host => contributions.push(contribution),
            _ => by_host.push((host.clone(), vec![contribution])),
        }
    }
    by_host.into_iter().collect()
}

/// The oldest Ingress with a default backend and no rules answers for hosts that no rule names.
pub(crate) fn catch_all(ingresses: &[Arc<Parsed>]) -> Option<Contribution> {
    let found = ingresses
        .iter()
        .find(|parsed| parsed.draft.canary.is_none() && parsed.default_backend.is_some() && !parsed.has_rules);
    found.map(|parsed| Contribution { ingress: Arc::clone(parsed), rule: 0 })
}

fn is_host(alias: &HostAlias, by_host: &ByHost) -> bool {
    host::alias_host(alias).is_some_and(|host| by_host.contains_key(&host))
}

fn fallbacks(host: &VirtualHost) -> impl Iterator<Item = &ClusterId> {
    let routes = match &host.action {
        HostAction::Serve { routes, .. } => routes.as_slice(),
        HostAction::RedirectTo(_) => &[],
    };
    routes.iter().filter_map(|route| route.policy.fallback.as_ref())
}
