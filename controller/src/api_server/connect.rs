//! Connections to the API server, and what goes around each request: its address, the token, time limits.

use std::sync::Arc;
use std::time::Duration;

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use tower::{BoxError, ServiceBuilder};

use super::contact::Contact;
use super::patience::Patience;
use super::resolve::Resolver;

/// When a silent connection is asked whether the other end is still there, and for how long what was sent may stay without
/// an acknowledgement. A connection that is open on one side alone ends so, and watches begin anew.
const PROBE: Duration = Duration::from_secs(30);

/// The client that `config` asks for, which notes in `contact` what it hears. Without the proxies and the retries that
/// `config` may ask for.
///
/// # Errors
///
/// When certificates or tokens of `config` cannot be used.
pub(super) fn connect(config: Config, contact: Arc<Contact>) -> kube::Result<Client> {
    let mut connector = HttpConnector::new_with_resolver(Resolver);
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(PROBE));
    connector.set_tcp_user_timeout(Some(PROBE));
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(connector)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let service = ServiceBuilder::new()
        .layer(Patience::new(contact))
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(Http::builder(TokioExecutor::new()).build::<_, Body>(connector));
    Ok(Client::new(service, config.default_namespace))
}
