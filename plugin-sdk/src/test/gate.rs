//! The host's rules for a request, as far as a fake can keep them: hosts, headers, sizes.

use super::request::Request;
use crate::host::HttpError;

const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 16 * 1024;
const BODY_MAX: usize = 8 * 1024 * 1024;
const OWN_HEADERS: [&str; 5] = [
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "upgrade",
];

/// Whether the host would let this request out.
pub(super) fn check(
    request: &Request,
    hosts: &[String],
    base_url: Option<&str>,
    allowed: &[String],
) -> Result<(), HttpError> {
    let origin = origin(&request.url);
    let granted = hosts.iter().any(|host| match host.as_str() {
        "base-url" => base_url.map(self::origin).as_ref() == Some(&origin),
        "granted" => allowed.iter().any(|allowed| covers(allowed, &origin)),
        host => covers(host, &origin),
    });
    if !granted {
        return Err(HttpError::denied(format!(
            "{origin} is not among the plugin's hosts ({}): add .host(\"{origin}\")",
            hosts.join(", ")
        )));
    }
    let method = &request.method;
    if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(HttpError::invalid(format!(
            "the method `{method}` is not upper case"
        )));
    }
    let bytes: usize = request
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if request.headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(HttpError::invalid(format!(
            "more than {HEADERS_MAX} headers or {HEADER_BYTES_MAX} bytes of them"
        )));
    }
    for (name, _) in &request.headers {
        if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(HttpError::invalid(format!(
                "the header {name} is the host's to set"
            )));
        }
    }
    if request
        .body
        .as_ref()
        .is_some_and(|body| body.len() > BODY_MAX)
    {
        return Err(HttpError::invalid(format!(
            "a body of more than {BODY_MAX} bytes"
        )));
    }
    Ok(())
}

/// `scheme://host[:port]`, without the scheme's own port.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match (scheme, host.rsplit_once(':')) {
        ("https", Some((host, "443"))) | ("http", Some((host, "80"))) => host,
        _ => host,
    };
    format!("{scheme}://{host}").to_ascii_lowercase()
}

fn covers(grant: &str, wanted: &str) -> bool {
    let grant = origin(grant);
    let (Some((scheme, pattern)), Some((wanted_scheme, host))) =
        (grant.split_once("://*."), wanted.split_once("://"))
    else {
        return grant == wanted;
    };
    let under = host
        .strip_suffix(pattern)
        .is_some_and(|sub| sub.len() > 1 && sub.ends_with('.'));
    scheme == wanted_scheme && under
}

#[cfg(test)]
mod tests {
    use super::{covers, origin};

    #[test]
    fn grants() {
        for (grant, url, expected) in [
            (
                "https://api.example.com",
                "https://api.example.com/x?y",
                true,
            ),
            (
                "https://api.example.com",
                "https://API.example.com:443",
                true,
            ),
            ("https://api.example.com", "http://api.example.com/x", false),
            (
                "https://api.example.com",
                "https://api.example.com:8443/x",
                false,
            ),
            (
                "https://api.example.com",
                "https://api.example.com.evil/x",
                false,
            ),
            ("https://*.example.com", "https://a.b.example.com/x", true),
            ("https://*.example.com", "https://example.com/x", false),
            ("https://*.example.com", "https://.example.com/x", false),
            ("https://*.example.com", "https://notexample.com/x", false),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/x", true),
        ] {
            assert_eq!(covers(grant, &origin(url)), expected, "{grant} {url}");
        }
    }
}
