//! One running program: starts the parts in order, waits for the signal to end, and ends them in order.
//!
//! The start: answer for health, gather the objects, bind every address, publish the first table, accept, tell where.
//! The end: not ready, serve on for the grace period and until another replica is ready (and be ready again meanwhile, where
//! there is no other), clear the status of Ingresses and give up the Lease (in a cluster), stop accepting, let requests
//! end, cut what is left at the deadline. A second signal is the deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portcullis_proxy::access_log;
use portcullis_proxy::server::{self, BindError, RunningServer, ServerConfig};
use portcullis_proxy::table::explain::ListenerPorts;
use portcullis_proxy::upstream::UpstreamRegistry;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::admin::{self, Admin, Pages};
use crate::admission::{self, Webhook};
use crate::api_server::Contact;
use crate::duties::Duties;
use crate::metrics::{Metrics, RequestExport, Traffic};
use crate::open_files;
use crate::process::Started;
use crate::reconcile::{Input, Reconciler, StartError};
use crate::source::Inbox;
use crate::status::Status;
use crate::storage;
use crate::successor::Successor;

/// Threads of the runtime beside the data plane: admin address, name servers, signals.
const CONTROL_THREADS: usize = 2;

/// How long the end of accepting waits for the addresses to be taken out of the status of Ingresses.
const AHEAD: Duration = Duration::from_secs(2);

/// What a program is started with.
#[derive(Debug)]
pub struct Config {
    /// Address for HTTP.
    pub http: SocketAddr,
    /// Address for HTTPS.
    pub https: SocketAddr,
    /// Address of health, metrics and debug pages.
    pub admin: SocketAddr,
    /// Address of health and metrics alone, if there is one.
    pub health: Option<SocketAddr>,
    /// How long to serve on after the signal to end.
    pub grace: Duration,
    /// Labels of all metrics that ingress-nginx has, too.
    pub labels: Vec<(&'static str, String)>,
    /// What is told of requests.
    pub export: RequestExport,
    /// The admission webhook, if there is one.
    pub webhook: Option<admission::Config>,
    /// What is known of the API server, where there is one.
    pub contact: Option<Arc<Contact>>,
    /// The other end of the source.
    pub inbox: Arc<dyn Inbox>,
    /// What there is to do in a cluster beside serving.
    pub duties: Option<Duties>,
    /// Whom the grace period waits for beside its time, where it has any.
    pub successor: Option<Successor>,
}

/// Where requests are answered.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    /// HTTP.
    pub http: SocketAddr,
    /// HTTPS.
    pub https: SocketAddr,
    /// The admin address.
    pub admin: SocketAddr,
    /// That of health and metrics alone, if there is one.
    pub health: Option<SocketAddr>,
    /// That of the admission webhook, if there is one.
    pub webhook: Option<SocketAddr>,
}

/// Why a program does not start or does not end well.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// An address of the data plane cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// An address of health, metrics and debug pages cannot be bound.
    #[error("{flag} {address} cannot be used: {error}")]
    Admin {
        /// Where it comes from.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The first table cannot be built.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The system refuses a thread or a signal handler.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// The runtime of all that is not the data plane.
///
/// # Errors
///
/// When the system refuses a thread.
pub fn control_runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
}

/// Runs until a signal ends it. `announce` is called once, when the first table is served.
///
/// # Errors
///
/// When the program cannot start.
pub fn run(
    runtime: Runtime,
    config: Config,
    input: Input,
    announce: impl FnOnce(&Listening),
) -> Result<(), InstanceError> {
    let done = runtime.block_on(serve(config, input, announce, runtime.handle().clone()));
    // Nobody waits for pages that are still being written.
    runtime.shutdown_background();
    done
}

