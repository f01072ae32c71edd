//! Sharing of connections, against endpoints that take them and say nothing.

use std::net::{SocketAddr, TcpListener};

use http::HeaderMap;
use portcullis_model::policy::{Limit, Retry, Timeouts};
use tokio::io::AsyncReadExt;

use super::super::connection::Connection;
use super::super::{Connector, Delivery, Transport, unverified_tls};
use super::*;
use crate::stream::{Meter, Patience};

fn silent() -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    (address, Transport::Http2)
}

fn run(test: impl AsyncFnOnce(Connector)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test(Connector::new(unverified_tls().unwrap())));
}

async fn connect(connector: &Connector, (address, transport): Peer) -> Box<Connection> {
    connector.connect(address, transport, Duration::from_secs(5)).await.unwrap()
}

fn limited(connections: usize) -> UpstreamKeepalive {
    UpstreamKeepalive { connections, ..UpstreamKeepalive::default() }
}

#[test]
fn exchanges_share_a_connection_until_it_is_full() {
    run(async |connector| {
        let peer = silent();
        let mut exchanges = vec![connect(&connector, peer).await];
        assert!(exchanges[0].is_new());
        for _ in 1..STREAMS {
            exchanges.push(connector.open(peer, Instant::now()).unwrap());
            assert!(!exchanges.last().unwrap().is_new());
        }
        assert!(connector.open(peer, Instant::now()).is_none(), "as many as a connection takes");
        assert!(connect(&connector, peer).await.is_new());
        exchanges.pop();
        assert!(connector.open(peer, Instant::now()).is_some());
        assert!(connector.open((peer.0, Transport::Plain), Instant::now()).is_none());
        assert!(connector.open(silent(), Instant::now()).is_none());
    });
}

#[test]
fn idle_connections_are_let_go_and_busy_ones_are_not() {
    run(async |connector| {
        let (busy, idle) = (silent(), silent());
        let _under_way = connect(&connector, busy).await;
        drop(connect(&connector, idle).await);
        connector.sweep(Instant::now());
        assert!(connector.open(idle, Instant::now()).is_some());
        connector.sweep(Instant::now() + UpstreamKeepalive::default().idle);
        assert!(connector.open(idle, Instant::now()).is_none() && connector.open(busy, Instant::now()).is_some());
    });
}

#[test]
fn no_more_idle_connections_are_kept_than_the_settings_say() {
    run(async |connector| {
        let peers = [silent(), silent(), silent()];
        for peer in peers {
            drop(connect(&connector, peer).await);
        }
        connector.follow(limited(2));
        connector.sweep(Instant::now());
        assert_eq!(
            peers.map(|peer| connector.open(peer, Instant::now()).is_some()),
            [false, true, true],
            "the oldest goes"
        );
        connector.follow(limited(0));
        assert!(peers.iter().all(|peer| connector.open(*peer, Instant::now()).is_none()));
        assert!(connect(&connector, peers[0]).await.is_new() && connector.open(peers[0], Instant::now()).is_none());
    });
}

#[test]
fn a_connection_with_many_cancelled_exchanges_takes_no_more() {
    run(async |connector| {
        let peer = silent();
        let _under_way = connect(&connector, peer).await;
        for _ in 0..CANCELS {
            drop(connector.open(peer, Instant::now()).unwrap());
        }
        assert!(connector.open(peer, Instant::now()).is_none());
    });
}

#[test]
fn whoever_waits_for_a_connection_goes_on_when_it_is_not_made() {
    run(async |connector| {
        let refused: SocketAddr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let tries: Vec<_> =
            (0..4).map(|_| connector.connect(refused, Transport::Http2, Duration::from_secs(5))).collect();
        for failed in tries {
            assert!(matches!(failed.await, Err(ProxyError::Connect(_))));
        }
        let (one, other) = tokio::join!(
            connector.connect(refused, Transport::Http2, Duration::from_secs(5)),
            connector.connect(refused, Transport::Http2, Duration::from_secs(5)),
        );
        assert!(one.is_err() && matches!(other, Err(ProxyError::Connect(_))));
        let peer = silent();
        let (one, other) = tokio::join!(connect(&connector, peer), connect(&connector, peer));
        assert!(one.is_new() && !other.is_new());
    });
}

#[test]
fn a_connection_that_nobody_needs_is_closed() {
    run(async |connector| {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = (listener.local_addr().unwrap(), Transport::Http2);
        let connection = connect(&connector, peer).await;
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(connection);
        tokio::task::yield_now().await;
        assert!(connector.open(peer, Instant::now()).is_some(), "kept for the next");
        connector.sweep(Instant::now() + UpstreamKeepalive::default().idle);
        let mut received = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut received));
        read.await.expect("it is closed").unwrap();
        assert!(received.starts_with(b"PRI * HTTP/2.0"));
    });
}

#[test]
fn exchanges_that_begin_are_no_sign_of_the_other_side() {
    run(async |_| {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (here, there) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
        let served = tokio::task::spawn_local(async move {
            let mut http = h2::server::handshake(there.unwrap().0).await.unwrap();
            let mut held = Vec::new();
            while let Some(Ok((request, mut respond))) = http.accept().await {
                if request.uri().path() == "/answered" {
                    respond.send_response(http::Response::new(()), true).unwrap();
                }
                held.push(respond);
            }
        });
        let meter = Meter::new(Patience::Unlimited, Duration::from_secs(9), Duration::from_secs(9));
        let stream = Timed::new(UpstreamStream::Plain(here.unwrap()), Rc::new(meter));
        let (sender, driver) = Builder::new().handshake(stream).await.unwrap();
        let connection = Rc::new(Multiplexed::new(sender, driver));
        for (path, answers) in [("/", false), ("/answered", true), ("/", false)] {
            let read = Limit::from(Duration::from_millis(200));
            let mut delivery = Delivery {
                transport: Transport::Http2,
                http10: false,
                method: http::Method::GET,
                target: http::uri::PathAndQuery::from_static(path),
                headers: HeaderMap::from_iter([(http::header::HOST, http::HeaderValue::from_static("a.example"))]),
                shaped: None,
                sent: None,
                timeouts: Timeouts { read, ..Timeouts::default() },
                retry: Retry::default(),
                largest_head: u32::MAX,
                body: None,
            };
            let mut exchange = Http2Stream::new(&connection);
            let response = exchange.exchange(&mut delivery, false, Instant::now()).await;
            assert_eq!(response.is_ok(), answers, "{path}");
            assert_eq!(connection.activity.heard.take(), answers, "{path}");
        }
        served.abort();
    });
}
