//! The streams of one HTTP/2 connection that are under way. A panic in one of them ends it alone.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use http::Response;

use super::super::connection::ClientConnection;
use super::stream::Stream;
use super::upgraded::Connect;
use super::wake::{GROUP, Group, Hub};
use crate::pipeline::ResponseBody;
use crate::timer::Alarm;

/// Streams by number. How many there are at once, h2 sees to: as many as the client was told, and those it has just reset.
pub(super) struct Streams<F> {
    hub: Arc<Hub>,
    groups: Vec<Arc<Group>>,
    slots: Vec<Slot<F>>,
    /// Slots without a stream but with room for one, which the next stream takes.
    roomy: Vec<usize>,
    /// Slots without either.
    bare: Vec<usize>,
    busy: usize,
    alarm: Alarm,
}

struct Slot<F> {
    waker: Waker,
    room: Option<Pin<Box<Stream<F>>>>,
}

/// Most slots that keep room for streams to come.
const SPARE: usize = 32;
/// How long a connection is without streams until it gives back the room for all but one.
const QUIET: Duration = Duration::from_secs(1);

impl<F: Future<Output = Result<Response<ResponseBody>, Infallible>>> Streams<F> {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            groups: Vec::new(),
            slots: Vec::new(),
            roomy: Vec::new(),
            bare: Vec::new(),
            busy: 0,
            alarm: Alarm::default(),
        }
    }

    /// Takes up a stream. It begins when the streams are polled the next time.
    #[inline]
    pub(super) fn begin(
        &mut self,
        future: impl FnOnce() -> F,
        respond: SendResponse<Bytes>,
        connect: Option<Box<Connect>>,
    ) {
        let number = self.vacancy();
        let Some(slot) = self.slots.get_mut(number) else { return };
        let room = slot.room.get_or_insert_with(|| Box::pin(Stream::Vacant));
        // The future is large: it is made where it stays, as far as that can be had.
        room.as_mut().set(Stream::Handled { future: future(), respond, connect });
        slot.waker.wake_by_ref();
        self.busy += 1;
    }

    fn vacancy(&mut self) -> usize {
        self.roomy.pop().or_else(|| self.bare.pop()).unwrap_or_else(|| self.add_slot())
    }

    #[cold]
    fn add_slot(&mut self) -> usize {
        let number = self.slots.len();
        let group = match self.groups.get(number / GROUP) {
            Some(group) => Arc::clone(group),
            None => {
                let group = Group::new(&self.hub);
                self.groups.push(Arc::clone(&group));
                group
            }
        };
        self.slots.push(Slot { waker: group.waker(number), room: None });
        number
    }

    /// Lets all streams go on that have something to do.
    pub(super) fn poll(&mut self, connection: &ClientConnection) {
        for group in 0..self.groups.len() {
            let mut ready = self.groups.get(group).map_or(0, |group| group.take());
            while ready != 0 {
                self.poll_one(group * GROUP + ready.trailing_zeros() as usize, connection);
                ready &= ready - 1;
            }
        }
    }

    fn poll_one(&mut self, number: usize, connection: &ClientConnection) {
        let Some(Slot { waker, room: Some(stream) }) = self.slots.get_mut(number) else { return };
        // What a panic may leave half done belongs to this stream alone, which is dropped.
        let polled =
            catch_unwind(AssertUnwindSafe(|| stream.as_mut().poll(connection, &mut Context::from_waker(waker))));
        match polled {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(())) => {}
            Err(_) => note_panic(connection),
        }
        stream.as_mut().set(Stream::Vacant);
        self.busy = self.busy.saturating_sub(1);
        self.roomy.push(number);
        if self.roomy.len() > SPARE {
            self.give_back(SPARE);
        }
    }

    /// Keeps little room when there were no streams for a while.
    pub(super) fn rest(&mut self, connection: &ClientConnection, cx: &mut Context<'_>) {
        if self.roomy.len() > 1
            && let Some(since) = connection.idle_since().filter(|_| self.busy == 0)
            && self.alarm.poll(since + QUIET, cx)
        {
            self.give_back(1);
        }
    }

    /// Gives back room, but for so many streams.
    #[cold]
    fn give_back(&mut self, kept: usize) {
        while self.roomy.len() > kept
            && let Some(number) = self.roomy.pop()
        {
            if let Some(slot) = self.slots.get_mut(number) {
                slot.room = None;
            }
            self.bare.push(number);
        }
    }
}

