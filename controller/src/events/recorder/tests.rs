//! What is written, against a small API server in memory.

use serde_json::Value;

use super::super::note::Weight;
use super::super::note::testing::note as new_note;
use super::*;
use crate::api_server::testing::Server;

const EVENTS: &str = "/api/v1/namespaces/shop/events";

fn scene() -> (Arc<Server>, Client, Recorder) {
    let (server, client) = Server::start();
    let recorder = Recorder::new(client.clone(), "gate-1".to_owned(), Arc::default());
    (server, client, recorder)
}

fn note(message: &str) -> Note {
    new_note("1", Weight::Warning, "Test", message)
}

fn stale(message: &str) -> Note {
    Note { fresh: false, ..note(message) }
}

/// Messages and counts.
fn written(server: &Server) -> Vec<(String, i64)> {
    let text = |event: &Value| (event["message"].as_str().unwrap().to_owned(), event["count"].as_i64().unwrap());
    server.all(EVENTS).iter().map(text).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_said_again_is_counted_up() {
    let (server, _, mut recorder) = scene();
    assert_eq!(recorder.record(&note("x")).await, Outcome::Created);
    for count in 2..5 {
        assert_eq!(recorder.record(&note("x")).await, Outcome::Repeated);
        assert_eq!(written(&server), [("x".to_owned(), count)]);
    }
    assert_eq!(recorder.record(&stale("x")).await, Outcome::Known);
    let name = note("x").name();
    let patch = format!("PATCH {EVENTS}/{name}");
    assert_eq!(server.requests(), [format!("POST {EVENTS}"), patch.clone(), patch.clone(), patch]);
    assert_eq!(recorder.record(&note("y")).await, Outcome::Created);
    assert_eq!(server.all(EVENTS).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_starts_anew_finds_the_event_that_was_written_before() {
    let (server, client, mut recorder) = scene();
    for _ in 0..3 {
        recorder.record(&note("x")).await;
    }
    let mut next = Recorder::new(client, "gate-2".to_owned(), Arc::default());
    server.requests();
    assert_eq!(next.record(&stale("x")).await, Outcome::Known);
    assert_eq!(next.record(&stale("x")).await, Outcome::Known);
    assert_eq!((written(&server), server.requests().len()), (vec![("x".to_owned(), 3)], 1), "it stays as it is");
    assert_eq!(next.record(&note("x")).await, Outcome::Repeated);
    assert_eq!(written(&server), [("x".to_owned(), 4)]);
    assert_eq!(next.record(&note("x")).await, Outcome::Repeated);
    assert_eq!(written(&server), [("x".to_owned(), 5)]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_server_forgot_is_written_anew() {
    let (server, _, mut recorder) = scene();
    recorder.record(&note("x")).await;
    recorder.record(&note("x")).await;
    server.forget(&format!("{EVENTS}/{}", note("x").name()));
    assert_eq!(recorder.record(&note("x")).await, Outcome::Created);
    assert_eq!(written(&server), [("x".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_gone_is_no_trouble() {
    let (server, _, mut recorder) = scene();
    for status in [404, 422] {
        server.fail_next(status);
        assert_eq!(recorder.record(&note("x")).await, Outcome::Failed);
        assert_eq!(server.requests().len(), 1, "it is not tried again");
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_role_does_not_allow_it_nothing_is_tried_for_ten_minutes() {
    let (server, _, mut recorder) = scene();
    server.fail_next(403);
    assert_eq!(recorder.record(&note("x")).await, Outcome::Refused);
    let mut elsewhere = note("x");
    elsewhere.object.namespace = "other".into();
    assert_eq!(recorder.record(&elsewhere).await, Outcome::Created, "another namespace has another role");
    server.requests();
    sleep(REFUSED - Duration::from_secs(1)).await;
    assert_eq!(recorder.record(&note("y")).await, Outcome::Refused);
    assert_eq!(server.requests(), [""; 0]);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(recorder.record(&note("y")).await, Outcome::Created);
    assert!(recorder.complained);
}

#[tokio::test(start_paused = true)]
async fn a_server_in_trouble_is_asked_again_later_and_not_for_ever() {
    let (server, _, mut recorder) = scene();
    for status in [429, 503, 500] {
        server.fail_next(status);
    }
    let begin = Instant::now();
    assert_eq!(recorder.record(&note("x")).await, Outcome::Created);
    assert!(begin.elapsed() > Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!(server.requests().len(), 4);
    for _ in 0..100 {
        server.fail_next(500);
    }
    assert_eq!(recorder.record(&note("y")).await, Outcome::Failed);
    assert_eq!(server.requests().len(), TRIES);
    assert!(begin.elapsed() < Duration::from_secs(600), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_object_cannot_take_the_place_of_all() {
    let (server, _, mut recorder) = scene();
    let mut outcomes = Vec::new();
    for number in 0..40 {
        outcomes.push(recorder.record(&note(&number.to_string())).await);
    }
    assert!(outcomes[..25].iter().all(|outcome| *outcome == Outcome::Created), "{outcomes:?}");
    assert!(outcomes[25..].iter().all(|outcome| *outcome == Outcome::Limited), "{outcomes:?}");
    assert_eq!(server.requests().len(), 25);
    assert_eq!(recorder.record(&new_note("2", Weight::Warning, "Test", "x")).await, Outcome::Created);
}
