//! How long a request to the API server may be without answer, and how soon a watch may begin again.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

use super::contact::Contact;

/// How long the head of an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// A watch begins no sooner than this after it began before: one that ends at once would be asked for without end.
const BETWEEN_WATCHES: Duration = Duration::from_millis(800);

/// Watches are told apart by path; this many at most.
const MOST_WATCHES: usize = 256;

/// Gives requests a time limit, spaces out watches, and notes what is heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Patience {
    contact: Arc<Contact>,
    begun: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Patience {
    pub(super) fn new(contact: Arc<Contact>) -> Self {
        Self { contact, begun: Arc::default() }
    }

    /// How long a watch has to wait before it is asked for.
    fn delay(&self, path: &str) -> Duration {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if begun.len() >= MOST_WATCHES {
            begun.retain(|_, at| *at + BETWEEN_WATCHES > now);
        }
        let before = begun.get(path).copied();
        let at = before.map_or(now, |before| now.max(before + BETWEEN_WATCHES));
        begun.insert(path.to_owned(), at);
        at.duration_since(now)
    }
}

impl<S> Layer<S> for Patience {
    type Service = Patient<S>;

    fn layer(&self, inner: S) -> Patient<S> {
        Patient { inner, patience: self.clone() }
    }
}

/// A service with [`Patience`].
#[derive(Clone, Debug)]
pub(super) struct Patient<S> {
    inner: S,
    patience: Patience,
}

type Answer<B> = Pin<Box<dyn Future<Output = Result<Response<Heard<B>>, BoxError>> + Send>>;

impl<S, A, B> Service<Request<A>> for Patient<S>
where
    S: Service<Request<A>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<Heard<B>>;
    type Error = BoxError;
    type Future = Answer<B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Answer<B> {
        let watch = watched(&request);
        let delay = watch.as_deref().map_or(Duration::ZERO, |path| self.patience.delay(path));
        let contact = self.patience.contact.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            contact.ask();
            if let Some(path) = &watch {
                contact.begin_watch(path);
            }
            let outcome = match tokio::time::timeout(ANSWER, answer).await {
                Ok(outcome) => outcome,
                Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs()).into()),
            };
            match &outcome {
                Ok(response) => {
                    note(response.status(), &contact);
                    if let Some(path) = watch.filter(|_| response.status().is_success()) {
                        contact.take_watch(path);
                    }
                }
                Err(_) => contact.fail(),
            }
            outcome.map(|response| response.map(|body| Heard { body, contact }))
        })
    }
}

/// The path of a watch; none for any other request.
fn watched<B>(request: &Request<B>) -> Option<String> {
    let is_watch = |query: &str| query.split('&').any(|pair| pair.starts_with("watch="));
    request.uri().query().is_some_and(is_watch).then(|| request.uri().path().to_owned())
}

fn note(status: StatusCode, contact: &Contact) {
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        contact.fail();
    } else {
        contact.hear();
    }
}

pin_project_lite::pin_project! {
    /// A body, of which every piece is a sign of life.
    #[derive(Debug)]
    pub(super) struct Heard<B> {
        #[pin]
        body: B,
        contact: Arc<Contact>,
    }
}

impl<B: Body> Body for Heard<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(context));
        if matches!(frame, Some(Ok(_))) {
            this.contact.hear();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::future;

    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};

    use super::*;

    fn request(target: &str) -> Request<()> {
        Request::builder().uri(target).body(()).unwrap()
    }

    /// How long a request takes that is answered with this status, or never.
    async fn ask(patience: &Patience, target: &str, status: Option<u16>) -> (Duration, Result<StatusCode, String>) {
        let mut service = patience.layer(tower::service_fn(move |_: Request<()>| async move {
            let Some(status) = status else { return future::pending().await };
            let mut response = Response::new(Full::new(Bytes::from_static(b"x")));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok::<_, BoxError>(response)
        }));
        let start = Instant::now();
        let outcome = match service.call(request(target)).await {
            Ok(response) => {
                let status = response.status();
                response.into_body().collect().await.unwrap();
                Ok(status)
            }
            Err(error) => Err(error.to_string()),
        };
        (start.elapsed(), outcome)
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_waits_for_its_turn_and_nothing_else_does() {
        let patience = Patience::default();
        for (target, wait) in [
            ("/api/v1/secrets?limit=500", 0),
            ("/api/v1/secrets?limit=500", 0),
            ("/api/v1/secrets?watch=true&resourceVersion=1", 0),
            ("/api/v1/secrets?watch=true&resourceVersion=1", 800),
            ("/api/v1/services?allowWatchBookmarks=true&watch=true", 0),
            ("/api/v1/services?allowWatchBookmarks=true&watch=true", 800),
            ("/api/v1/services", 0),
        ] {
            let (took, outcome) = ask(&patience, target, Some(200)).await;
            assert_eq!((took.as_millis(), outcome), (wait, Ok(StatusCode::OK)), "{target}");
        }
        tokio::time::sleep(BETWEEN_WATCHES).await;
        assert!(ask(&patience, "/api/v1/services?watch=1", Some(200)).await.0.is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_not_waited_for_without_end() {
        let patience = Patience::default();
        let (took, outcome) = ask(&patience, "/api", None).await;
        assert_eq!((took, outcome.unwrap_err().as_str()), (ANSWER, "no answer within 30 s"));
        assert_eq!(patience.contact.counts(), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_runs_once_the_server_has_taken_it() {
        let patience = Patience::default();
        for (status, want) in [(Some(200), true), (Some(403), false), (Some(200), true), (None, false)] {
            // How it came out is in what is known of it.
            let _outcome = ask(&patience, "/api/v1/services?watch=1", status).await;
            assert_eq!(patience.contact.is_watching("/api/v1/services"), want, "{status:?}");
        }
        assert!(!patience.contact.is_watching("/api/v1/secrets"));
    }

    #[tokio::test]
    async fn answers_are_signs_of_life_but_for_those_of_a_server_in_trouble() {
        for (status, heard) in [(200, true), (404, true), (403, true), (429, false), (500, false), (503, false)] {
            let contact = Arc::new(Contact::default());
            tokio::time::sleep(Duration::from_millis(5)).await;
            note(StatusCode::from_u16(status).unwrap(), &contact);
            assert_eq!(contact.silence() < Duration::from_millis(5), heard, "{status}");
        }
    }
}
