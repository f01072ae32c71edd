//! From flags and the environment to what a replica does in a cluster beside serving.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use kube::Client;
use portcullis::duties;
use portcullis::events;
use portcullis::ingress_status::{self, AddressSource};
use portcullis::leader::LeaseConfig;
use portcullis::source::cluster::ClusterSource;
use portcullis::successor::Successor;
use portcullis_translate::ObjectKey;

use super::flags::{FlagSet, UsageError, duration, namespaced_name};

/// The shortest `--status-update-interval`, in seconds; ingress-nginx raises shorter ones to it, too.
const SHORTEST_INTERVAL: i64 = 5;

/// The shortest `--election-ttl`.
const SHORTEST_TTL: Duration = Duration::from_secs(1);

/// What flags decide, as plain values.
#[derive(Debug)]
pub(super) struct ClusterSettings {
    election: Option<LeaseConfig>,
    status: Option<ingress_status::Config>,
    sync_events: bool,
    /// ConfigMaps with settings of the controller.
    config_maps: Vec<ObjectKey>,
    /// The own Pod, if this is one.
    pod: Option<ObjectKey>,
}

impl ClusterSettings {
    /// Reads the flags, and which Pod this is.
    ///
    /// # Errors
    ///
    /// Where a value cannot be used.
    pub(super) fn resolve(flags: &FlagSet, client: &Client) -> Result<Self, UsageError> {
        let of_environment = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        Self::read(flags, of_environment, client.default_namespace())
    }

    fn read(
        flags: &FlagSet,
        environment: impl Fn(&str) -> Option<String>,
        default_namespace: &str,
    ) -> Result<Self, UsageError> {
        let namespace = environment("POD_NAMESPACE").unwrap_or_else(|| default_namespace.to_owned());
        let name = environment("POD_NAME");
        let pod = name.as_deref().map(|name| ObjectKey::new(&namespace, name));
        let holder = name.unwrap_or_else(unique_name);
        let election = election(flags, namespace, holder)?;
        let wanted = flags.is_on("update-status");
        if wanted && election.is_none() {
            tracing::warn!(
                "--disable-leader-election: there is no leader to write the status of Ingresses, so nobody does"
            );
        }
        let status = if wanted && election.is_some() { Some(status(flags, pod.clone())?) } else { None };
        let config_maps = ["configmap", "tcp-services-configmap", "udp-services-configmap"];
        let config_maps = config_maps.map(|flag| flags.read_some(flag, namespaced_name));
        let config_maps = config_maps.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
        Ok(Self { election, status, sync_events: !flags.is_on("disable-sync-events"), config_maps, pod })
    }

    /// Whom the end of this Pod waits for.
    pub(super) fn successor(&self, client: &Client) -> Option<Successor> {
        self.pod.clone().map(|pod| Successor::new(client.clone(), pod))
    }

    /// What the running program takes of it.
    pub(super) fn duties(self, client: Client, source: &ClusterSource) -> duties::Config {
        let Self { election, status, sync_events, config_maps, pod } = self;
        let instance = pod.map(|pod| pod.name.to_string()).unwrap_or_default();
        let references = source.references();
        let events = events::Config { sync: sync_events, config_maps, instance, references };
        duties::Config { client, election, status, statuses: source.statuses(), events: Some(events) }
    }
}

/// A name that no other process has: outside a Pod, or in one that is not told its name.
fn unique_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}_{:016x}", host.trim(), RandomState::new().build_hasher().finish())
}

fn election(flags: &FlagSet, namespace: String, holder: String) -> Result<Option<LeaseConfig>, UsageError> {
    if flags.is_on("disable-leader-election") {
        return Ok(None);
    }
    let ttl = flags.read("election-ttl", |text| match duration(text)? {
        ttl if ttl < SHORTEST_TTL => Err("expected at least 1s".to_owned()),
        ttl => Ok(ttl),
    })?;
    let name = flags.read("election-id", |text| match text {
        "" => Err("expected the name of a Lease".to_owned()),
        name => Ok(name.to_owned()),
    })?;
    Ok(Some(LeaseConfig { namespace, name, holder, ttl }))
}

fn status(flags: &FlagSet, pod: Option<ObjectKey>) -> Result<ingress_status::Config, UsageError> {
    let seconds =
        flags.read("status-update-interval", |text| text.parse::<i64>().map_err(|error| error.to_string()))?;
    let seconds = u64::try_from(seconds.max(SHORTEST_INTERVAL)).unwrap_or_default();
    Ok(ingress_status::Config {
        source: source(flags)?,
        pod,
        clear_at_end: flags.is_on("update-status-on-shutdown"),
        interval: Duration::from_secs(seconds),
    })
}

