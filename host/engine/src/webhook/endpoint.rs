//! An endpoint: where to deliver, what it wants to hear of, and whether it is well.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{EndpointId, EventType};
use crate::limits::{WEBHOOK_DESCRIPTION_BYTES, WEBHOOK_OLD_SECRETS, WEBHOOK_URL_BYTES};
use crate::{ConnectionKey, ConnectionName, Name, Timestamp};

/// A signing secret as it is stored. Prints nothing of itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    /// Sealed by the server; the store never reads it.
    pub sealed: Vec<u8>,
    pub created_at: Timestamp,
    /// From then on nothing is signed with it. `None` for the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSecret")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Why nothing is delivered to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhyDisabled {
    /// It answered 410: it wants nothing any more.
    Gone,
    /// It has failed, and nothing but failed, for five days.
    Failing,
    /// It has as many deliveries waiting as there may be.
    Full,
    /// Somebody wanted it so.
    Operator,
}

impl WhyDisabled {
    /// The word for people and programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
            Self::Full => "full",
            Self::Operator => "operator",
        }
    }
}

/// Since when nothing is delivered, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    pub at: Timestamp,
    pub why: WhyDisabled,
}

/// Somebody's URL that wants to hear of events.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub id: EndpointId,
    pub url: Url,
    #[serde(default)]
    pub description: String,
    /// What it wants; empty is everything.
    #[serde(default)]
    pub events: BTreeSet<EventType>,
    /// Only what happens to this integration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration: Option<Name>,
    /// Only what happens to this connection of `integration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionName>,
    /// Newest first; the first one is the current one.
    pub secrets: Vec<SealedSecret>,
    /// `None` while it is delivered to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
    /// When the failures began, since which nothing was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_failure_at: Option<Timestamp>,
    /// While it fails: from when on one of what waits is tried before its time ([`super::Head`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_at: Option<Timestamp>,
    pub created_at: Timestamp,
    /// Counts its changes, from 0: an update names the one that it has seen.
    #[serde(default)]
    pub revision: u64,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("id", &self.id)
            .field("url", &without_query(&self.url))
            .field("revision", &self.revision)
            .field("disabled", &self.disabled)
            .field("first_failure_at", &self.first_failure_at)
            .finish_non_exhaustive()
    }
}

/// Why an endpoint can't be stored so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("the URL must be http:// or https:// with a host")]
    Url,
    #[error(
        "the URL holds credentials or a fragment, which are never sent: leave them out; receivers check the signature"
    )]
    UrlParts,
    #[error("the URL has {0} bytes, and the limit webhook_url_bytes is {WEBHOOK_URL_BYTES}")]
    LongUrl(usize),
    #[error(
        "the description must have at most {WEBHOOK_DESCRIPTION_BYTES} bytes (limit webhook_description_bytes), and \
         no control characters"
    )]
    Description,
    #[error("a connection is one of an integration: name that, too")]
    ConnectionAlone,
    #[error(
        "an endpoint has a current secret and at most {WEBHOOK_OLD_SECRETS} old ones (limit webhook_old_secrets): \
         rotate again when one of them has expired"
    )]
    Secrets,
}

impl Endpoint {
    /// Whether it wants an event of this type about this connection. Events about no connection are
    /// for endpoints that want all connections'.
    #[must_use]
    pub fn wants(&self, kind: EventType, about: Option<&ConnectionKey>) -> bool {
        let integration = self.integration.as_ref();
        let connection = self.connection.as_ref();
        (self.events.is_empty() || self.events.contains(&kind))
            && integration.is_none_or(|name| about.is_some_and(|about| about.integration == *name))
            && connection.is_none_or(|name| about.is_some_and(|about| about.connection == *name))
    }

    /// The secrets that sign at `now`, the current one first.
    pub fn signing(&self, now: Timestamp) -> impl Iterator<Item = &SealedSecret> {
        let valid = move |secret: &&SealedSecret| secret.expires_at.is_none_or(|at| at > now);
        self.secrets.iter().filter(valid)
    }
}

/// Check what comes from outside.
pub fn check(endpoint: &Endpoint) -> Result<(), EndpointError> {
    let url = &endpoint.url;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(EndpointError::Url);
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(EndpointError::UrlParts);
    }
    if url.as_str().len() as u64 > WEBHOOK_URL_BYTES {
        return Err(EndpointError::LongUrl(url.as_str().len()));
    }
    let description = &endpoint.description;
    if description.len() as u64 > WEBHOOK_DESCRIPTION_BYTES
        || description.contains(char::is_control)
    {
        return Err(EndpointError::Description);
    }
    if endpoint.connection.is_some() && endpoint.integration.is_none() {
        return Err(EndpointError::ConnectionAlone);
    }
    let secrets = endpoint.secrets.len() as u64;
    if secrets == 0 || secrets > WEBHOOK_OLD_SECRETS + 1 {
        return Err(EndpointError::Secrets);
    }
    Ok(())
}

