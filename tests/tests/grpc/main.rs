//! gRPC end to end, with tonic at both ends: in the clear and over TLS, on either side of the program.

mod service;

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use portcullis_tests::manifests::{annotated_ingress, joined, service, with_tls};
use portcullis_tests::{HostCertificate, Instance, Start};
use service::{Backend, Client, Note, failure};
use tokio::sync::mpsc;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use tonic::{Code, Request, Status};

const HOST: &str = "grpc.example";

#[test]
fn a_unary_call_carries_its_message_and_metadata_both_ways() {
    run(async |mut client, _| {
        for text in [String::new(), "hello".to_owned(), "x".repeat(100_000), "y".repeat(3 << 20)] {
            let mut request = Request::new(Note::new(text.clone(), 7));
            request.metadata_mut().insert("x-echo", "seen".parse().unwrap());
            request.metadata_mut().insert_bin("x-echo-bin", MetadataValue::from_bytes(&[0, 1, 254, 255]));
            let response = client.unary("Unary", request).await.unwrap();
            assert_eq!(response.metadata().get("x-echo").unwrap(), "seen");
            assert_eq!(&*response.metadata().get_bin("x-echo-bin").unwrap().to_bytes().unwrap(), [0, 1, 254, 255]);
            assert_eq!(response.into_inner(), Note::new(text, 7));
        }
        let missing = client.unary("Missing", Request::new(Note::default())).await.unwrap_err();
        assert_eq!((missing.code(), missing.message()), (Code::Unimplemented, "no such method"));
    });
}

#[test]
fn streams_pass_in_either_direction() {
    run(async |mut client, _| {
        let notes = stream::iter(0..500).map(|number| Note::new("z".repeat(4096), number));
        assert_eq!(client.collect(notes).await.unwrap(), Note::new((500 * 4096).to_string(), 500));
        assert_eq!(client.collect(stream::empty()).await.unwrap(), Note::new("0", 0));
        let text = "w".repeat(4096);
        let notes = client.expand("Expand", Request::new(Note::new(text.clone(), 500))).await.unwrap();
        let notes: Vec<Note> = notes.try_collect().await.unwrap();
        assert_eq!(notes, (0..500).map(|number| Note::new(text.clone(), number)).collect::<Vec<_>>());
        let mut none = client.expand("Expand", Request::new(Note::default())).await.unwrap();
        assert_eq!(none.message().await.unwrap(), None);
    });
}

#[test]
fn a_dialogue_goes_to_and_fro_before_either_side_ends() {
    run(async |mut client, _| {
        let (say, said) = mpsc::channel(1);
        let said = stream::unfold(said, |mut said| async { said.recv().await.map(|note: Note| (note, said)) });
        say.send(Note::new("first", 0)).await.unwrap();
        let mut answers = client.chat(said).await.unwrap();
        assert_eq!(answers.message().await.unwrap(), Some(Note::new("FIRST", 1)));
        for number in 0..100 {
            say.send(Note::new("next", number)).await.unwrap();
            assert_eq!(answers.message().await.unwrap(), Some(Note::new("NEXT", number + 1)));
        }
        drop(say);
        assert_eq!(answers.message().await.unwrap(), None);
    });
}

#[test]
fn a_status_comes_with_details_and_trailers_before_and_after_messages() {
    run(async |mut client, _| {
        is_failure(&client.unary("Fail", Request::new(Note::default())).await.unwrap_err());
        for count in [0, 2] {
            let mut notes = client.expand("Expand", Request::new(Note::new("fail", count))).await.unwrap();
            for number in 0..count {
                assert_eq!(notes.message().await.unwrap(), Some(Note::new("fail", number)));
            }
            is_failure(&notes.message().await.unwrap_err());
        }
    });
}

#[test]
fn deadlines_and_cancelled_calls_reach_the_backend() {
    run(async |mut client, backend| {
        let mut request = Request::new(Note::default());
        request.set_timeout(Duration::from_millis(400));
        let began = Instant::now();
        let mut notes = client.expand("Hang", request).await.unwrap();
        assert_eq!(notes.message().await.unwrap(), Some(Note::new("wait", 0)));
        drop(notes);
        let timeout = backend.given_up().await;
        assert_eq!(timeout.as_deref(), Some("400000u"), "the deadline is passed on");
        assert!(began.elapsed() < Duration::from_secs(3));
        // One without a deadline ends when the client lets go.
        let mut notes = client.expand("Hang", Request::new(Note::default())).await.unwrap();
        assert_eq!(notes.message().await.unwrap(), Some(Note::new("wait", 0)));
        drop(notes);
        assert_eq!(backend.given_up().await, None);
        // The channel goes on.
        assert_eq!(client.unary("Unary", Request::new(Note::new("on", 1))).await.unwrap().into_inner().text, "on");
    });
}

