//! A response that is received faster than its client takes it (nginx: `proxy_buffering on`), so that its upstream is free early.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::SizeHint;
use portcullis_model::policy::BodyPolicy;
use tokio::time::Instant;

use crate::body::{Room, Spool};
use crate::clock;
use crate::server::Worker;
use crate::upstream::{Broken as BrokenOff, Connection, Upstream};

/// The client's end of a response that is received ahead of it.
pub(super) struct ReadAhead {
    queue: Rc<RefCell<Queue>>,
    left: Option<u64>,
    reading: Option<Reading>,
}

type Reading = Pin<Box<dyn Future<Output = io::Result<Bytes>>>>;

/// Why a response ends before its end.
#[derive(Debug)]
pub(super) enum Broken {
    /// The upstream broke off; whether by being silent too long.
    Upstream(bool),
    /// What was written to disk cannot be read.
    Disk(io::Error),
}

/// What was received and not yet taken.
struct Queue {
    pieces: VecDeque<Piece>,
    memory: Room,
    in_memory: u64,
    end: Option<Result<Instant, Broken>>,
    /// Nobody wants the rest.
    abandoned: bool,
    client: Option<Waker>,
    upstream: Option<Waker>,
}

enum Piece {
    /// In memory; whether room was taken for it.
    Memory(Bytes, bool),
    /// On disk: where and how much.
    Disk(Rc<Spool>, u64, usize),
}

/// Pieces that may wait in memory, however small they are.
const PIECES: usize = 1024;
/// Most that pieces on disk are put together to. They are many: a place in the queue is as large as a small piece.
const TOGETHER: usize = 64 * 1024;

impl ReadAhead {
    /// Receives a response from now on. `upstream` has its connection back as soon as all of it is here.
    pub(super) fn start(
        connection: Box<Connection>,
        upstream: Option<Arc<Upstream>>,
        worker: &Rc<Worker>,
        policy: &BodyPolicy,
    ) -> Self {
        let queue = Rc::new(RefCell::new(Queue {
            pieces: VecDeque::new(),
            memory: worker.storage().memory(),
            in_memory: 0,
            end: None,
            abandoned: false,
            client: None,
            upstream: None,
        }));
        let left = connection.size_hint().exact();
        let receiver = Receiver {
            connection,
            queue: Rc::clone(&queue),
            worker: Rc::clone(worker),
            memory: policy.response_memory().max(BodyPolicy::LEAST_MEMORY),
            disk: policy.response_disk,
            spool: None,
        };
        worker.spawn(receiver.run(upstream));
        Self { queue, left, reading: None }
    }

    /// The next piece; at the end, when the upstream had sent all of it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, Broken>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let read = ready!(reading.as_mut().poll(cx));
                self.reading = None;
                return Poll::Ready(read.map(|piece| self.give(piece)).map_err(Broken::Disk));
            }
            let mut queue = self.queue.borrow_mut();
            match queue.take() {
                Some(Piece::Memory(piece, _)) => {
                    drop(queue);
                    return Poll::Ready(Ok(self.give(piece)));
                }
                Some(Piece::Disk(spool, at, length)) => {
                    drop(queue);
                    self.reading = Some(Box::pin(async move { spool.read(at, length).await }));
                }
                None => match queue.end.take() {
                    Some(end) => return Poll::Ready(end.map(Next::End)),
                    None => {
                        queue.client = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                },
            }
        }
    }

    fn give(&mut self, piece: Bytes) -> Next {
        self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
        Next::Piece(piece)
    }

    /// What is still to come, where the upstream said so.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

/// What a response goes on with.
pub(super) enum Next {
    /// Octets.
    Piece(Bytes),
    /// Nothing; the upstream had sent all of it then.
    End(Instant),
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        let mut queue = self.queue.borrow_mut();
        queue.abandoned = true;
        wake(&mut queue.upstream);
    }
}

impl Queue {
    fn take(&mut self) -> Option<Piece> {
        let piece = self.pieces.pop_front()?;
        if let Piece::Memory(octets, counted) = &piece {
            let length = octets.len() as u64;
            self.in_memory = self.in_memory.saturating_sub(length);
            if *counted {
                self.memory.give_back(length);
            }
        }
        // That there are fewer pieces, or none, is room as well.
        wake(&mut self.upstream);
        Some(piece)
    }

    /// Keeps a piece in memory if it fits; one is kept whatever its size.
    fn keep(&mut self, piece: &Bytes, most: u64) -> bool {
        let (length, is_only) = (piece.len() as u64, self.pieces.is_empty());
        let fits = self.in_memory.saturating_add(length) <= most && self.pieces.len() < PIECES;
        let counted = fits && self.memory.take(length);
        if counted || is_only {
            self.in_memory += length;
            self.push(Piece::Memory(piece.clone(), counted));
        }
        counted || is_only
    }

