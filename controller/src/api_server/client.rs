//! A client of the API server, from flags, a kubeconfig or the service account of the Pod.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::connect::connect;
use super::contact::Contact;

/// How the API server is reached. With neither, as a Pod reaches it: `KUBERNETES_SERVICE_HOST` and the mounted service
/// account.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// `--kubeconfig`: a file that says so.
    pub kubeconfig: Option<PathBuf>,
    /// `--apiserver-host`: its address, over which that of the file is passed over.
    pub host: Option<String>,
    /// `--certificate-authority`: a PEM file with the certificates that its own must lead to.
    pub authority: Option<PathBuf>,
}

/// Why there is no way to the API server.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The kubeconfig cannot be used.
    #[error("--kubeconfig {}: {error}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: KubeconfigError,
    },
    /// The address is none.
    #[error("--apiserver-host `{0}` is no URL such as https://10.0.0.1:6443")]
    Host(String),
    /// The file with the certificate authority cannot be used.
    #[error("--certificate-authority {}: {reason}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The kubeconfig or the environment names a proxy.
    #[error(
        "the API server is to be asked through a proxy (proxy-url of the kubeconfig, or HTTPS_PROXY), which is not supported"
    )]
    Proxy,
    /// Neither flags nor a service account.
    #[error("there is no service account of a Pod here ({0}); give --kubeconfig or --apiserver-host")]
    Nowhere(InClusterError),
    /// No client can be made of it.
    #[error("the API server cannot be asked: {0}")]
    Client(#[from] kube::Error),
}

/// How long the server may be silent: a little longer than a watch that it ends itself.
const SILENCE: Duration = Duration::from_secs(300);

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

/// A client that notes in `contact` what it hears; nothing is asked yet. Needs the runtime on which it will be used.
///
/// # Errors
///
/// When what was given cannot be used.
pub async fn client(access: &Access, contact: Arc<Contact>) -> Result<Client, AccessError> {
    let mut config = match (&access.kubeconfig, &access.host) {
        (Some(path), _) => from_file(path.clone()).await?,
        (None, Some(host)) => Config::new(url(host)?),
        (None, None) => in_cluster()?,
    };
    if config.proxy_url.is_some() {
        return Err(AccessError::Proxy);
    }
    if let Some(host) = &access.host {
        config.cluster_url = url(host)?;
    }
    if let Some(path) = &access.authority {
        config.root_cert = Some(authority(path.clone())?);
        config.root_cert_file = Some(path.clone());
    }
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    // It would try again for minutes without a word; watches have their own pauses.
    config.default_retry = false;
    Ok(connect(config, contact)?)
}

async fn from_file(path: PathBuf) -> Result<Config, AccessError> {
    let fault = |error| AccessError::Kubeconfig { path: path.clone(), error };
    let kubeconfig = Kubeconfig::read_from(&path).map_err(fault)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(fault)
}

fn in_cluster() -> Result<Config, AccessError> {
    Config::incluster().map_err(AccessError::Nowhere)
}

fn url(host: &str) -> Result<http::Uri, AccessError> {
    let fault = || AccessError::Host(host.to_owned());
    let with_scheme = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
    let url: http::Uri = with_scheme.parse().map_err(|_| fault())?;
    let usable = matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty());
    if usable { Ok(url) } else { Err(fault()) }
}

fn authority(path: PathBuf) -> Result<Vec<Vec<u8>>, AccessError> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;

    let certificates = CertificateDer::pem_file_iter(&path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| error.to_string());
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(AccessError::Authority { path, reason: "there is no certificate in it".to_owned() })
        }
        Ok(certificates) => Ok(certificates.into_iter().map(|certificate| certificate.to_vec()).collect()),
        Err(reason) => Err(AccessError::Authority { path, reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_urls_and_plain_ones_are_meant_as_http() {
        for (host, want) in [
            ("https://10.0.0.1:6443", Some("https://10.0.0.1:6443/")),
            ("127.0.0.1:8001", Some("http://127.0.0.1:8001/")),
            ("https://api.example/k8s", Some("https://api.example/k8s")),
            ("ftp://api.example", None),
            ("https://", None),
            ("a b", None),
        ] {
            assert_eq!(url(host).ok().map(|url| url.to_string()).as_deref(), want, "{host}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "").unwrap();
        let missing = folder.path().join("missing");
        let access =
            |kubeconfig, host: Option<&str>, authority| Access { kubeconfig, host: host.map(str::to_owned), authority };
        for (access, want) in [
            (access(Some(missing.clone()), None, None), "--kubeconfig"),
            (access(None, Some("https://10.0.0.1"), Some(missing)), "--certificate-authority"),
            (access(None, Some("https://10.0.0.1"), Some(empty)), "there is no certificate in it"),
            (access(None, Some("::"), None), "--apiserver-host `::`"),
        ] {
            let error = client(&access, Arc::default()).await.err().unwrap().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