#[test]
fn many_calls_at_once_do_not_mix() {
    run(async |client, _| {
        let calls = (0..100).map(|number| {
            let mut client = client.clone();
            async move {
                for round in 0..5 {
                    let note = Note::new(format!("{number} {round} ").repeat(200), number);
                    assert_eq!(client.unary("Unary", Request::new(note.clone())).await.unwrap().into_inner(), note);
                    let notes = client.expand("Expand", Request::new(Note::new(number.to_string(), 20))).await.unwrap();
                    let notes: Vec<Note> = notes.try_collect().await.unwrap();
                    assert!(notes.len() == 20 && notes.iter().all(|note| note.text == number.to_string()));
                }
            }
        });
        futures_util::future::join_all(calls).await;
    });
}

#[test]
fn a_backend_that_is_not_there_is_unavailable() {
    run_with(&[], async |mut client| {
        let status = client.unary("Unary", Request::new(Note::default())).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    });
}

fn is_failure(status: &Status) {
    let want = failure();
    assert_eq!((status.code(), status.message(), status.details()), (want.code(), want.message(), want.details()));
    let metadata = status.metadata();
    assert_eq!(metadata.get("x-reason").unwrap(), "too long");
    assert_eq!(&*metadata.get_bin("x-reason-bin").unwrap().to_bytes().unwrap(), [0, 255, 7]);
}

/// Runs a test in all four ways: TLS or none, before the program and behind it.
fn run(test: impl AsyncFn(Client, &mut Backend)) {
    for (protocol, over_tls) in [("GRPC", false), ("GRPC", true), ("GRPCS", false), ("GRPCS", true)] {
        block_on(async {
            let mut backend = Backend::start(protocol == "GRPCS").await;
            let (instance, trust) = site(protocol, &[backend.address]);
            let client = Client::new(channel(&instance, over_tls.then_some(&trust)).await);
            let testing = test(client, &mut backend);
            tokio::time::timeout(Duration::from_secs(60), testing).await.expect("done in a minute");
            instance
        });
    }
}

/// Runs a test with these endpoints.
fn run_with(endpoints: &[std::net::SocketAddr], test: impl AsyncFn(Client)) {
    block_on(async {
        let (instance, _) = site("GRPC", endpoints);
        test(Client::new(channel(&instance, None).await)).await;
        instance
    });
}

/// The program must end well once nobody is connected any more.
fn block_on(test: impl Future<Output = Instance>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let instance = runtime.block_on(test);
    drop(runtime);
    instance.end();
}

fn site(protocol: &str, endpoints: &[std::net::SocketAddr]) -> (Instance, HostCertificate) {
    let trust = HostCertificate::new(HOST);
    let annotations = [("backend-protocol", protocol), ("ssl-redirect", "false"), ("proxy-body-size", "0")];
    let ingress = with_tls(&annotated_ingress("grpc", HOST, "/", "grpc", &annotations), HOST, "tls");
    let all = joined(&[service("grpc", endpoints), ingress, trust.secret("tls")]);
    (Start::new().file("m.yaml", &all).serve(), trust)
}

/// With prior knowledge, or over TLS where there is a certificate to trust.
async fn channel(instance: &Instance, trust: Option<&HostCertificate>) -> Channel {
    let (scheme, address) = if trust.is_some() { ("https", instance.https) } else { ("http", instance.http) };
    let endpoint = Channel::from_shared(format!("{scheme}://{address}")).unwrap();
    let endpoint = endpoint.origin(format!("{scheme}://{HOST}").parse().unwrap());
    let endpoint = match trust {
        None => endpoint,
        Some(trust) => {
            let certificate = Certificate::from_pem(trust.certificate());
            endpoint.tls_config(ClientTlsConfig::new().ca_certificate(certificate).domain_name(HOST)).unwrap()
        }
    };
    endpoint.connect().await.unwrap()
}
