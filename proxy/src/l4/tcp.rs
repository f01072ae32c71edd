//! A connection to a TCP service: who it is from, which endpoint takes it, and the relay between them.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use portcullis_model::{L4Protocol, StreamPort, StreamSettings};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::log::{Record, Status};
use super::proxy_header;
use super::relay::Relay;
use crate::server::{ProxyHeader, Worker, read_proxy_header};
use crate::table::CompiledStream;
use crate::upstream::Choice;

/// How long one endpoint may take to accept a connection, and to take the header of the PROXY protocol.
const CONNECT: Duration = Duration::from_secs(5);

/// Serves a connection that came in on `port` to its end.
pub(crate) async fn serve(worker: Rc<Worker>, client: TcpStream, peer: SocketAddr, port: u16) {
    // In a place of its own, which most of a connection's life does not need.
    if let Some(relay) = Box::pin(begin(worker, client, peer, port)).await {
        relay.await;
    }
}

/// Connects it; none where that cannot be.
async fn begin(worker: Rc<Worker>, mut client: TcpStream, peer: SocketAddr, port: u16) -> Option<Relay> {
    // Without it octets come late, not wrong.
    client.set_nodelay(true).ok();
    let (stream, settings, patience) = {
        let table = worker.table();
        let stream = Arc::clone(table.stream(StreamPort { protocol: L4Protocol::Tcp, port })?);
        let settings = table.settings();
        (stream, settings.stream.clone(), settings.client.proxy_protocol_timeout)
    };
    let server = client.local_addr().ok()?;
    let mut record = Record::new(&worker, &stream, &settings, L4Protocol::Tcp, (peer, server));
    let mut ends = (peer, server);
    if stream.service.accept_proxy {
        match timeout(patience, read_proxy_header(&mut client)).await {
            Ok(Ok(header)) => ends = introduce(&worker, header, ends, &mut record),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                record.status = Status::NoHeader;
                return None;
            }
            // Nobody was there: load balancers look whether a port is open in this way.
            Ok(Err(_)) | Err(_) => {
                record.forget();
                return None;
            }
        }
    }
    let mut upstream = connect(&stream, &settings, &mut record).await?;
    if stream.service.send_proxy {
        let line = proxy_header::line(ends.0, ends.1);
        let written = timeout(CONNECT, upstream.write_all(line.as_bytes())).await;
        if !matches!(written, Ok(Ok(()))) {
            return None;
        }
        record.up.given = line.len() as u64;
    }
    record.status = Status::Passed;
    Some(Relay::new(client, upstream, settings.idle, record))
}

/// Believes a header of a load balancer that is in `proxy-real-ip-cidr`; what another one says is read and does not count.
fn introduce(
    worker: &Worker,
    header: ProxyHeader,
    ends: (SocketAddr, SocketAddr),
    record: &mut Record,
) -> (SocketAddr, SocketAddr) {
    let ProxyHeader::Proxied { source, destination } = header else { return ends };
    record.introduced = Some(source);
    let balancer = ends.0.ip().to_canonical();
    if !worker.table().settings().forwarded.believes(balancer) {
        return ends;
    }
    record.client = source;
    (source, destination)
}

/// A connection to the endpoint whose turn it is, or to the next one where that fails.
async fn connect(stream: &CompiledStream, settings: &StreamSettings, record: &mut Record) -> Option<TcpStream> {
    let began = Instant::now();
    loop {
        let worker = record.worker();
        let endpoint =
            worker.balancer().pick(&Choice::RoundRobin, &stream.upstream, &record.tried, worker.random())?.address;
        if record.tried.contains(&endpoint) {
            return None;
        }
        record.tried.push(endpoint);
        let asked = Instant::now();
        let error = match timeout(CONNECT, TcpStream::connect(endpoint)).await {
            Ok(Ok(connection)) => {
                connection.set_nodelay(true).ok();
                record.connected = Some((asked, asked.elapsed()));
                record.worker().counters().upstream_connections.add(1);
                return Some(connection);
            }
            Ok(Err(error)) => error,
            Err(_elapsed) => io::ErrorKind::TimedOut.into(),
        };
        tracing::debug!(%error, %endpoint, service = %stream.service.name, "endpoint not connected to");
        record.worker().counters().upstream_failures.add(1);
        if !may_try_again(settings, record.tried.len(), began.elapsed()) {
            return None;
        }
    }
}

/// Whether another endpoint is tried after so many, so late (nginx: `proxy_next_upstream` of the stream module).
pub(super) fn may_try_again(settings: &StreamSettings, tried: usize, after: Duration) -> bool {
    let StreamSettings { next_upstream, next_upstream_timeout: limit, next_upstream_tries: tries, .. } = settings;
    *next_upstream && (*tries == 0 || tried < *tries as usize) && (limit.is_zero() || after < *limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_and_time_are_limits_where_they_are_not_zero() {
        let settings = |next_upstream, seconds, next_upstream_tries| StreamSettings {
            next_upstream,
            next_upstream_timeout: Duration::from_secs(seconds),
            next_upstream_tries,
            ..StreamSettings::default()
        };
        for (settings, tried, after, want) in [
            (settings(true, 10, 3), 1, 0, true),
            (settings(true, 10, 3), 2, 9, true),
            (settings(true, 10, 3), 3, 0, false),
            (settings(true, 10, 3), 1, 10, false),
            (settings(true, 0, 3), 1, 1000, true),
            (settings(true, 10, 0), 100, 0, true),
            (settings(true, 10, 1), 1, 0, false),
            (settings(false, 0, 0), 1, 0, false),
        ] {
            assert_eq!(may_try_again(&settings, tried, Duration::from_secs(after)), want, "{settings:?} {tried}");
        }
    }

    fn size_of_output<A, B, C, D, F>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_needs_little_room() {
        assert!(size_of_output(serve) <= 1024, "{} octets", size_of_output(serve));
    }
}
