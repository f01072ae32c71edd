//! What is known of a connection or session, and the line about it (`log-format-stream`).

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use portcullis_model::{L4Protocol, StreamPart, StreamSettings, StreamTemplate, StreamVariable};
use tokio::time::Instant;

use crate::access_log::{Room, TimeForm, put_ip, put_number, put_seconds, put_socket};
use crate::server::Worker;
use crate::table::CompiledStream;

/// How a connection or session ended, as nginx counts it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Status {
    /// It was passed on, however it ended.
    Passed = 200,
    /// It did not begin with a header of the PROXY protocol.
    NoHeader = 400,
    /// No endpoint could be reached.
    NotConnected = 502,
    /// There was no room.
    NoRoom = 503,
}

/// A connection or session. The line is written when it is dropped.
pub(super) struct Record {
    worker: Rc<Worker>,
    stream: Arc<CompiledStream>,
    log: Option<Arc<StreamTemplate>>,
    protocol: L4Protocol,
    began: Instant,
    /// The client, as far as it is known.
    pub(super) client: SocketAddr,
    /// Where it came to.
    pub(super) server: SocketAddr,
    /// The client that a header of the PROXY protocol names.
    pub(super) introduced: Option<SocketAddr>,
    /// Endpoints in the order they were tried.
    pub(super) tried: Vec<SocketAddr>,
    /// When the last one was tried, and how long it took to connect.
    pub(super) connected: Option<(Instant, Duration)>,
    pub(super) status: Status,
    /// Octets from the client, and how many of them went on.
    pub(super) up: Passed,
    /// The same from the endpoint.
    pub(super) down: Passed,
}

/// Octets of one direction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Passed {
    pub(super) taken: u64,
    pub(super) given: u64,
}

impl Record {
    pub(super) fn new(
        worker: &Rc<Worker>,
        stream: &Arc<CompiledStream>,
        settings: &StreamSettings,
        protocol: L4Protocol,
        (client, server): (SocketAddr, SocketAddr),
    ) -> Self {
        Self {
            worker: Rc::clone(worker),
            stream: Arc::clone(stream),
            log: settings.log.clone(),
            protocol,
            began: Instant::now(),
            client,
            server,
            introduced: None,
            tried: Vec::new(),
            connected: None,
            status: Status::NotConnected,
            up: Passed::default(),
            down: Passed::default(),
        }
    }

    pub(super) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// Nothing happened that is worth a line.
    pub(super) fn forget(&mut self) {
        self.log = None;
    }

    fn put<'r>(&self, template: &StreamTemplate, now: Instant, room: &'r mut [u8]) -> Option<&'r mut [u8]> {
        template.parts().iter().try_fold(room, |room, part| match part {
            StreamPart::Literal(text) => room.put(text.as_bytes()),
            StreamPart::Variable(variable) => self.put_variable(*variable, now, room),
        })
    }

    fn put_variable<'r>(&self, variable: StreamVariable, now: Instant, room: &'r mut [u8]) -> Option<&'r mut [u8]> {
        let clock = self.worker.clock();
        match variable {
            StreamVariable::RemoteAddress => put_ip(self.client.ip().to_canonical(), room),
            StreamVariable::RemotePort => put_number(self.client.port().into(), room),
            StreamVariable::ServerAddress => put_ip(self.server.ip().to_canonical(), room),
            StreamVariable::ServerPort => put_number(self.server.port().into(), room),
            StreamVariable::ProxyProtocolAddress => {
                put_or_dash(self.introduced, room, |client, room| put_ip(client.ip().to_canonical(), room))
            }
            StreamVariable::ProxyProtocolPort => {
                put_or_dash(self.introduced, room, |client, room| put_number(client.port().into(), room))
            }
            StreamVariable::TimeLocal => clock.put_at(now, TimeForm::Local, room),
            StreamVariable::TimeIso8601 => clock.put_at(now, TimeForm::Iso8601, room),
            StreamVariable::Milliseconds => clock.put_at(now, TimeForm::Milliseconds, room),
            StreamVariable::Protocol => room.put(self.protocol.as_str().as_bytes()),
            StreamVariable::Status => put_number(self.status as u64, room),
            StreamVariable::BytesSent => put_number(self.down.given, room),
            StreamVariable::BytesReceived => put_number(self.up.taken, room),
            StreamVariable::SessionTime => put_seconds(now - self.began, room),
            StreamVariable::UpstreamAddress => self.put_tried(room),
            StreamVariable::UpstreamBytesSent => put_number(self.up.given, room),
            StreamVariable::UpstreamBytesReceived => put_number(self.down.taken, room),
            StreamVariable::UpstreamConnectTime => {
                put_or_dash(self.connected, room, |(_, took), room| put_seconds(took, room))
            }
            StreamVariable::UpstreamSessionTime => {
                put_or_dash(self.connected, room, |(since, _), room| put_seconds(now - since, room))
            }
            StreamVariable::UpstreamName => room.put(self.stream.service.name.as_bytes()),
        }
    }

    fn put_tried<'r>(&self, room: &'r mut [u8]) -> Option<&'r mut [u8]> {
        if self.tried.is_empty() {
            return room.put(b"-");
        }
        let mut room = room;
        for (place, address) in self.tried.iter().enumerate() {
            if place > 0 {
                room = room.put(b", ")?;
            }
            room = put_socket(*address, room)?;
        }
        Some(room)
    }
}

fn put_or_dash<T>(
    value: Option<T>,
    room: &mut [u8],
    put: impl for<'r> FnOnce(T, &'r mut [u8]) -> Option<&'r mut [u8]>,
) -> Option<&mut [u8]> {
    match value {
        Some(value) => put(value, room),
        None => room.put(b"-"),
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(template) = self.log.take() {
            let now = Instant::now();
            self.worker.lines().add(|room| self.put(&template, now, room));
        }
    }
}
