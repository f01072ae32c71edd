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
    /// There is no such kind.
    Missing,
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
            Mood::Missing => {
                let status = serde_json::json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 404,
                    "message": "the server could not find the requested resource", "reason": "NotFound",
                });
                let answer = Response::builder().status(404).body(Full::from(status.to_string()).boxed());
                Ok(answer.unwrap())
            }
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
        self.follow_kind(Kind::Service, Need::Always)
    }

    fn follow_kind(self: &Arc<Self>, kind: Kind, need: Need) -> Arc<Mailbox> {
        self.follow_beside(&[], kind, need)
    }

    /// Follows a kind where others are waited for, too.
    fn follow_beside(self: &Arc<Self>, others: &[Feed], kind: Kind, need: Need) -> Arc<Mailbox> {
        let server = self.clone();
        let client =
            Client::new(service_fn(move |request: Request<Body>| future::ready(server.answer(&request))), "default");
        let watched = Watched { feed: Feed::of(kind, &Scope::default()), need };
        let mailbox = Arc::new(Mailbox::new(others.iter().chain([&watched.feed]).cloned()));
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

/// Whether serving would begin, as far as this watch matters.
fn holds_nothing_up(mailbox: &Arc<Mailbox>) -> bool {
    let waiting = std::thread::spawn({
        let mailbox = mailbox.clone();
        move || mailbox.wait_complete()
    });
    for _ in 0..200 {
        if waiting.is_finished() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    mailbox.close();
    false
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_installed_is_looked_for_twice_a_minute_and_not_spoken_of() {
    let server = Server::start(Mood::Missing);
    let kind = Kind::ClusterIngressClassParameters;
    let mailbox = server.follow_kind(kind, Need::IfInstalled);
    wait(29).await;
    assert_eq!(server.lists().len(), 1);
    assert!(holds_nothing_up(&mailbox));
    wait(30).await;
    assert_eq!(server.lists().len(), 2);
    assert!(mailbox.faults().is_empty() && mailbox.take().is_empty());
    server.set(Mood::Well);
    wait(30).await;
    assert_eq!(server.lists().len(), 3);
    assert_eq!(mailbox.take()[&Feed::of(kind, &Scope::default())].changes.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn parameters_that_cannot_be_listed_hold_serving_up_for_a_moment_only() {
    for (need, seconds, want) in [
        (Need::IfInstalled, 0, false),
        (Need::IfInstalled, 60, true),
        (Need::IfAllowed, 60, false),
        (Need::Always, 60, false),
    ] {
        let mailbox = Server::start(Mood::Away).follow_kind(Kind::IngressClassParameters, need);
        wait(seconds).await;
        assert_eq!(holds_nothing_up(&mailbox), want, "{need:?} after {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn parameters_are_waited_for_as_long_as_the_server_brings_nothing_at_all() {
    let server = Server::start(Mood::Away);
    let kind = Kind::ClusterIngressClassParameters;
    let parameters = Feed::of(kind, &Scope::default());
    let secrets = Feed::of(Kind::Secret, &Scope::default());
    let mailbox = server.follow_beside(&[services(), secrets], kind, Need::IfInstalled);
    wait(300).await;
    assert!(mailbox.is_waiting_for(&parameters));
    mailbox.replace(&services(), BTreeMap::new());
    wait(31).await;
    assert!(!mailbox.is_waiting_for(&parameters), "it is the only kind that does not come");
}
