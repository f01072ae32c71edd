//! A number that tells replicas with different rules apart.

use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use portcullis_model::{CertificateChoice, HostMatch, Snapshot};

/// Bits that a floating-point number holds exactly.
const BITS: u32 = 52;

/// Computed when it is asked for, once for each table.
#[derive(Debug, Default)]
pub(super) struct ConfigHash(Mutex<Option<(Weak<Snapshot>, f64)>>);

impl ConfigHash {
    /// The hash of what `snapshot` decides; endpoints are not a part of it, as in ingress-nginx, and never 0.
    pub(super) fn of(&self, snapshot: &Arc<Snapshot>) -> f64 {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((hashed, hash)) if Weak::ptr_eq(hashed, &Arc::downgrade(snapshot)) => *hash,
            _ => {
                let hash = hash(snapshot);
                *last = Some((Arc::downgrade(snapshot), hash));
                hash
            }
        }
    }
}

fn hash(snapshot: &Snapshot) -> f64 {
    let Snapshot { hosts, clusters: _, certificates, default_backend, health_path, streams, settings } = snapshot;
    let policies: Vec<_> = snapshot.policies().collect();
    // Each replica makes a default certificate of its own where no Secret holds one.
    let default = certificates.default.source().map(|_| &certificates.default);
    let by_host: Vec<(&HostMatch, &CertificateChoice)> = certificates.by_host.iter().collect();
    let mut hasher = HashWriter::default();
    let whole = (hosts, policies, default, by_host, default_backend, health_path, streams, settings);
    if serde_json::to_writer(&mut hasher, &whole).is_err() {
        return 0.0;
    }
    super::number((hasher.0.finish() >> (u64::BITS - BITS)).max(1))
}

#[derive(Default)]
struct HashWriter(DefaultHasher);

impl io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
