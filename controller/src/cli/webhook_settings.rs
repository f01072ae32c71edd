//! From flags to the admission webhook: where it answers and where its certificate comes from.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use kube::Client;
use portcullis::admission::own_ca::{ApiStore, Keeper, Names};
use portcullis::admission::{Config, Source};
use portcullis::leader::Leadership;
use portcullis::source::Inbox;

use super::flags::{FlagSet, Place, UsageError, namespaced_name};

const CERTIFICATE: &str = "validating-webhook-certificate";
const KEY: &str = "validating-webhook-key";
const SECRET: &str = "validating-webhook-secret";
const CONFIGURATION: &str = "validating-webhook-configuration";

/// What flags decide, as plain values.
#[derive(Clone, Debug)]
pub(super) struct WebhookSettings {
    addresses: Vec<SocketAddr>,
    certificate: CertificateFrom,
}

#[derive(Clone, Debug)]
enum CertificateFrom {
    Files(Source),
    /// The controller keeps it in a cluster.
    Own(Names),
}

impl WebhookSettings {
    /// None without `--validating-webhook`.
    ///
    /// # Errors
    ///
    /// Where a value cannot be used, or there is no word of a certificate.
    pub(super) fn read(flags: &FlagSet) -> Result<Option<Self>, UsageError> {
        let Some(addresses) = flags.read_some("validating-webhook", listen_addresses)? else { return Ok(None) };
        Ok(Some(Self { addresses, certificate: certificate(flags)? }))
    }

    /// What the running program takes of it where the certificate is in files.
    pub(super) fn with_files(&self) -> Option<Config> {
        let CertificateFrom::Files(certificate) = &self.certificate else { return None };
        Some(Config { addresses: self.addresses.clone(), certificate: certificate.clone() })
    }

    /// The same where the controller keeps the certificate itself, and what keeps it.
    pub(super) fn with_own(
        &self,
        client: &Client,
        leadership: Leadership,
        inbox: Arc<dyn Inbox>,
    ) -> Option<(Config, Keeper<ApiStore>)> {
        let CertificateFrom::Own(names) = &self.certificate else { return None };
        let store = ApiStore::new(client, &names.secret, &names.configuration);
        let keeper = Keeper::new(store, names.clone(), leadership, inbox);
        Some((Config { addresses: self.addresses.clone(), certificate: Source::Own(keeper.kept()) }, keeper))
    }
}

/// Files where they are given.
fn certificate(flags: &FlagSet) -> Result<CertificateFrom, UsageError> {
    let needs = |one: &str| UsageError(format!("--validating-webhook needs --{one}"));
    let (certificate, key) = (flags.text(CERTIFICATE), flags.text(KEY));
    let secret = flags.read_some(SECRET, namespaced_name)?;
    let configuration = flags.text(CONFIGURATION);
    match (certificate, key, secret) {
        ("", "", Some(_)) if flags.place() == Place::Cluster && configuration.is_empty() => Err(needs(CONFIGURATION)),
        ("", "", Some(secret)) if flags.place() == Place::Cluster => {
            Ok(CertificateFrom::Own(Names { secret, configuration: configuration.to_owned() }))
        }
        ("", "", None) if !configuration.is_empty() && flags.place() == Place::Cluster => Err(needs(SECRET)),
        ("", ..) => Err(needs(CERTIFICATE)),
        (_, "", _) => Err(needs(KEY)),
        _ => Ok(CertificateFrom::Files(Source::Files { certificate: certificate.into(), key: key.into() })),
    }
}

/// Addresses to try in turn: `IP:PORT`, or `:PORT` for every address, of IPv4 alone where there is no IPv6.
fn listen_addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    let every = |port: u16| vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()];
    let addresses = match text.strip_prefix(':') {
        Some(port) => port.parse().map(every).ok(),
        None => text.parse().map(|address| vec![address]).ok(),
    };
    addresses.ok_or_else(|| "expected :PORT or IP:PORT, such as :8443".to_owned())
}

#[cfg(test)]
mod tests {
    use portcullis_translate::ObjectKey;

    use super::super::flags::ClusterFlags;
    use super::*;

    #[derive(clap::Parser)]
    struct Run {
        #[command(flatten)]
        flags: ClusterFlags,
    }

    #[derive(clap::Parser)]
    struct Serve {
        #[command(flatten)]
        flags: FlagSet,
    }

    fn flags(place: Place, arguments: &[&str]) -> FlagSet {
        use clap::Parser;
        let line = ["portcullis", "--validating-webhook=:8443"].iter().chain(arguments);
        match place {
            Place::Cluster => Run::parse_from(line).flags.0,
            Place::Files => Serve::parse_from(line).flags,
        }
    }

    const FILES: [&str; 2] = ["--validating-webhook-certificate=/c", "--validating-webhook-key=/k"];
    const OWN: [&str; 2] = ["--validating-webhook-secret=n/s", "--validating-webhook-configuration=w"];

    #[test]
    fn files_win_over_a_certificate_of_our_own_which_only_a_cluster_can_keep() {
        for (place, arguments, want) in [
            (Place::Cluster, FILES.to_vec(), Ok(true)),
            (Place::Cluster, OWN.to_vec(), Ok(false)),
            (Place::Cluster, [FILES, OWN].concat(), Ok(true)),
            (Place::Cluster, vec![FILES[0]], Err(KEY)),
            (Place::Cluster, vec![FILES[1], OWN[0], OWN[1]], Err(CERTIFICATE)),
            (Place::Cluster, vec![OWN[0]], Err(CONFIGURATION)),
            (Place::Cluster, vec![OWN[1]], Err(SECRET)),
            (Place::Cluster, vec![], Err(CERTIFICATE)),
            (Place::Files, FILES.to_vec(), Ok(true)),
            (Place::Files, OWN.to_vec(), Err(CERTIFICATE)),
        ] {
            let read = WebhookSettings::read(&flags(place, &arguments));
            match (read, want) {
                (Ok(Some(settings)), Ok(files)) => assert_eq!(settings.with_files().is_some(), files, "{arguments:?}"),
                (Err(UsageError(said)), Err(missing)) => assert!(said.ends_with(missing), "{arguments:?}: {said}"),
                (read, _) => panic!("{arguments:?}: {read:?}"),
            }
        }
    }

    #[test]
    fn the_objects_are_those_of_the_flags() {
        let settings = WebhookSettings::read(&flags(Place::Cluster, &OWN)).unwrap().unwrap();
        let CertificateFrom::Own(names) = settings.certificate else { panic!() };
        assert_eq!(names, Names { secret: ObjectKey::new("n", "s"), configuration: "w".to_owned() });
    }
}
