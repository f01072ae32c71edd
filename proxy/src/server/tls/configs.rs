//! The settings of handshakes as rustls takes them, made anew where the published ones change and never in between.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use portcullis_model::{HostTls, Tls12Cipher, TlsGroup, TlsSettings};
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::version::{TLS12, TLS13};
use rustls::{Error, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

use super::certificates::TableCertificates;
use super::sessions::Sessions;
use super::tickets;
use crate::table::{HandshakePlan, RoutingTable, TableReader};

/// The configurations of the plan published last.
pub(super) struct Configs {
    table: TableReader,
    current: ArcSwapOption<Made>,
    making: Mutex<()>,
}

/// All configurations of one plan. Sessions of one are not resumed on another.
pub(super) struct Made {
    plan: Arc<HandshakePlan>,
    common: Arc<ServerConfig>,
    /// Sorted, as in the plan.
    own: Vec<(Arc<HostTls>, Arc<ServerConfig>)>,
    sessions: Option<Sessions>,
}

impl Configs {
    pub(super) fn new(table: TableReader) -> Self {
        Self { table, current: ArcSwapOption::empty(), making: Mutex::new(()) }
    }

    /// The table published last and the configurations for it.
    ///
    /// # Errors
    ///
    /// When rustls refuses the settings or has no random numbers.
    pub(super) fn current(&self) -> Result<(Arc<RoutingTable>, Arc<Made>), Error> {
        let table = self.table.load();
        if let Some(made) = self.made_for(&table) {
            return Ok((table, made));
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let table = self.table.load();
        if let Some(made) = self.made_for(&table) {
            return Ok((table, made));
        }
        let last = self.current.load_full();
        let made = Made::new(table.handshakes(), last.as_deref(), &self.table)
            .inspect_err(|error| tracing::error!(%error, "TLS settings cannot be used, so handshakes fail"))?;
        let made = Arc::new(made);
        self.current.store(Some(Arc::clone(&made)));
        Ok((table, made))
    }

    fn made_for(&self, table: &RoutingTable) -> Option<Arc<Made>> {
        self.current.load_full().filter(|made| Arc::ptr_eq(&made.plan, table.handshakes()))
    }
}

impl Made {
    /// Takes over from `last` what stays the same, with its sessions.
    fn new(plan: &Arc<HandshakePlan>, last: Option<&Self>, table: &TableReader) -> Result<Self, Error> {
        let last = last.filter(|last| last.plan.settings() == plan.settings() && last.plan.http2() == plan.http2());
        let settings = plan.settings();
        let sessions = match last {
            Some(last) => last.sessions.clone(),
            None => settings.session_cache.then(|| Sessions::new(settings.session_timeout)),
        };
        let make = |own: Option<&HostTls>| server_config(plan, own, sessions.as_ref(), table).map(Arc::new);
        let common = match last {
            Some(last) => Arc::clone(&last.common),
            None => make(None)?,
        };
        let reused = |own: &HostTls| last.and_then(|last| last.find(own)).map(Arc::clone);
        let own = plan.own().iter().map(|own| Ok((Arc::clone(own), reused(own).map_or_else(|| make(Some(own)), Ok)?)));
        let own = own.collect::<Result<_, Error>>()?;
        Ok(Self { plan: Arc::clone(plan), common, own, sessions })
    }

    /// The configuration of hosts that change this, or nothing.
    pub(super) fn of(&self, own: Option<&HostTls>) -> &Arc<ServerConfig> {
        own.and_then(|own| self.find(own)).unwrap_or(&self.common)
    }

    fn find(&self, own: &HostTls) -> Option<&Arc<ServerConfig>> {
        let place = self.own.binary_search_by(|(other, _)| (**other).cmp(own)).ok()?;
        self.own.get(place).map(|(_, config)| config)
    }
}

fn server_config(
    plan: &HandshakePlan,
    own: Option<&HostTls>,
    sessions: Option<&Sessions>,
    table: &TableReader,
) -> Result<ServerConfig, Error> {
    let settings = plan.settings();
    let builder = ServerConfig::builder_with_provider(Arc::new(provider(settings, own)));
    let builder = builder.with_protocol_versions(&versions(settings))?.with_no_client_auth();
    let mut config = builder.with_cert_resolver(Arc::new(TableCertificates(table.clone())));
    let protocols: &[&[u8]] = if plan.http2() { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.ignore_client_order = own.and_then(|own| own.server_order).unwrap_or(true);
    config.max_early_data_size = 0;
    let domain = domain(own);
    config.session_storage = Sessions::storage(sessions, &domain);
    if let Some(ticketer) = tickets::ticketer(&settings.tickets, settings.session_timeout, &domain)? {
        config.ticketer = ticketer;
    }
    Ok(config)
}

/// What tells apart hosts whose sessions are kept apart. The same on every replica, since replicas may share tickets.
fn domain(own: Option<&HostTls>) -> String {
    let ciphers = own.and_then(|own| own.ciphers.as_ref()).map(ToString::to_string).unwrap_or_default();
    let order = own.and_then(|own| own.server_order).unwrap_or(true);
    format!("ciphers={ciphers} server-order={order}")
}

fn provider(settings: &TlsSettings, own: Option<&HostTls>) -> CryptoProvider {
    let ciphers = own.and_then(|own| own.ciphers.as_ref()).unwrap_or(&settings.ciphers);
    let mut cipher_suites = Vec::new();
    // Also suites of versions that are not offered would count where rustls looks which certificates a client can check.
    if settings.versions.has_tls13() {
        cipher_suites.extend(TLS13_SUITES);
    }
    if settings.versions.has_tls12() {
        cipher_suites.extend(ciphers.iter().map(tls12_suite));
    }
    let kx_groups = settings.groups.iter().map(group).collect();
    CryptoProvider { cipher_suites, kx_groups, ..aws_lc_rs::default_provider() }
}

fn versions(settings: &TlsSettings) -> Vec<&'static SupportedProtocolVersion> {
    let tls13 = settings.versions.has_tls13().then_some(&TLS13);
    let tls12 = settings.versions.has_tls12().then_some(&TLS12);
    tls13.into_iter().chain(tls12).collect()
}

/// All of TLS 1.3.
pub(crate) const TLS13_SUITES: [SupportedCipherSuite; 3] = [
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
];

/// The suite that a name stands for.
pub(crate) fn tls12_suite(cipher: Tls12Cipher) -> SupportedCipherSuite {
    match cipher {
        Tls12Cipher::EcdsaAes256 => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        Tls12Cipher::RsaAes256 => cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        Tls12Cipher::EcdsaChaCha20 => cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        Tls12Cipher::RsaChaCha20 => cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        Tls12Cipher::EcdsaAes128 => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        Tls12Cipher::RsaAes128 => cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    }
}

fn group(group: TlsGroup) -> &'static dyn SupportedKxGroup {
    match group {
        TlsGroup::X25519MLKEM768 => kx_group::X25519MLKEM768,
        TlsGroup::X25519 => kx_group::X25519,
        TlsGroup::P256 => kx_group::SECP256R1,
        TlsGroup::P384 => kx_group::SECP384R1,
    }
}
