//! What one run may reach: the manifest's requests, the operator's grants, and why a URL is refused.

use ipnet::IpNet;
use tidegate_engine::grant::GrantFlag;
use tidegate_engine::grant::{HostPattern, HostRequest, RateLimit};
use tidegate_engine::limits::Limits;
use tidegate_engine::redact::SecretTexts;
use tidegate_engine::{ConnectionKey, Timestamp};
use url::Url;

use crate::credentials::Credentials;
use crate::error::{EgressError, Missing};
use tidegate_rules::request::shown;

/// What one run may reach, as whom, and how much of it.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Whose run this is. Its runs share a pace at each origin, its integration's a retry budget.
    pub connection: ConnectionKey,
    /// When the connection was added: another of its name, added after its removal, may be somebody else's.
    pub since: Timestamp,
    /// How fast the connection may ask each origin: the operator's word, else the manifest's.
    /// `None` leaves the pace to the upstream's answers.
    pub rate_limit: Option<RateLimit>,
    /// `capabilities.hosts` of the manifest. Empty reaches nothing.
    pub requested: Vec<HostRequest>,
    /// The operator's grants. Empty reaches nothing.
    pub granted: Vec<HostPattern>,
    /// Private, loopback, CGNAT and unique local ranges that the operator opened.
    pub private: Vec<IpNet>,
    /// Where relative URLs go. `credentials` go to its origin and nowhere else.
    pub base_url: Url,
    pub credentials: Option<Credentials>,
    /// What no trace may hold, though an API puts it into a URL's path.
    pub secrets: SecretTexts,
    /// Those that start with `http_` hold here, and `host_held_bytes` for the bodies of answers.
    pub limits: Limits,
}

impl Policy {
    /// Is the URL's origin within both what the manifest requests and what is granted?
    pub(crate) fn check_origin(&self, url: &Url) -> Result<(), EgressError> {
        let requested = self
            .requested
            .iter()
            .any(|r| r.matches(url, &self.base_url));
        let granted = self.granted.iter().any(|g| g.matches(url));
        if requested && granted {
            return Ok(());
        }
        let shown = shown(url);
        let Some(origin) = HostPattern::of_origin(url) else {
            return Err(EgressError::invalid(format!(
                "{shown} has no host that can be granted"
            )));
        };
        let grant = GrantFlag::Host(origin.clone());
        let grant = format!("the operator allows it with {grant}");
        let (missing, reason) = if requested {
            (
                Missing::Grant,
                format!("the plugin requests {origin}, but it is not granted; {grant}"),
            )
        } else {
            let ask = format!(
                "the plugin's manifest does not request {origin}; its author adds \"{origin}\" to \
                 capabilities.hosts"
            );
            let then = if granted {
                String::new()
            } else {
                format!(", and then {grant}")
            };
            (Missing::Manifest, format!("{ask}{then}"))
        };
        Err(EgressError::Denied {
            missing,
            message: format!("{shown} is not allowed: {reason}"),
        })
    }

    /// Whether the connection's credentials belong on requests to `url`.
    pub(crate) fn is_own_origin(&self, url: &Url) -> bool {
        url.origin() == self.base_url.origin()
    }

    /// `url` without the connection's query credential.
    pub(crate) fn strip(&self, url: &mut Url) {
        if let Some(credentials) = &self.credentials {
            credentials.strip(url);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_and_grant_are_both_needed_and_named() {
        use Missing::{Grant, Manifest};
        let policy = |requested: &str, granted: &str| Policy {
            connection: ConnectionKey {
                integration: "crm".parse().unwrap(),
                connection: "acme".parse().unwrap(),
            },
            since: Timestamp(1),
            rate_limit: None,
            requested: Some(requested)
                .filter(|text| !text.is_empty())
                .map(|text| HostRequest::try_from(text.to_owned()).unwrap())
                .into_iter()
                .collect(),
            granted: granted.parse().into_iter().collect(),
            private: Vec::new(),
            base_url: Url::parse("https://api.example.com/v1").unwrap(),
            credentials: None,
            secrets: SecretTexts::default(),
            limits: Limits::default(),
        };
        let api = "https://api.example.com";
        let any = "https://*.example.com";
        let own = "base-url";
        let cdn = "https://cdn.example.com/x";
        let allow_cdn = "--allow-host https://cdn.example.com";
        let ask_cdn = "\"https://cdn.example.com\" to capabilities.hosts";
        let then = "and then the operator allows it with --allow-host https://api.example.com";
        // (requested, granted, url, what is missing, part of the message); "" is an empty list
        let rows = [
            (own, api, "https://api.example.com/v1", None, ""),
            (any, any, cdn, None, ""),
            ("granted", any, cdn, None, ""),
            ("granted", api, cdn, Some(Grant), allow_cdn),
            (any, api, cdn, Some(Grant), allow_cdn),
            (own, any, cdn, Some(Manifest), ask_cdn),
            ("", "", "https://api.example.com/", Some(Manifest), then),
            (
                own,
                "",
                "https://api.example.com/",
                Some(Grant),
                "--allow-host https://api",
            ),
            (
                own,
                api,
                "http://api.example.com/",
                Some(Manifest),
                "http://api.example.com",
            ),
            (
                own,
                api,
                "https://api.example.com:8443/",
                Some(Manifest),
                ":8443",
            ),
            (
                any,
                any,
                "https://127.0.0.1/",
                Some(Manifest),
                "https://127.0.0.1",
            ),
        ];
        for (requested, granted, url, want, part) in rows {
            let got = policy(requested, granted).check_origin(&Url::parse(url).unwrap());
            match (got, want) {
                (Ok(()), None) => {}
                (Err(EgressError::Denied { missing, message }), Some(want)) => {
                    assert_eq!(missing, want, "{url}");
                    assert!(message.contains(part), "{url}: {message}");
                }
                (got, want) => panic!("{url}: wanted {want:?}, got {got:?}"),
            }
        }
    }
}