    /// Notes what was written to disk. Small pieces that follow each other there are read back together.
    fn push_written(&mut self, spool: Rc<Spool>, at: u64, length: usize) {
        match self.pieces.back_mut() {
            Some(Piece::Disk(_, begin, before))
                if *begin + *before as u64 == at && before.saturating_add(length) <= TOGETHER =>
            {
                *before += length;
            }
            _ => self.push(Piece::Disk(spool, at, length)),
        }
    }

    fn push(&mut self, piece: Piece) {
        self.pieces.push_back(piece);
        wake(&mut self.client);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// The upstream's end.
struct Receiver {
    connection: Box<Connection>,
    queue: Rc<RefCell<Queue>>,
    worker: Rc<Worker>,
    /// Octets that may wait in memory, and on disk.
    memory: u64,
    disk: u64,
    spool: Option<Rc<Spool>>,
}

/// The client does not want the rest.
struct Abandoned;

impl Receiver {
    async fn run(mut self, upstream: Option<Arc<Upstream>>) {
        let Ok(received) = self.receive().await else { return };
        let end = match received {
            Err(_) => Err(Broken::Upstream(self.connection.is_late())),
            Ok(()) => {
                if let Some(upstream) = upstream {
                    self.worker.pool().put(self.connection, &upstream);
                }
                Ok(clock::now())
            }
        };
        let mut queue = self.queue.borrow_mut();
        queue.end = Some(end);
        wake(&mut queue.client);
    }

    async fn receive(&mut self) -> Result<Result<(), BrokenOff>, Abandoned> {
        loop {
            let piece = match self.next().await? {
                None => return Ok(Ok(())),
                Some(Err(error)) => return Ok(Err(error)),
                Some(Ok(piece)) => piece,
            };
            let is_last = self.connection.is_end_stream();
            self.store(&piece).await?;
            if is_last {
                return Ok(Ok(()));
            }
        }
    }

    async fn next(&mut self) -> Result<Option<Result<Bytes, BrokenOff>>, Abandoned> {
        let (connection, queue) = (&mut self.connection, &self.queue);
        poll_fn(|cx| {
            while let Poll::Ready(frame) = connection.poll_frame(cx) {
                match frame.map(|frame| frame.map(http_body::Frame::into_data)) {
                    None => return Poll::Ready(Ok(None)),
                    Some(Err(error)) => return Poll::Ready(Ok(Some(Err(error)))),
                    Some(Ok(Ok(piece))) => return Poll::Ready(Ok(Some(Ok(piece)))),
                    // Trailers end here: no client is told of them in advance.
                    Some(Ok(Err(_trailers))) => {}
                }
            }
            abandoned(&mut queue.borrow_mut(), cx).map(Err)
        })
        .await
    }

    /// Keeps a piece: in memory, or on disk, or in memory once there is room.
    async fn store(&mut self, piece: &Bytes) -> Result<(), Abandoned> {
        if self.queue.borrow_mut().keep(piece, self.memory) {
            return Ok(());
        }
        // A client that is fast takes something now, which is cheaper than a disk.
        tokio::task::yield_now().await;
        if self.queue.borrow_mut().keep(piece, self.memory) || self.write(piece).await {
            return Ok(());
        }
        poll_fn(|cx| {
            let mut queue = self.queue.borrow_mut();
            if queue.keep(piece, self.memory) {
                return Poll::Ready(Ok(()));
            }
            abandoned(&mut queue, cx).map(Err)
        })
        .await
    }

    /// Writes a piece to disk; false where it does not fit there. A disk that takes nothing is not asked again.
    async fn write(&mut self, piece: &Bytes) -> bool {
        let used = self.spool.as_ref().map_or(0, |spool| spool.octets());
        if used.saturating_add(piece.len() as u64) > self.disk {
            return false;
        }
        let spool = match &self.spool {
            Some(spool) => Rc::clone(spool),
            None => match self.worker.storage().file().await {
                Ok(spool) => Rc::clone(self.spool.insert(Rc::new(spool))),
                Err(_) => {
                    self.disk = 0;
                    return false;
                }
            },
        };
        if spool.append(piece.to_vec()).await.is_err() {
            self.disk = 0;
            return false;
        }
        self.queue.borrow_mut().push_written(spool, used, piece.len());
        true
    }
}

/// Ready when nobody wants the rest; until then the task is woken for that, and for every piece that is taken.
fn abandoned(queue: &mut Queue, cx: &mut Context<'_>) -> Poll<Abandoned> {
    if queue.abandoned {
        return Poll::Ready(Abandoned);
    }
    queue.upstream = Some(cx.waker().clone());
    Poll::Pending
}

impl std::fmt::Debug for ReadAhead {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ReadAhead").field("left", &self.left).finish_non_exhaustive()
    }
}
