//! `portcullis explain`: which route serves a request, from manifests or from a running instance.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portcullis::question::{InvalidQuestion, Question};
use portcullis::source::FileSource;
use portcullis_model::Endpoints;
use portcullis_proxy::table::RoutingTable;
use portcullis_proxy::table::explain::{ListenerPorts, explain};
use portcullis_proxy::upstream::UpstreamRegistry;
use portcullis_translate::{Memo, translate};
use tokio::net::TcpStream;

use super::flags::{FlagSet, HiddenFlags, UsageError};
use super::output::{self, Format};
use super::settings;

/// How long a running instance may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The URL of the request, such as `http://shop.example.com/wear`.
    url: String,
    /// Manifest file or folder that is served; can be repeated.
    #[arg(long, value_name = "PATH", required_unless_present = "admin", conflicts_with = "admin")]
    manifests: Vec<PathBuf>,
    /// Admin address of a running instance.
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<SocketAddr>,
    /// A header field of the request, as 'Name: value'; can be repeated.
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// Method of the request.
    #[arg(short = 'X', long)]
    method: Option<String>,
    /// Address the request comes from.
    #[arg(long, value_name = "IP")]
    client: Option<String>,
    /// How the explanation is written.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
    /// Every flag of `serve`: with --manifests, those about class, scope and configuration decide what is served.
    #[command(flatten)]
    flags: HiddenFlags,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let question = Question {
        url: arguments.url.clone(),
        method: arguments.method.clone(),
        headers: arguments.headers.clone(),
        client: arguments.client.clone(),
    };
    let usage = |error: InvalidQuestion| UsageError(error.to_string());
    let text = match arguments.admin {
        Some(admin) => {
            question.request(ListenerPorts::default()).map_err(usage)?;
            ask(admin, &question, arguments.output)?
        }
        None => {
            let flags = &arguments.flags.0;
            let request = question.request(ports(flags)?).map_err(usage)?;
            let explanation = explain(&table(&arguments.manifests, flags)?, &request);
            match arguments.output {
                Format::Text => explanation.to_string(),
                Format::Json => serde_json::to_string_pretty(&explanation)? + "\n",
            }
        }
    };
    output::print(&text);
    Ok(ExitCode::SUCCESS)
}

/// The ports that flags give, else the usual ones, which show in no URL.
fn ports(flags: &FlagSet) -> Result<ListenerPorts, UsageError> {
    let usual = ListenerPorts::default();
    let port = |name, usual| match flags.is_given(name) {
        true => flags.read(name, |text| text.parse::<u16>().map_err(|error| error.to_string())),
        false => Ok(usual),
    };
    Ok(ListenerPorts { http: port("http-port", usual.http)?, https: port("https-port", usual.https)? })
}

/// The table that `serve` would publish. Names of ExternalName Services are not resolved.
fn table(manifests: &[PathBuf], flags: &FlagSet) -> anyhow::Result<RoutingTable> {
    flags.check_together()?;
    let options = settings::translation(flags)?;
    let source = FileSource::read(manifests)?;
    let snapshot = translate(source.resources(), &options, &mut Memo::default()).snapshot;
    let registry = UpstreamRegistry::default();
    let table = RoutingTable::compile(&snapshot, &registry, None);
    for cluster in snapshot.clusters.values() {
        if let Endpoints::Known(endpoints) = &cluster.endpoints {
            registry.set_endpoints(&cluster.id, endpoints);
        }
    }
    Ok(table)
}

/// Asks a running instance.
fn ask(admin: SocketAddr, question: &Question, format: Format) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let path = path(question, format);
    let answer = runtime.block_on(async { tokio::time::timeout(TIMEOUT, get(admin, &path)).await });
    answer.with_context(|| format!("{admin} did not answer in time"))?.with_context(|| format!("asking {admin}"))
}

fn path(question: &Question, format: Format) -> String {
    let Question { url, method, headers, client } = question;
    let encoded = |name: &str, value: &str| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    let mut query = vec![encoded("url", url)];
    query.extend(method.iter().map(|method| encoded("method", method)));
    query.extend(headers.iter().map(|header| encoded("header", header)));
    query.extend(client.iter().map(|client| encoded("client", client)));
    if matches!(format, Format::Text) {
        query.push(encoded("output", "text"));
    }
    format!("/debug/explain?{}", query.join("&"))
}

async fn get(admin: SocketAddr, path: &str) -> anyhow::Result<String> {
    let stream = TcpStream::connect(admin).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = Request::get(path).header(header::HOST, admin.to_string()).body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = String::from_utf8_lossy(&answer.into_body().collect().await?.to_bytes()).into_owned();
    driver.abort();
    if status != StatusCode::OK {
        bail!("{status}: {}", body.trim_end());
    }
    Ok(body)
}