fn source(flags: &FlagSet) -> Result<AddressSource, UsageError> {
    let (addresses, refused) = ingress_status::fixed(flags.text("publish-status-address"));
    for part in &refused {
        tracing::warn!(part, "--publish-status-address: neither an IP address nor a host name, left out");
    }
    if !flags.text("publish-status-address").is_empty() {
        return Ok(AddressSource::Fixed(addresses));
    }
    Ok(match flags.read_some("publish-service", namespaced_name)? {
        Some(service) => AddressSource::Service(service),
        None => AddressSource::Nodes { internal: flags.is_on("report-node-internal-ip-address") },
    })
}

#[cfg(test)]
mod tests {
    use portcullis::ingress_status::fixed;

    use super::super::flags::testing::flags_of_run as flags;
    use super::*;

    fn settings(arguments: &[&str], environment: &[(&str, &str)]) -> Result<ClusterSettings, UsageError> {
        let variable =
            |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        ClusterSettings::read(&flags(arguments), variable, "of-kubeconfig")
    }

    const POD: [(&str, &str); 2] = [("POD_NAMESPACE", "ingress-nginx"), ("POD_NAME", "gate-1")];

    #[test]
    fn addresses_come_from_the_first_flag_that_is_given() {
        let nodes = |internal| AddressSource::Nodes { internal };
        for (arguments, want) in [
            (vec![], nodes(false)),
            (vec!["--report-node-internal-ip-address"], nodes(true)),
            (vec!["--publish-service=a/b"], AddressSource::Service(ObjectKey::new("a", "b"))),
            (
                vec!["--publish-status-address=1.1.0.0, lb.example", "--report-node-internal-ip-address"],
                AddressSource::Fixed(fixed("1.1.0.0,lb.example").0),
            ),
        ] {
            let settings = settings(&arguments, &POD).unwrap();
            assert_eq!(settings.status.unwrap().source, want, "{arguments:?}");
        }
    }

    #[test]
    fn the_election_is_of_the_pod_and_its_namespace() {
        let given = settings(&["--election-id=x", "--election-ttl=1m"], &POD).unwrap().election.unwrap();
        let [namespace, name, holder] = ["ingress-nginx", "x", "gate-1"].map(str::to_owned);
        assert_eq!(given, LeaseConfig { namespace, name, holder, ttl: Duration::from_secs(60) });
        let (one, two) = (settings(&[], &[]).unwrap(), settings(&[], &[]).unwrap());
        assert_eq!(one.status.unwrap().pod, None);
        let (one, two) = (one.election.unwrap(), two.election.unwrap());
        assert_eq!((one.namespace.as_str(), one.name.as_str()), ("of-kubeconfig", "ingress-controller-leader"));
        assert_ne!(one.holder, two.holder, "nobody is taken for another");
    }

    #[test]
    fn status_is_written_unless_a_flag_says_otherwise() {
        for (arguments, status, election) in [
            (vec![], Some((true, 60)), true),
            (vec!["--update-status-on-shutdown=false", "--status-update-interval=600"], Some((false, 600)), true),
            (vec!["--status-update-interval=1"], Some((true, 5)), true),
            (vec!["--status-update-interval=-7"], Some((true, 5)), true),
            (vec!["--update-status=false"], None, true),
            (vec!["--disable-leader-election"], None, false),
        ] {
            let settings = settings(&arguments, &POD).unwrap();
            let written = settings.status.map(|status| (status.clear_at_end, status.interval.as_secs()));
            assert_eq!((written, settings.election.is_some()), (status, election), "{arguments:?}");
        }
    }

    #[test]
    fn events_are_about_the_config_maps_that_flags_name() {
        let given =
            settings(&["--configmap=a/b", "--udp-services-configmap=a/udp", "--disable-sync-events"], &POD).unwrap();
        assert_eq!(given.config_maps, [ObjectKey::new("a", "b"), ObjectKey::new("a", "udp")]);
        assert_eq!((given.sync_events, given.pod), (false, Some(ObjectKey::new("ingress-nginx", "gate-1"))));
        let plain = settings(&[], &[]).unwrap();
        assert_eq!((plain.config_maps, plain.sync_events, plain.pod), (vec![], true, None));
    }

    #[test]
    fn values_that_no_election_can_be_held_with_are_refused() {
        for argument in ["--election-ttl=0s", "--election-ttl=900ms", "--election-ttl=-30s", "--election-id="] {
            assert!(settings(&[argument], &POD).is_err(), "{argument}");
        }
    }
}