async fn serve(
    mut config: Config,
    mut input: Input,
    announce: impl FnOnce(&Listening),
    runtime: Handle,
) -> Result<(), InstanceError> {
    let buffers = storage::folder();
    input.findings.extend(storage::finding(&buffers));
    // From here on a signal waits until it is looked at.
    let mut signals = Signals::new()?;
    let (status, registry) = (Arc::new(Status::default()), Arc::new(UpstreamRegistry::default()));
    let traffic = Arc::new(Traffic::default());
    if let Some(contact) = &config.contact {
        status.set_contact(contact.clone());
    }
    let duties = config.duties.take();
    let mut metrics = Metrics::new(status.clone(), &traffic, &config.labels, config.export.clone());
    if let Some(duties) = &duties {
        metrics.add_duties(&config.labels, duties);
    }
    let page = Arc::new(Admin {
        status: status.clone(),
        registry: registry.clone(),
        ports: OnceLock::new(),
        metrics,
        health_path: input.options.health_check_path.clone(),
    });
    let (admin, health) = listen(&config, &page).await?;
    let webhook = bind_webhook(config.webhook.as_ref()).await?;

    let complete = tokio::task::spawn_blocking(move || gather(input));
    let input = tokio::select! {
        input = complete => input.map_err(io::Error::other)?,
        () = signals.next() => None,
    };
    let Some(input) = input else {
        tracing::info!("told to end before all objects were there");
        config.inbox.close();
        return Ok(());
    };
    let open_files = open_files::raise_limit();
    let started = Started::with(input.source.resources(), &input.options);
    tracing::debug!(?open_files, workers = started.workers(), "starting");
    let mut server = ServerConfig::new(vec![config.http], vec![config.https], started.workers());
    server.connections = started.connections(open_files);
    server.request_metrics = config.export.measured.clone();
    server.buffers = buffers;
    let bound = server::bind(server)?;
    let listening = Listening {
        http: bound.http_addresses().first().copied().unwrap_or(config.http),
        https: bound.https_addresses().first().copied().unwrap_or(config.https),
        admin,
        health,
        webhook: webhook.as_ref().and_then(|webhook| webhook.address().ok()),
    };
    page.ports.get_or_init(|| ListenerPorts { http: listening.http.port(), https: listening.https.port() });

    let (mut reconciler, table) = Reconciler::start(input, started, status.clone(), registry, runtime.clone())?;
    if let Some(webhook) = webhook {
        let (asker, reviews) = admission::queue(config.inbox.clone());
        reconciler = reconciler.reviewing(reviews);
        if let Some(findings) = webhook.findings() {
            reconciler = reconciler.reporting(findings);
        }
        tokio::spawn(webhook.serve(asker, status.count_reviews()));
    }
    let running = Arc::new(bound.start(table, access_log::Writer::stdout()?));
    traffic.set(running.clone());
    let duties = duties.map(|duties| duties.start(reconciler.published(), &runtime));
    let reconciling = std::thread::Builder::new().name("reconcile".to_owned()).spawn(move || reconciler.run())?;
    announce(&listening);

    signals.next().await;
    tracing::info!(grace = ?config.grace, "told to end, serving on for the grace period");
    status.stop();
    let (over, grace) = oneshot::channel::<()>();
    let mut duties = duties.map(|duties| tokio::spawn(duties.end(async { drop(grace.await) })));
    tokio::select! {
        () = grace_period(&config, &status) => {}
        () = signals.next() => tracing::info!("told again, the grace period is over"),
    }
    status.stop();
    drop(over);
    if let Some(duties) = &mut duties
        && let Ok(Ok(())) = timeout(AHEAD, duties).await
    {
        tracing::debug!("the duties of the replica have ended");
    }
    config.inbox.close();
    let deadline = status.table().map(|table| table.load().settings().process.shutdown_timeout);
    let ended = drain(&running, deadline.unwrap_or_default(), &mut signals).await;
    if let Some(duties) = duties {
        finish(duties, ended).await;
    }
    if reconciling.join().is_err() {
        tracing::warn!("the loop had ended before");
    }
    Ok(())
}

/// Until nothing new is to be expected any more, as far as can be known.
async fn grace_period(config: &Config, status: &Status) {
    let successor = async {
        match &config.successor {
            // Nodes lead to a Pod that ends only while it is ready and no other one is.
            Some(successor) if !config.grace.is_zero() => successor.wait(|| status.serve_on()).await,
            _ => {}
        }
    };
    tokio::join!(tokio::time::sleep(config.grace), successor);
}

/// Waits for the objects; none if it was told to end first.
fn gather(mut input: Input) -> Option<Input> {
    input.source.wait_complete().then_some(input)
}

/// Answers for health, metrics and debug pages, and says where.
async fn listen(config: &Config, page: &Arc<Admin>) -> Result<(SocketAddr, Option<SocketAddr>), InstanceError> {
    let bind = async |flag, address, pages| {
        let fault = |error| InstanceError::Admin { flag, address, error };
        let listener = TcpListener::bind(address).await.map_err(fault)?;
        let address = listener.local_addr().unwrap_or(address);
        tokio::spawn(admin::serve(listener, pages, page.clone()));
        Ok::<_, InstanceError>(address)
    };
    let admin = bind("--admin-address", config.admin, Pages::All).await?;
    let health = match config.health {
        Some(address) => Some(bind("--healthz-host and --healthz-port", address, Pages::Health).await?),
        None => None,
    };
    Ok((admin, health))
}

/// Takes the address of the webhook, which answers once there is a table.
async fn bind_webhook(config: Option<&admission::Config>) -> Result<Option<Webhook>, InstanceError> {
    let Some(config) = config else { return Ok(None) };
    let address = config.addresses.last().copied().unwrap_or_else(|| ([0, 0, 0, 0], 0).into());
    let fault = |error| InstanceError::Admin { flag: "--validating-webhook", address, error };
    Webhook::bind(config.clone()).await.map(Some).map_err(fault)
}

/// Lets running requests end; a signal makes an end of it. Whether there was none.
async fn drain(running: &RunningServer, deadline: Duration, signals: &mut Signals) -> bool {
    tokio::select! {
        () = running.shutdown(deadline) => {
            tracing::info!("all requests have ended");
            true
        }
        () = signals.next() => {
            tracing::warn!("told again, closing what is open");
            running.shutdown(Duration::ZERO).await;
            false
        }
    }
}

/// Waits for what is still to be written; not where a second signal has told to end at once.
async fn finish(duties: JoinHandle<()>, patiently: bool) {
    if duties.is_finished() {
        return;
    }
    if !patiently {
        duties.abort();
    }
    if duties.await.is_err() {
        tracing::warn!("the status of Ingresses may still have the address of this replica");
    }
}

/// Signals to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
