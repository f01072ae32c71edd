//! Outages that are too long for a real clock.

use std::convert::Infallible;
use std::future;
use std::sync::Mutex;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tower::{BoxError, service_fn};

use super::super::Scope;
use super::*;

/// How requests are answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mood {
    /// Lists have one Service, watches run without an event.
    Well,
    /// Connections are refused.
    Away,
    /// The head of an answer comes, and no body.
    Stalled,
}

#[derive(Debug)]
struct Server {
    mood: Mutex<Mood>,
    lists: Mutex<Vec<Instant>>,
}

type Answer = Result<Response<BoxBody<Bytes, Infallible>>, BoxError>;

impl Server {
    fn start(mood: Mood) -> Arc<Self> {
        Arc::new(Self { mood: Mutex::new(mood), lists: Mutex::default() })
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn lists(&self) -> Vec<Instant> {
        self.lists.lock().unwrap().clone()
    }

    fn answer(&self, request: &Request<Body>) -> Answer {
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch"));
        if !is_watch {
            self.lists.lock().unwrap().push(Instant::now());
        }
        let silent = || BodyExt::boxed(StreamBody::new(futures_util::stream::pending()));
        match *self.mood.lock().unwrap() {
            Mood::Away => Err("refused".into()),
            Mood::Stalled => Ok(Response::new(silent())),
            Mood::Well if is_watch => Ok(Response::new(silent())),
            Mood::Well => {
                let list = serde_json::json!({
                    "kind": "ServiceList", "apiVersion": "v1", "metadata": { "resourceVersion": "1" },
                    "items": [{ "metadata": { "name": "a", "namespace": "n" }, "spec": {} }],
                });
                Ok(Response::new(Full::from(list.to_string()).boxed()))
            }
        }
    }

    /// Follows its Services.
    fn follow(self: &Arc<Self>) -> Arc<Mailbox> {
        let server = self.clone();
        let client =
            Client::new(service_fn(move |request: Request<Body>| future::ready(server.answer(&request))), "default");
        let watched = Watched { feed: services(), optional: false };
        let mailbox = Arc::new(Mailbox::new([watched.feed.clone()]));
        let secrets = Feed::of(Kind::Secret, &Scope::default());
        let secrets = Secrets::new(secrets, mailbox.clone(), client.clone(), Handle::current());
        let (contact, statuses, references) = (Arc::default(), Arc::default(), Arc::default());
        let shared = Shared { contact, mailbox: mailbox.clone(), statuses, references, secrets: Arc::new(secrets) };
        let api = watched.feed.api(&client);
        tokio::spawn(follow(watched, api, shared));
        mailbox
    }
}

fn services() -> Feed {
    Feed::of(Kind::Service, &Scope::default())
}

async fn wait(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_without_server_are_few_questions_and_one_list_afterwards() {
    let server = Server::start(Mood::Away);
    let mailbox = server.follow();
    wait(600).await;
    let during = server.lists().len();
    assert!((20..=50).contains(&during), "{during}");
    assert_eq!(mailbox.faults().len(), 1);
    server.set(Mood::Well);
    wait(31).await;
    assert_eq!(server.lists().len(), during + 1);
    assert_eq!(mailbox.take()[&services()].changes.len(), 1);
    assert!(mailbox.faults().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_stalls_is_begun_anew_after_half_a_minute() {
    let server = Server::start(Mood::Stalled);
    let mailbox = server.follow();
    wait(29).await;
    assert_eq!(server.lists().len(), 1);
    server.set(Mood::Well);
    wait(3).await;
    assert_eq!(server.lists().len(), 2);
    assert!(mailbox.take()[&services()].is_list);
}
