//! Constant load over HTTP/2 and TLS, as a client that does what GOAWAY says and sends nothing twice.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{SendRequest, handshake};
use http::Request;
use portcullis_tests::HostCertificate;
use portcullis_tests::cluster::Report;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, timeout};
use tokio_rustls::TlsConnector;

/// How long an answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Between two requests.
const PACE: Duration = Duration::from_millis(40);

/// One request after the other, until it is asked for its report.
pub(crate) struct Http2 {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Report>,
}

struct Client {
    address: SocketAddr,
    host: String,
    path: String,
    trust: Arc<ClientConfig>,
}

impl Http2 {
    /// Begins; on a connection that is kept, or on a new one each time.
    pub(crate) fn start(address: SocketAddr, host: &str, path: &str, trusted: &HostCertificate, keep: bool) -> Self {
        let trust = trusted.client(&[b"h2"]);
        let client = Client { address, host: host.to_owned(), path: path.to_owned(), trust };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(client.run(keep, &stopped))
        });
        Self { stop, thread }
    }

    /// Ends it.
    pub(crate) fn finish(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut report = self.thread.join().expect("the load ends well");
        report.times.sort();
        report
    }
}

impl Client {
    async fn run(&self, keep: bool, stop: &AtomicBool) -> Report {
        let (mut report, mut kept, mut pace) = (Report::default(), None, interval(PACE));
        while !stop.load(Ordering::Relaxed) {
            pace.tick().await;
            let begin = Instant::now();
            let result = timeout(TIMEOUT, self.request(&mut kept)).await.unwrap_or_else(|late| Err(late.into()));
            report.add(result, begin.elapsed());
            kept = kept.filter(|_| keep);
        }
        report
    }

    /// The status of one request; an error leaves no connection behind.
    async fn request(&self, kept: &mut Option<SendRequest<Bytes>>) -> io::Result<u16> {
        let mut sender = match kept.take() {
            Some(sender) => match sender.ready().await {
                Ok(sender) => sender,
                // The next request goes to another one; any other end comes without warning.
                Err(error) if error.is_go_away() => self.open().await?,
                Err(error) => return Err(io::Error::other(error)),
            },
            None => self.open().await?,
        };
        let request = Request::get(format!("https://{}{}", self.host, self.path)).body(()).map_err(io::Error::other)?;
        let (response, _) = sender.send_request(request, true).map_err(io::Error::other)?;
        let (head, mut body) = response.await.map_err(io::Error::other)?.into_parts();
        while let Some(data) = body.data().await {
            let size = data.map_err(io::Error::other)?.len();
            body.flow_control().release_capacity(size).map_err(io::Error::other)?;
        }
        *kept = Some(sender);
        Ok(head.status.as_u16())
    }

    async fn open(&self) -> io::Result<SendRequest<Bytes>> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(self.trust.clone()).connect(name, stream).await?;
        let (sender, connection) = handshake(stream).await.map_err(io::Error::other)?;
        // Requests that are under way have the error, too.
        tokio::spawn(async move { drop(connection.await) });
        sender.ready().await.map_err(io::Error::other)
    }
}
