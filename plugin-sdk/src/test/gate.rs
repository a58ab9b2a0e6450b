//! The host's rules for a request: its form, and where it may go.

use std::net::IpAddr;

use tidegate_rules::address::AddressPolicy;
use tidegate_rules::grant::{HostPattern, HostRequest};
use tidegate_rules::limits::Limits;
use tidegate_rules::request::{self, Checked, RequestError};
use url::{Host, ParseError, Url};

use super::declared::Grants;
use crate::host::{HttpError, Request};

/// The request with its URL made absolute, if the host would take it.
pub(super) fn check(
    request: &Request,
    base_url: Option<&Url>,
    limits: &Limits,
) -> Result<Checked, HttpError> {
    let asked = request::Request {
        method: &request.method,
        url: &request.url,
        headers: &request.headers,
        body_bytes: request.body.as_ref().map_or(0, Vec::len),
        timeout_ms: request.timeout_ms,
        idempotency_key: request.idempotency_key.as_deref(),
    };
    let nowhere;
    let base = match (base_url, Url::parse(&request.url)) {
        (Some(base), _) => base,
        (None, Ok(own)) => {
            nowhere = own;
            &nowhere
        }
        (None, Err(ParseError::RelativeUrlWithoutBase)) => {
            let url = &request.url;
            let text = format!("the URL {url} is relative, and the connection has no base URL");
            return Err(HttpError::invalid(text));
        }
        (None, Err(error)) => return Err(HttpError::invalid(error.to_string())),
    };
    request::check(&asked, base, limits).map_err(|error| match error {
        RequestError::Invalid(text) => HttpError::invalid(text),
        error @ RequestError::TooLarge { .. } => HttpError::too_large(error.to_string()),
    })
}

/// Whether the gate would let it out. The operator is taken to have granted what the manifest asks for by
/// name, private ranges too; beside that only `allowed`.
pub(super) fn judge(
    url: &Url,
    grants: &Grants,
    base_url: Option<&Url>,
    allowed: &[HostPattern],
) -> Result<(), HttpError> {
    let granted = grants.hosts.iter().any(|host| match host {
        HostRequest::Granted => allowed.iter().any(|pattern| pattern.matches(url)),
        HostRequest::BaseUrl => base_url.is_some_and(|base| host.matches(url, base)),
        HostRequest::Pattern(pattern) => pattern.matches(url),
    });
    if !granted {
        let origin = url.origin().ascii_serialization();
        let hosts: Vec<String> = grants.hosts.iter().map(ToString::to_string).collect();
        return Err(HttpError::denied(format!(
            "{origin} is not among the plugin's hosts ({}): add .host(\"{origin}\")",
            hosts.join(", ")
        )));
    }
    let address = match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
        _ => return Ok(()),
    };
    let policy = AddressPolicy::new(AddressPolicy::private_ranges(), Vec::new());
    let judged = policy.judge(address);
    judged.map_err(|refused| HttpError::denied(format!("{url} is not allowed: {refused}")))
}
