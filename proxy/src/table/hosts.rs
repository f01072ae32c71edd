//! Virtual hosts by name.

use std::cell::RefCell;
use std::hash::Hash;
use std::sync::Arc;

use hashbrown::{Equivalent, HashMap};
use portcullis_model::{Alias, HostAlias, HostMatch, HostName, Pattern, PatternCache};

use super::virtual_host::CompiledHost;
use super::{HostChoice, HostLookup};

/// A map by host name. Names are those of administrators, and the seed is another one for each map: clients choose what is
/// looked up, which cannot slow a lookup down, and no set of names can be prepared to fall into one bucket.
pub(super) type ByName<T> = HashMap<HostName, T>;

/// A name to look up in a [`ByName`].
#[derive(Hash)]
pub(super) struct Name<'a>(pub(super) &'a str);

impl Equivalent<HostName> for Name<'_> {
    fn equivalent(&self, name: &HostName) -> bool {
        self.0 == name.as_str()
    }
}

/// Virtual hosts by name.
pub(super) struct HostIndex {
    names: ByName<Arc<CompiledHost>>,
    aliases: AliasIndex,
    wildcards: ByName<Arc<CompiledHost>>,
    default: Arc<CompiledHost>,
}

impl HostIndex {
    /// An index with room for `capacity` hosts; `default` answers what none of them does.
    pub(super) fn new(capacity: usize, default: Arc<CompiledHost>) -> Self {
        Self {
            names: ByName::with_capacity(capacity),
            aliases: AliasIndex::default(),
            wildcards: ByName::new(),
            default,
        }
    }

    /// Adds a host under its name and its further names.
    pub(super) fn add(&mut self, host: Arc<CompiledHost>) {
        self.aliases.add(&host);
        match &host.source().host {
            HostMatch::Any => {}
            HostMatch::Wildcard(parent) => drop(self.wildcards.insert(parent.clone(), host)),
            HostMatch::Exact(name) => drop(self.names.insert(name.clone(), host)),
        }
    }

    /// The virtual host of a canonical host name.
    pub(super) fn find(&self, host: &str) -> HostLookup<'_> {
        let ruled = |host, choice| HostLookup { host, tls: host.source().tls, choice, alias: None };
        if let Some(found) = self.names.get(&Name(host)) {
            return ruled(found, HostChoice::Exact);
        }
        if let Some((entry, alias)) = self.aliases.find(host) {
            let tls = alias.tls && one_label_at_most(&alias.name, host);
            return HostLookup { host: &entry.host, tls, choice: HostChoice::Alias, alias: Some(alias) };
        }
        if let Some(found) = first_label(host).and_then(|(_, parent)| self.wildcards.get(&Name(parent))) {
            return ruled(found, HostChoice::Wildcard);
        }
        HostLookup { host: &self.default, tls: false, choice: HostChoice::Default, alias: None }
    }

    /// The virtual host that a rule's host made.
    pub(super) fn of(&self, host: &HostMatch) -> Option<&Arc<CompiledHost>> {
        match host {
            HostMatch::Any => Some(&self.default),
            HostMatch::Wildcard(parent) => self.wildcards.get(parent),
            HostMatch::Exact(name) => self.names.get(name),
        }
    }
}

/// The first label, of letters, digits, `-` and `_`, and the rest: what `*.name` of a rule stands for.
fn first_label(host: &str) -> Option<(&str, &str)> {
    let label = |text: &str| text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_');
    host.split_once('.').filter(|(first, _)| !first.is_empty() && label(first))
}

/// Certificates cover one label only, where `*.name` of an alias stands for any number.
fn one_label_at_most(alias: &HostAlias, host: &str) -> bool {
    match alias {
        HostAlias::Suffix(name) | HostAlias::SuffixOrApex(name) => {
            host == name.as_str() || host.split_once('.').is_some_and(|(_, parent)| parent == name.as_str())
        }
        HostAlias::Exact(_) | HostAlias::Prefix(_) | HostAlias::Pattern(_) => true,
    }
}

