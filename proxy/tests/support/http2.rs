//! Both ends of HTTP/2, frame by frame: an origin that answers as told, and a client.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream, client, server};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

/// An origin that remembers the heads it received.
pub(crate) struct Http2Origin {
    pub(crate) address: SocketAddr,
    heads: Heads,
    resets: Arc<Mutex<Vec<Reason>>>,
}

/// One request as an origin has it, with the number of its connection and of its stream there, from 0.
pub(crate) struct Call {
    pub(crate) connection: usize,
    pub(crate) stream: usize,
    pub(crate) head: Request<()>,
    pub(crate) body: RecvStream,
    pub(crate) respond: SendResponse<Bytes>,
    resets: Arc<Mutex<Vec<Reason>>>,
}

/// What an origin does with a connection between requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum After {
    /// Goes on.
    GoOn,
    /// Says GOAWAY, and finishes what was begun.
    GoAway,
}

impl Http2Origin {
    /// Does with each request what `serve` does, in a task of its own.
    pub(crate) fn serving<F: Future<Output = ()> + 'static>(
        serve: impl Fn(Call) -> F + Clone + Send + 'static,
    ) -> Self {
        Self::start(server::Builder::new(), None, |_| After::GoOn, serve)
    }

    pub(crate) fn start<F: Future<Output = ()> + 'static>(
        builder: Builder,
        tls: Option<Arc<rustls::ServerConfig>>,
        after: impl Fn(usize) -> After + Clone + Send + 'static,
        serve: impl Fn(Call) -> F + Clone + Send + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, resets) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (all, reset) = (Arc::clone(&heads), Arc::clone(&resets));
        std::thread::spawn(move || {
            let runtime = super::runtime();
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                for number in 0.. {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (builder, tls, after, serve) = (builder.clone(), tls.clone(), after.clone(), serve.clone());
                    let (all, reset) = (Arc::clone(&all), Arc::clone(&reset));
                    tokio::task::spawn_local(async move {
                        let log = (all, reset);
                        match tls {
                            None => serve_connection(number, &builder, stream, &after, &serve, log).await,
                            Some(tls) => {
                                let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else { return };
                                serve_connection(number, &builder, stream, &after, &serve, log).await;
                            }
                        }
                    });
                }
            });
        });
        Self { address, heads, resets }
    }

    /// The heads so far, each with the number of its connection.
    pub(crate) fn heads(&self) -> Vec<(usize, Request<()>)> {
        let copy = |(connection, head): &(usize, Request<()>)| (*connection, copied(head));
        self.heads.lock().unwrap().iter().map(copy).collect()
    }

    /// With which codes the proxy reset streams, as far as calls looked for it.
    pub(crate) fn resets(&self) -> Vec<Reason> {
        self.resets.lock().unwrap().clone()
    }
}

type Heads = Arc<Mutex<Vec<(usize, Request<()>)>>>;
type Logs = (Heads, Arc<Mutex<Vec<Reason>>>);

async fn serve_connection<F: Future<Output = ()> + 'static>(
    number: usize,
    builder: &Builder,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    after: &impl Fn(usize) -> After,
    serve: &impl Fn(Call) -> F,
    (heads, resets): Logs,
) {
    let Ok(mut connection): Result<Connection<_, Bytes>, _> = builder.handshake(stream).await else { return };
    let mut streams = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (parts, body) = request.into_parts();
        let head = Request::from_parts(parts, ());
        heads.lock().unwrap().push((number, copied(&head)));
        let call = Call { connection: number, stream: streams, head, body, respond, resets: Arc::clone(&resets) };
        tokio::task::spawn_local(serve(call));
        if after(streams) == After::GoAway {
            connection.graceful_shutdown();
        }
        streams += 1;
    }
}

fn copied(head: &Request<()>) -> Request<()> {
    let mut copy = Request::new(());
    *copy.method_mut() = head.method().clone();
    *copy.uri_mut() = head.uri().clone();
    *copy.headers_mut() = head.headers().clone();
    copy
}

