//! The certificate of the webhook, read again when its files change. A pair that cannot be used leaves the old one in place.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

/// Largest file that is read.
const MAX_FILE: u64 = 1 << 20;

/// What TLS connections are made with; none until there is a usable pair.
pub(super) type Current = watch::Receiver<Option<Arc<ServerConfig>>>;

/// The files, and what was last made of them.
#[derive(Debug)]
pub(super) struct Certificate {
    files: Arc<Files>,
    /// Hash of what was last read, or of why it could not be.
    seen: u64,
    current: watch::Sender<Option<Arc<ServerConfig>>>,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// The content of both files.
type Content = Result<(Vec<u8>, Vec<u8>), String>;

impl Certificate {
    pub(super) async fn read(certificate: PathBuf, key: PathBuf) -> Self {
        let files = Arc::new(Files { certificate, key });
        let mut read = Self { files, seen: 0, current: watch::Sender::new(None) };
        read.look().await;
        read
    }

    pub(super) fn current(&self) -> Current {
        self.current.subscribe()
    }

    /// Looks at the files now and then, for ever. Secrets that are mounted change by a link that is put in place of another, on
    /// which a watch of the file tells nothing; so they are read.
    pub(super) async fn follow(mut self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let files = self.files.clone();
        let Ok(content) = tokio::task::spawn_blocking(move || files.read()).await else { return };
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        if std::mem::replace(&mut self.seen, hasher.finish()) == hasher.finish() {
            return;
        }
        match content.and_then(|(certificate, key)| server_config(&certificate, &key)) {
            Ok(config) => {
                tracing::info!(certificate = %self.files.certificate.display(), "the certificate of the webhook is in use");
                self.current.send_replace(Some(Arc::new(config)));
            }
            Err(reason) if self.current.borrow().is_some() => {
                tracing::error!(reason, "the new certificate of the webhook cannot be used, the old one stays");
            }
            Err(reason) => tracing::error!(reason, "the webhook answers nobody: its certificate cannot be used"),
        }
    }
}

impl Files {
    fn read(&self) -> Content {
        Ok((read(&self.certificate)?, read(&self.key)?))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let fault = |error| format!("{}: {error}", path.display());
    let mut content = Vec::new();
    File::open(path).map_err(fault)?.take(MAX_FILE).read_to_end(&mut content).map_err(fault)?;
    Ok(content)
}

/// The error holds nothing of the key.
pub(super) fn server_config(certificate: &[u8], key: &[u8]) -> Result<ServerConfig, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|_| "the certificate is not in PEM form".to_owned())?;
    if chain.is_empty() {
        return Err("there is no certificate in PEM form in its file".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "the key is not in PEM form".to_owned())?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = config.with_no_client_auth().with_single_cert(chain, key).map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::self_signed::{Pem, certificate_for};

    fn pair(name: &str) -> Pem {
        certificate_for(&[name.to_owned()]).unwrap()
    }

    #[tokio::test]
    async fn a_broken_pair_leaves_the_old_one_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("cert"), folder.path().join("key"));
        let mut followed = Certificate::read(certificate.clone(), key.clone()).await;
        let current = followed.current();
        assert!(current.borrow().is_none(), "there are no files yet");

        let (one, two) = (pair("one"), pair("two"));
        let write = |certificate_text: &str, key_text: &str| {
            fs::write(&certificate, certificate_text).unwrap();
            fs::write(&key, key_text).unwrap();
        };
        write(&one.certificate, &one.key);
        followed.look().await;
        let first = current.borrow().clone().expect("a usable pair");
        let same = || Arc::ptr_eq(&first, current.borrow().as_ref().unwrap());
        followed.look().await;
        assert!(same(), "nothing has changed");
        for (certificate_text, key_text) in
            [(&*two.certificate, &*one.key), ("", &one.key), (&one.certificate, "nonsense")]
        {
            write(certificate_text, key_text);
            followed.look().await;
            assert!(same(), "{certificate_text}");
        }
        fs::remove_file(&key).unwrap();
        followed.look().await;
        assert!(same(), "there is no key");
        write(&two.certificate, &two.key);
        followed.look().await;
        assert!(!same());
    }
}