/// Further names of virtual hosts. Where two hosts claim the same, the first wins.
#[derive(Default)]
struct AliasIndex {
    names: ByName<AliasEntry>,
    apexes: ByName<AliasEntry>,
    suffixes: ByName<AliasEntry>,
    prefixes: ByName<AliasEntry>,
    patterns: Vec<(Arc<Pattern>, AliasEntry)>,
}

#[derive(Clone)]
struct AliasEntry {
    host: Arc<CompiledHost>,
    /// Place among the aliases of the host.
    place: usize,
}

impl AliasEntry {
    fn alias(&self) -> Option<(&Self, &Alias)> {
        self.host.source().aliases.get(self.place).map(|alias| (self, alias))
    }
}

impl AliasIndex {
    fn add(&mut self, host: &Arc<CompiledHost>) {
        for (place, alias) in host.source().aliases.iter().enumerate() {
            let entry = AliasEntry { host: Arc::clone(host), place };
            match &alias.name {
                HostAlias::Exact(name) => claim(&mut self.names, name, entry),
                HostAlias::Suffix(name) => claim(&mut self.suffixes, name, entry),
                HostAlias::SuffixOrApex(name) => {
                    claim(&mut self.apexes, name, entry.clone());
                    claim(&mut self.suffixes, name, entry);
                }
                HostAlias::Prefix(name) => claim(&mut self.prefixes, name, entry),
                HostAlias::Pattern(pattern) => self.patterns.push((Arc::clone(pattern), entry)),
            }
        }
    }

    /// In nginx's order of `server_name`: exact, longest `*.name`, longest `name.*`, first expression.
    fn find(&self, host: &str) -> Option<(&AliasEntry, &Alias)> {
        let exact = || self.names.get(&Name(host)).or_else(|| self.apexes.get(&Name(host)));
        let entry = exact()
            .or_else(|| longest(&self.suffixes, host, |name| name.split_once('.').map(|(_, rest)| rest)))
            .or_else(|| longest(&self.prefixes, host, |name| name.rsplit_once('.').map(|(rest, _)| rest)))
            .or_else(|| self.matching(host));
        entry.and_then(AliasEntry::alias)
    }

    fn matching(&self, host: &str) -> Option<&AliasEntry> {
        thread_local! {
            /// Hosts are looked up before a worker's own cache is at hand, and hosts with expressions are rare.
            static PATTERNS: RefCell<PatternCache> = RefCell::default();
        }
        if self.patterns.is_empty() {
            return None;
        }
        PATTERNS.with_borrow_mut(|cache| {
            let found = self.patterns.iter().find(|(pattern, _)| pattern.is_match(host.as_bytes(), cache));
            found.map(|(_, entry)| entry)
        })
    }
}

fn claim(map: &mut ByName<AliasEntry>, name: &HostName, entry: AliasEntry) {
    map.entry(name.clone()).or_insert(entry);
}