impl Call {
    /// Answers as a gRPC server does: 200, these messages, then these trailers.
    pub(crate) async fn answer(mut self, messages: &[&'static str], trailers: &[(&'static str, &str)]) {
        let mut stream = self.begin();
        for message in messages {
            stream.send_data(Bytes::from_static(message.as_bytes()), false).unwrap();
        }
        stream.send_trailers(fields(trailers)).unwrap();
    }

    /// Sends the head of a response that goes on.
    pub(crate) fn begin(&mut self) -> SendStream<Bytes> {
        self.respond.send_response(grpc_head(), false).unwrap()
    }

    /// Sends a response without a body.
    pub(crate) fn head_only(mut self, extra: &[(&'static str, &str)]) {
        let mut head = grpc_head();
        head.headers_mut().extend(fields(extra));
        self.respond.send_response(head, true).unwrap();
    }

    /// All of the request body, and its trailers.
    pub(crate) async fn read(&mut self) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
        read(&mut self.body).await
    }

    /// Waits for a reset of the stream by the proxy.
    pub(crate) async fn wait_for_reset(mut self, stream: &mut SendStream<Bytes>) {
        let reset = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
        drop(self.respond.send_informational(Response::new(())));
        self.resets.lock().unwrap().push(reset.unwrap());
    }
}

fn grpc_head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).unwrap()
}

/// Fields written short.
pub(crate) fn fields(list: &[(&'static str, &str)]) -> HeaderMap {
    list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

/// All of a body, and its trailers.
pub(crate) async fn read(body: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut octets = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        octets.extend_from_slice(&piece);
    }
    Ok((octets, body.trailers().await?))
}

/// A client with prior knowledge.
pub(crate) struct Http2Client(client::SendRequest<Bytes>);

impl Http2Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(tokio::net::TcpStream::connect(address).await.unwrap()).await
    }

    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + 'static) -> Self {
        // One stream that is not read takes nothing away from the others.
        let mut builder = client::Builder::new();
        builder.initial_connection_window_size(4 * 1024 * 1024);
        let (sender, connection) = builder.handshake(stream).await.unwrap();
        tokio::task::spawn_local(async move { drop(connection.await) });
        Self(sender)
    }

    /// Begins a call whose body goes on.
    pub(crate) async fn begin(&mut self, target: &str) -> (client::ResponseFuture, SendStream<Bytes>) {
        let request = Request::post(format!("http://a.example{target}")).header("content-type", "application/grpc");
        let request = request.header("te", "trailers").header("x-custom", "1").body(()).unwrap();
        let mut sender = self.0.clone().ready().await.unwrap();
        sender.send_request(request, false).unwrap()
    }

    /// A call of one message: status, fields, body and trailers.
    pub(crate) async fn call(&mut self, target: &str, message: &'static str) -> Answer {
        let (response, mut stream) = self.begin(target).await;
        stream.send_data(Bytes::from_static(message.as_bytes()), true).unwrap();
        Answer::of(response.await.unwrap()).await
    }
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    /// With trailers, or the code of the reset that broke it off.
    pub(crate) body: Result<(String, Option<HeaderMap>), Option<Reason>>,
}

impl Answer {
    pub(crate) async fn of(response: Response<RecvStream>) -> Self {
        let (parts, mut body) = response.into_parts();
        let body = read(&mut body).await.map_err(|error| error.reason());
        let body = body.map(|(octets, trailers)| (String::from_utf8(octets).unwrap(), trailers));
        Self { status: parts.status.as_u16(), fields: parts.headers, body }
    }

    /// `grpc-status`, from the trailers or else from the head.
    pub(crate) fn grpc_status(&self) -> Option<String> {
        let trailers = self.body.as_ref().ok().and_then(|(_, trailers)| trailers.as_ref());
        let status = trailers.unwrap_or(&self.fields).get("grpc-status")?;
        Some(status.to_str().unwrap().to_owned())
    }
}