#[cold]
fn note_panic(connection: &ClientConnection) {
    connection.worker().counters().panics.add(1);
    tracing::error!("stream ended in a panic");
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use http::Request;
    use tokio::task::LocalSet;

    use super::super::super::connection::testing;
    use super::*;

    type Handled = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Infallible>>>>;

    /// Panics, waits for ever, or answers without a body.
    fn handled(path: &str) -> Handled {
        let path = path.to_owned();
        Box::pin(async move {
            match path.as_str() {
                "/panic" => panic!("on purpose"),
                "/wait" => std::future::pending().await,
                _ => Ok(Response::new(ResponseBody::nothing())),
            }
        })
    }

    async fn serve(
        here: tokio::io::DuplexStream,
        connection: Rc<ClientConnection>,
        streams: Rc<std::cell::RefCell<Streams<Handled>>>,
    ) {
        let mut http: h2::server::Connection<_, Bytes> = h2::server::handshake(here).await.unwrap();
        std::future::poll_fn(|cx| {
            let mut streams = streams.borrow_mut();
            while let Poll::Ready(accepted) = http.poll_accept(cx) {
                let Some(Ok((request, respond))) = accepted else { return Poll::Ready(()) };
                streams.begin(|| handled(request.uri().path()), respond, None);
            }
            streams.poll(&connection);
            streams.rest(&connection, cx);
            // What they send goes out when the task is polled again.
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    #[test]
    fn a_panic_ends_its_stream_alone_and_rooms_are_used_again() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let connection = testing::connection();
            let streams = Rc::new(std::cell::RefCell::new(Streams::new(Arc::<Hub>::default())));
            let (here, there) = tokio::io::duplex(1 << 16);
            tokio::task::spawn_local(serve(here, Rc::clone(&connection), Rc::clone(&streams)));
            let (sender, http) = h2::client::handshake(there).await.unwrap();
            tokio::task::spawn_local(async move { drop(http.await) });
            let begin = async |path: &str| {
                let request = Request::get(format!("http://a.example{path}")).body(()).unwrap();
                sender.clone().ready().await.unwrap().send_request(request, true).unwrap()
            };
            let waits = begin("/wait").await;
            for _ in 0..2 {
                let panics = begin("/panic").await;
                let answered = begin("/").await;
                assert!(panics.0.await.unwrap_err().is_reset());
                let answer = answered.0.await.unwrap();
                assert_eq!(answer.status(), 200);
                assert!(answer.headers().contains_key("date") && answer.body().is_end_stream());
            }
            assert_eq!(connection.worker().counters().panics.value(), 2);
            let counts = |streams: &Streams<Handled>| {
                let rooms = streams.slots.iter().filter(|slot| slot.room.is_some()).count();
                (streams.slots.len(), streams.busy, rooms)
            };
            assert_eq!(counts(&streams.borrow()), (3, 1, 3));
            // More than are in one group.
            let many: Vec<_> = {
                let mut many = Vec::new();
                for _ in 0..150 {
                    many.push(begin("/wait").await);
                }
                many
            };
            while streams.borrow().busy < 151 {
                tokio::task::yield_now().await;
            }
            drop(many);
            while streams.borrow().busy > 1 {
                tokio::task::yield_now().await;
            }
            assert_eq!(counts(&streams.borrow()), (151, 1, SPARE + 1));
            drop(waits);
            while streams.borrow().busy > 0 {
                tokio::task::yield_now().await;
            }
            while counts(&streams.borrow()) != (151, 0, 1) {
                tokio::time::sleep(QUIET / 20).await;
            }
            assert_eq!(begin("/").await.0.await.unwrap().status(), 200);
        });
    }
}