/// What is stored after an update that has seen the stored one; `None` if it has not.
#[must_use]
pub fn updated(stored: &Endpoint, update: &Endpoint) -> Option<Endpoint> {
    (stored.revision == update.revision).then(|| Endpoint {
        id: stored.id,
        created_at: stored.created_at,
        // It belongs to the failures, and moves without being noted as a change.
        probe_at: update.first_failure_at.and(stored.probe_at),
        revision: stored.revision + 1,
        ..update.clone()
    })
}

/// A URL as it may be shown: its query may hold a token.
#[must_use]
pub fn without_query(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn endpoint(url: &str) -> Endpoint {
        Endpoint {
            id: EndpointId::from_parts(Timestamp(1), 1),
            url: url.parse().unwrap(),
            description: String::new(),
            events: BTreeSet::new(),
            integration: None,
            connection: None,
            secrets: vec![SealedSecret {
                sealed: vec![1],
                created_at: Timestamp(1),
                expires_at: None,
            }],
            disabled: None,
            first_failure_at: None,
            probe_at: None,
            created_at: Timestamp(1),
            revision: 0,
        }
    }

    #[test]
    fn urls_texts_and_secrets_are_checked() {
        let long = format!("https://a.example/{}", "x".repeat(2_048));
        let rows = [
            ("https://a.example/hook?token=1", None),
            ("http://10.0.0.1:8080/", None),
            ("ftp://a.example/", Some(EndpointError::Url)),
            ("mailto:a@example.com", Some(EndpointError::Url)),
            ("https://u:p@a.example/", Some(EndpointError::UrlParts)),
            ("https://a.example/#x", Some(EndpointError::UrlParts)),
            (long.as_str(), Some(EndpointError::LongUrl(long.len()))),
        ];
        for (url, want) in rows {
            assert_eq!(check(&endpoint(url)).err(), want, "{url}");
        }
        let with = |change: fn(&mut Endpoint)| {
            let mut endpoint = endpoint("https://a.example/");
            change(&mut endpoint);
            check(&endpoint).err()
        };
        assert_eq!(
            with(|e| e.description = "a\u{1b}".into()),
            Some(EndpointError::Description)
        );
        assert_eq!(
            with(|e| e.description = "x".repeat(501)),
            Some(EndpointError::Description)
        );
        assert_eq!(
            with(|e| e.connection = Some("a".parse().unwrap())),
            Some(EndpointError::ConnectionAlone)
        );
        assert_eq!(with(|e| e.secrets.clear()), Some(EndpointError::Secrets));
        assert_eq!(with(|e| e.secrets = vec![e.secrets[0].clone(); 11]), None);
        assert_eq!(
            with(|e| e.secrets = vec![e.secrets[0].clone(); 12]),
            Some(EndpointError::Secrets)
        );
    }

    #[test]
    fn it_wants_what_its_filter_says() {
        let about = |integration: &str, connection: &str| ConnectionKey {
            integration: integration.parse().unwrap(),
            connection: connection.parse().unwrap(),
        };
        let acme = about("crm", "acme");
        let kind = EventType::RunFinished;
        let with = |change: fn(&mut Endpoint)| {
            let mut endpoint = endpoint("https://a.example/");
            change(&mut endpoint);
            endpoint
        };
        let all = with(|_| ());
        let failures = with(|e| e.events = [EventType::RunFailed].into());
        let crm = with(|e| e.integration = Some("crm".parse().unwrap()));
        let bolt = with(|e| {
            e.integration = Some("crm".parse().unwrap());
            e.connection = Some("bolt".parse().unwrap());
        });
        let rows = [
            (&all, kind, Some(&acme), true),
            (&all, kind, None, true),
            (&failures, kind, Some(&acme), false),
            (&failures, EventType::RunFailed, Some(&acme), true),
            (&crm, kind, Some(&acme), true),
            (&crm, kind, Some(&about("erp", "acme")), false),
            (&crm, kind, None, false),
            (&bolt, kind, Some(&acme), false),
            (&bolt, kind, Some(&about("crm", "bolt")), true),
            (&bolt, kind, Some(&about("erp", "bolt")), false),
        ];
        for (row, (endpoint, kind, about, want)) in rows.into_iter().enumerate() {
            assert_eq!(endpoint.wants(kind, about), want, "row {row}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let printed = format!("{:?}", endpoint("https://a.example/hook?token=hunter2"));
        assert!(
            !printed.contains("hunter2") && printed.contains("/hook"),
            "{printed}"
        );
    }
}
