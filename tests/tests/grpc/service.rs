//! A gRPC service served by tonic, written out instead of generated, and a client for it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http::uri::PathAndQuery;
use portcullis_tests::HostCertificate;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tonic::body::Body;
use tonic::metadata::{Ascii, Binary, MetadataMap, MetadataValue};
use tonic::server::Grpc;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

/// The message of all methods.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Note {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
    #[prost(uint32, tag = "2")]
    pub(crate) count: u32,
}

impl Note {
    pub(crate) fn new(text: impl Into<String>, count: u32) -> Self {
        Self { text: text.into(), count }
    }
}

/// A server of the service.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    given_up: Receiver<Option<String>>,
}

impl Backend {
    /// In the clear, or over TLS.
    pub(crate) async fn start(tls: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, given_up) = channel(64);
        let mut server = Server::builder();
        if tls {
            let own = HostCertificate::new("backend.example");
            let identity = Identity::from_pem(own.certificate(), own.key());
            server = server.tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
        }
        let service = service_fn(move |request| serve(tell.clone(), request));
        tokio::spawn(server.serve_with_incoming(service, TcpIncoming::from(listener)));
        Self { address, given_up }
    }

    /// Waits until a call of `Hang` is cancelled; its `grpc-timeout`.
    pub(crate) async fn given_up(&mut self) -> Option<String> {
        let given_up = tokio::time::timeout(Duration::from_secs(5), self.given_up.recv()).await;
        given_up.expect("a call was cancelled").expect("a server")
    }
}

async fn serve(tell: Sender<Option<String>>, request: http::Request<Body>) -> Result<http::Response<Body>, Infallible> {
    let mut grpc = Grpc::new(ProstCodec::<Note, Note>::default());
    Ok(match request.uri().path() {
        "/echo.Echo/Unary" => grpc.unary(service_fn(unary), request).await,
        "/echo.Echo/Fail" => grpc.unary(service_fn(fail), request).await,
        "/echo.Echo/Collect" => grpc.client_streaming(service_fn(collect), request).await,
        "/echo.Echo/Expand" => grpc.server_streaming(service_fn(expand), request).await,
        "/echo.Echo/Chat" => grpc.streaming(service_fn(chat), request).await,
        "/echo.Echo/Hang" => grpc.server_streaming(service_fn(move |call| hang(tell.clone(), call)), request).await,
        _ => Status::unimplemented("no such method").into_http(),
    })
}

/// Sends back the note and what came with it in `x-echo` and `x-echo-bin`.
async fn unary(request: Request<Note>) -> Result<Response<Note>, Status> {
    let (metadata, _, note) = request.into_parts();
    let mut response = Response::new(note);
    if let (Some(text), Some(octets)) = (metadata.get("x-echo"), metadata.get_bin("x-echo-bin")) {
        response.metadata_mut().insert("x-echo", text.clone());
        response.metadata_mut().insert_bin("x-echo-bin", octets.clone());
    }
    Ok(response)
}

/// Fails without a message.
async fn fail(_: Request<Note>) -> Result<Response<Note>, Status> {
    Err(failure())
}

/// A status with everything a status can have.
pub(crate) fn failure() -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert("x-reason", MetadataValue::<Ascii>::from_static("too long"));
    metadata.insert_bin("x-reason-bin", MetadataValue::<Binary>::from_bytes(&[0, 255, 7]));
    let details = Bytes::from_static(&[8, 3, 18, 0, 255]);
    Status::with_details_and_metadata(Code::InvalidArgument, "nein: \u{e4} 100 %", details, metadata)
}

/// Counts notes and their octets.
async fn collect(request: Request<Streaming<Note>>) -> Result<Response<Note>, Status> {
    let add = |(notes, octets), note: Note| async move { Ok((notes + 1, octets + note.text.len())) };
    let (notes, octets) = request.into_inner().try_fold((0, 0), add).await?;
    Ok(Response::new(Note::new(octets.to_string(), notes)))
}

type Notes = Pin<Box<dyn Stream<Item = Result<Note, Status>> + Send>>;

/// As many notes as asked for; then it fails, where the text is `fail`.
async fn expand(request: Request<Note>) -> Result<Response<Notes>, Status> {
    let Note { text, count } = request.into_inner();
    let end = (text == "fail").then(|| Err(failure()));
    let notes = stream::iter(0..count).map(move |number| Ok(Note::new(text.clone(), number)));
    Ok(Response::new(Box::pin(notes.chain(stream::iter(end)))))
}

/// Answers each note as it comes.
async fn chat(request: Request<Streaming<Note>>) -> Result<Response<Notes>, Status> {
    let answers = request.into_inner().map_ok(|note| Note::new(note.text.to_uppercase(), note.count + 1));
    Ok(Response::new(Box::pin(answers)))
}

/// One note and then nothing, until it is cancelled, which is told.
async fn hang(tell: Sender<Option<String>>, request: Request<Note>) -> Result<Response<Notes>, Status> {
    let timeout = request.metadata().get("grpc-timeout").map(|timeout| timeout.to_str().unwrap().to_owned());
    let guard = GivenUp { tell, timeout };
    let silence = stream::once(async move {
        let _guard = guard;
        std::future::pending().await
    });
    Ok(Response::new(Box::pin(stream::iter([Ok(Note::new("wait", 0))]).chain(silence))))
}

struct GivenUp {
    tell: Sender<Option<String>>,
    timeout: Option<String>,
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        // Nobody listens once the test is over.
        self.tell.try_send(self.timeout.take()).ok();
    }
}

/// A client of the service.
#[derive(Clone)]
pub(crate) struct Client(tonic::client::Grpc<Channel>);

impl Client {
    pub(crate) fn new(channel: Channel) -> Self {
        Self(tonic::client::Grpc::new(channel))
    }

    pub(crate) async fn unary(&mut self, method: &str, request: Request<Note>) -> Result<Response<Note>, Status> {
        self.ready().await?;
        self.0.unary(request, path(method), ProstCodec::default()).await
    }

    pub(crate) async fn collect(&mut self, notes: impl Stream<Item = Note> + Send + 'static) -> Result<Note, Status> {
        self.ready().await?;
        let response = self.0.client_streaming(Request::new(notes), path("Collect"), ProstCodec::default()).await?;
        Ok(response.into_inner())
    }

    pub(crate) async fn expand(&mut self, method: &str, request: Request<Note>) -> Result<Streaming<Note>, Status> {
        self.ready().await?;
        let response = self.0.server_streaming(request, path(method), ProstCodec::default()).await?;
        Ok(response.into_inner())
    }

    pub(crate) async fn chat(
        &mut self,
        notes: impl Stream<Item = Note> + Send + 'static,
    ) -> Result<Streaming<Note>, Status> {
        self.ready().await?;
        let response = self.0.streaming(Request::new(notes), path("Chat"), ProstCodec::default()).await?;
        Ok(response.into_inner())
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.0.ready().await.map_err(|error| Status::unknown(error.to_string()))
    }
}

fn path(method: &str) -> PathAndQuery {
    format!("/echo.Echo/{method}").parse().unwrap()
}
