//! The validating admission webhook: reviews Ingresses before the API server stores them.
//!
//! It answers over TLS on an address of its own, and has no side effects: a review reads the objects at hand and nothing else,
//! so that whoever reaches the address can ask and gains nothing. Reviews are made on the thread of the loop, which owns the
//! objects; this side reads requests, waits and answers.

mod certificate;
mod connection;
mod counts;
pub mod own_ca;
mod queue;
mod review;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portcullis_translate::Finding;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use certificate::{Certificate, Current};
use connection::{Desk, MAX_HELD_KIB};

pub use counts::{Counts, Reviewed};
pub use queue::{Asker, Reviews, queue};

/// Connections at the same time; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 64;

/// How often the certificate is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Pause after a failure to accept, such as too many open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Where to answer, and with which certificate.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses of which the first that can be bound is taken.
    pub addresses: Vec<SocketAddr>,
    /// Where the certificate comes from.
    pub certificate: Source,
}

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Files, both in PEM form.
    Files {
        /// The chain.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// The controller itself.
    Own(own_ca::Kept),
}

/// A webhook that is bound and does not answer yet.
#[derive(Debug)]
pub struct Webhook {
    listener: TcpListener,
    config: Config,
}

impl Source {
    async fn follow(self) -> Current {
        match self {
            Self::Files { certificate, key } => {
                let certificate = Certificate::read(certificate, key).await;
                let current = certificate.current();
                tokio::spawn(certificate.follow(LOOK_EVERY));
                current
            }
            Self::Own(kept) => kept.current,
        }
    }
}

impl Webhook {
    /// Binds the address.
    ///
    /// # Errors
    ///
    /// When none of the addresses can be bound.
    pub async fn bind(config: Config) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(config.addresses.as_slice()).await?, config })
    }

    /// Where it is bound.
    ///
    /// # Errors
    ///
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What is wrong with a certificate of our own.
    #[must_use]
    pub fn findings(&self) -> Option<watch::Receiver<Vec<Finding>>> {
        match &self.config.certificate {
            Source::Files { .. } => None,
            Source::Own(kept) => Some(kept.findings.clone()),
        }
    }

    /// Answers until the runtime ends. Until there is a usable certificate, connections are closed at once.
    pub async fn serve(self, asker: Asker, counts: Arc<Counts>) {
        let Self { listener, config } = self;
        let current = config.certificate.follow().await;
        let desk = Arc::new(Desk { asker, counts, held: Semaphore::new(MAX_HELD_KIB) });
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let Some(tls) = current.borrow().clone() else { continue };
                    let desk = desk.clone();
                    tokio::spawn(async move {
                        connection::serve(stream, tls, desk).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting on the address of the webhook failed");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }
}