/// The first hit while `shorten` takes labels away.
fn longest<'m>(
    map: &'m ByName<AliasEntry>,
    host: &str,
    shorten: impl Fn(&str) -> Option<&str>,
) -> Option<&'m AliasEntry> {
    if map.is_empty() {
        return None;
    }
    std::iter::successors(shorten(host), |name| shorten(name)).find_map(|name| map.get(&Name(name)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use portcullis_model::{PathMode, Snapshot, VirtualHost};

    use super::super::testing::{snapshot, virtual_host, with_aliases};
    use super::super::{HostChoice, RoutingTable};
    use crate::upstream::UpstreamRegistry;

    fn table(hosts: &[(&str, &[&str])]) -> RoutingTable {
        let hosts = hosts
            .iter()
            .map(|(name, aliases)| with_aliases(virtual_host(name, PathMode::Plain, &["Prefix /"]), aliases));
        compile(hosts)
    }

    fn compile(hosts: impl Iterator<Item = Arc<VirtualHost>>) -> RoutingTable {
        let hosts = hosts.map(|host| (host.host.clone(), host)).collect();
        RoutingTable::compile(&Snapshot { hosts, ..snapshot(&[]) }, &UpstreamRegistry::default(), None)
    }

    /// Virtual host and kind of name, as `*.b.example wildcard`.
    fn find(table: &RoutingTable, host: &str) -> String {
        let found = table.host(host);
        assert_eq!(found.alias.is_some(), found.choice == HostChoice::Alias);
        format!("{} {:?}", found.host.source().host, found.choice).to_lowercase()
    }

    #[test]
    fn names_are_chosen_in_nginx_order() {
        let table = table(&[
            ("a.example", &["alias.example", "x.multi.example", "www.a.*", "*.deep.example"]),
            ("b.example", &["*.multi.example", "*.x.deep.example", ".apex.example", "www.*", r"~^re\d+\.example$"]),
            ("c.example", &["~^re1", "~"]),
            ("*.wild.example", &["wildalias.example"]),
            ("one.wild.example", &[]),
        ]);
        for (host, want) in [
            ("a.example", "a.example exact"),
            ("one.wild.example", "one.wild.example exact"),
            ("alias.example", "a.example alias"),
            ("x.multi.example", "a.example alias"),
            ("y.multi.example", "b.example alias"),
            ("z.y.multi.example", "b.example alias"),
            ("q.deep.example", "a.example alias"),
            ("q.x.deep.example", "b.example alias"),
            ("x.deep.example", "a.example alias"),
            ("apex.example", "b.example alias"),
            ("v.u.apex.example", "b.example alias"),
            ("www.a.org", "a.example alias"),
            ("www.a.co.org", "a.example alias"),
            ("www.a", "b.example alias"),
            ("www.org", "b.example alias"),
            ("re12.example", "b.example alias"),
            ("re1x", "c.example alias"),
            ("wildalias.example", "*.wild.example alias"),
            ("multi.example", "c.example alias"),
            ("two.wild.example", "c.example alias"),
        ] {
            assert_eq!(find(&table, host), want, "{host}");
        }
    }

    #[test]
    fn wildcards_of_rules_stand_for_one_label() {
        let table = table(&[("*.wild.example", &[]), ("*.org", &[]), ("", &[])]);
        for (host, want) in [
            ("a.wild.example", "*.wild.example wildcard"),
            ("a-b_c.wild.example", "*.wild.example wildcard"),
            ("a.b.wild.example", "_ default"),
            ("wild.example", "_ default"),
            (".wild.example", "_ default"),
            ("a!.wild.example", "_ default"),
            ("a.org", "*.org wildcard"),
            ("org", "_ default"),
            ("", "_ default"),
            ("192.0.2.1", "_ default"),
            ("[::1]", "_ default"),
        ] {
            assert_eq!(find(&table, host), want, "{host}");
        }
    }

    #[test]
    fn unknown_hosts_get_an_empty_default_server_where_no_rule_is_without_host() {
        let table = table(&[("a.example", &[])]);
        let found = table.host("b.example");
        assert_eq!(found.choice, HostChoice::Default);
        assert!(found.host.routes().is_empty());
        assert!(matches!(found.host.route("/", &mut Default::default()), super::super::PathLookup::None));
    }

    #[test]
    fn a_name_of_a_rule_beats_an_equal_further_name_of_another_host() {
        let table = table(&[("a.example", &["b.example", "c.example"]), ("b.example", &["c.example"])]);
        assert_eq!(find(&table, "b.example"), "b.example exact");
        assert_eq!(find(&table, "c.example"), "a.example alias");
    }

    #[test]
    fn https_is_known_per_name_and_never_on_the_default_server() {
        let mut hosts: Vec<VirtualHost> = ["a.example", "*.b.example", "", "plain.example"]
            .map(|name| virtual_host(name, PathMode::Plain, &[]))
            .into();
        for host in hosts.iter_mut().take(3) {
            host.tls = true;
        }
        let alias = |name: &str, tls| portcullis_model::Alias { name: name.parse().unwrap(), tls };
        hosts[0].aliases =
            vec![alias("covered.example", true), alias("uncovered.example", false), alias("*.c.example", true)];
        let table = compile(hosts.into_iter().map(Arc::new));
        for (host, tls) in [
            ("a.example", true),
            ("covered.example", true),
            ("uncovered.example", false),
            ("x.c.example", true),
            ("y.x.c.example", false),
            ("x.b.example", true),
            ("plain.example", false),
            ("unknown.example", false),
            ("", false),
        ] {
            assert_eq!(table.host(host).tls, tls, "{host}");
        }
    }
}
