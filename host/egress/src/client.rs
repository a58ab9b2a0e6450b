//! The HTTP client of a session, closed on every side where reqwest is open by default.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, redirect, retry};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, RootCertStore};
use tidegate_engine::limits::Limits;

use crate::peer::PeerCheckLayer;
use crate::resolve::Guard;

/// Longest wait for a connection with its TLS; the attempt's own time ends it earlier.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Idle connections kept for each origin, and for how long: less than the usual servers keep theirs (Node
/// 5 s, most others longer), so that a request seldom meets a connection that is just being closed.
const IDLE_MAX: usize = 16;
const IDLE_TIME: Duration = Duration::from_secs(4);
/// What a server may send ahead on one stream and on one connection of HTTP/2.
const HTTP2_STREAM_BYTES: u32 = 512 * 1024;
const HTTP2_CONNECTION_BYTES: u32 = 1024 * 1024;
/// TLS sessions that a client can resume.
const TICKETS_MAX: usize = 16;

/// TLS settings that trust the machine's roots and `extra`. Reading the roots takes milliseconds,
/// so this is done once in a process; [`client`] takes a copy.
pub(crate) fn trusting(
    extra: &[rustls::pki_types::CertificateDer<'static>],
) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(
        extra.iter().cloned(),
        Arc::clone(&provider),
    )
    .map_err(|error| format!("the root certificates can't be read: {error}"))?;
    let config = versions(provider)?
        .dangerous() // rustls's word for any verifier that is not its own; this one verifies
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

/// TLS settings that trust nobody, for clients that only speak plain HTTP.
pub(crate) fn trusting_nobody() -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(versions(provider)?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

fn versions(
    provider: Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())
}

/// A client with connections and TLS tickets of its own.
pub(crate) fn client(tls: &ClientConfig, guard: Guard, limits: &Limits) -> Result<Client, String> {
    let mut tls = tls.clone();
    tls.resumption = Resumption::in_memory_sessions(TICKETS_MAX);
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let headers = usize::try_from(limits.http_headers).unwrap_or(usize::MAX);
    // Twice: what HTTP/2 counts is more than the texts, which are measured afterwards.
    let header_bytes =
        u32::try_from(limits.http_header_bytes.saturating_mul(2)).unwrap_or(u32::MAX);
    let peer_check = PeerCheckLayer::of(&guard);
    let proxy = guard.route.as_ref().map(|route| route.proxy.for_client());
    let builder = Client::builder()
        .no_proxy() // proxy variables would carry requests past every later check
        .redirect(redirect::Policy::none()) // each hop has to pass the gate
        .referer(false)
        .retry(retry::never()) // repeating is decided in `retry`, and counted
        .dns_resolver(Arc::new(guard))
        .connector_layer(peer_check)
        .tls_backend_preconfigured(tls)
        .http1_max_headers(headers)
        .http2_max_header_list_size(header_bytes)
        // What comes before it is asked for, and so before it is counted.
        .http2_initial_stream_window_size(HTTP2_STREAM_BYTES)
        .http2_initial_connection_window_size(HTTP2_CONNECTION_BYTES)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(IDLE_MAX)
        .pool_idle_timeout(IDLE_TIME);
    let builder = match proxy {
        Some(proxy) => builder.proxy(proxy?),
        None => builder,
    };
    builder
        .build()
        .map_err(|error| format!("the HTTP client can't be built: {}", error.without_url()))
}
