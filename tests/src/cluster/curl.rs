//! curl, as users call it.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::command::tried;

/// What is asked for with curl: URLs without a port, whose hosts are all resolved to one port of the node for each scheme.
#[derive(Clone, Debug)]
pub struct Curl {
    http: SocketAddr,
    https: SocketAddr,
    trusted: Option<PathBuf>,
}

impl Curl {
    /// Where HTTP and HTTPS are answered.
    pub fn new(http: SocketAddr, https: SocketAddr) -> Self {
        Self { http, https, trusted: None }
    }

    /// Trusts the certificate in this file.
    pub fn trusting(mut self, certificate: PathBuf) -> Self {
        self.trusted = Some(certificate);
        self
    }

    /// Status and body of `SCHEME://HOST/PATH`; what curl says where there is no answer.
    pub fn get(&self, scheme: &str, host: &str, path: &str) -> Result<(u16, String), String> {
        let address = if scheme == "https" { self.https } else { self.http };
        let port = address.port();
        let (resolve, url) = (format!("{host}:{port}:{}", address.ip()), format!("{scheme}://{host}:{port}{path}"));
        let mut arguments = ["--silent", "--show-error", "--max-time", "10", "--write-out", "\n%{http_code}"].to_vec();
        arguments.extend(["--resolve", &resolve, &url]);
        let trusted = self.trusted.as_ref().map(|path| path.to_string_lossy());
        if let Some(trusted) = &trusted {
            arguments.extend(["--cacert", trusted]);
        }
        let said = tried("curl", &arguments, "")?;
        let (body, status) = said.rsplit_once('\n').ok_or_else(|| format!("{url}: {said:?}"))?;
        Ok((status.parse().map_err(|_| format!("{url}: {said:?}"))?, body.to_owned()))
    }
}
