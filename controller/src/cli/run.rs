//! `portcullis run`: in a cluster, fed by its API server.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use portcullis::api_server::{self, Access, Contact};
use portcullis::duties::Duties;
use portcullis::source::Inbox;
use portcullis::source::cluster::{ClusterSource, Scope};
use portcullis::{instance, reconcile};

use super::cluster_settings::ClusterSettings;
use super::flags::{ClusterFlags, FlagSet, UsageError, namespaced_name};
use super::output;
use super::serve;
use super::settings::Settings;
use super::wait_shutdown;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    flags: ClusterFlags,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let flags = &arguments.flags.0;
    if flags.is_on("version") {
        output::print(concat!("portcullis ", env!("CARGO_PKG_VERSION"), "\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let settings = Settings::resolve(flags)?;
    serve::start_log(flags);
    let runtime = instance::control_runtime()?;
    let contact = Arc::new(Contact::default());
    let client = runtime.block_on(api_server::client(&access(flags), contact.clone()))?;
    let cluster = ClusterSettings::resolve(flags, &client)?;
    let (source, inbox) =
        ClusterSource::start(&client, &contact, &scope(flags)?, &settings.translation, runtime.handle());
    let successor = cluster.successor(&client);
    let duties = Duties::new(cluster.duties(client.clone(), &source));
    let inbox: Arc<dyn Inbox> = inbox;
    let input = reconcile::Input {
        source: Box::new(source),
        options: settings.translation.clone(),
        findings: flags.findings(),
        dns: settings.dns.clone(),
    };
    let mut config = settings.instance(inbox.clone());
    let webhook = settings.webhook.as_ref();
    if let Some((webhook, keeper)) = webhook.and_then(|webhook| webhook.with_own(&client, duties.leadership(), inbox)) {
        config.webhook = Some(webhook);
        runtime.spawn(keeper.run());
    }
    let config = instance::Config { contact: Some(contact), duties: Some(duties), successor, ..config };
    instance::run(runtime, config, input, serve::announce)?;
    wait_shutdown::tell();
    Ok(ExitCode::SUCCESS)
}

fn access(flags: &FlagSet) -> Access {
    Access {
        kubeconfig: given(flags, "kubeconfig").map(Into::into),
        host: given(flags, "apiserver-host"),
        authority: given(flags, "certificate-authority").map(Into::into),
    }
}

fn scope(flags: &FlagSet) -> Result<Scope, UsageError> {
    let config_maps = ["configmap", "tcp-services-configmap", "udp-services-configmap"];
    let config_maps = config_maps.into_iter().map(|name| flags.read_some(name, namespaced_name));
    let config_maps: Result<Vec<_>, UsageError> = config_maps.collect();
    Ok(Scope {
        namespace: given(flags, "watch-namespace"),
        by_labels: given(flags, "watch-namespace-selector").is_some(),
        config_maps: config_maps?.into_iter().flatten().collect(),
    })
}

fn given(flags: &FlagSet, name: &str) -> Option<String> {
    Some(flags.text(name)).filter(|text| !text.is_empty()).map(str::to_owned)
}
