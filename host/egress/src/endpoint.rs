//! Requests to a connection's token endpoint: through the gate, under a grant and limits of their own.

use bytes::Bytes;
use ipnet::IpNet;
use tidegate_engine::grant::{GrantFlag, HostPattern, HostRequest};
use tidegate_engine::limits::{Limits, TOKEN_RESPONSE_BYTES, TOKEN_TIMEOUT_MS};
use tidegate_engine::redact::SecretTexts;
use tidegate_engine::{ConnectionKey, Timestamp};
use url::Url;

use crate::error::{EgressError, Missing};
use crate::gate::Gate;
use crate::message::{Request, Response, Retry};
use crate::policy::Policy;
use crate::session::Session;
use tidegate_rules::request::shown;

/// A token endpoint, and what the operator allows of it.
#[derive(Debug, Clone)]
pub struct TokenEndpoint {
    pub connection: ConnectionKey,
    pub url: Url,
    /// `Grants::token_hosts`
    pub granted: Vec<HostPattern>,
    /// Private ranges that the operator opened. Only there a token endpoint may speak plain http.
    pub private: Vec<IpNet>,
}

impl TokenEndpoint {
    /// Send one POST, once, and follow no redirect: it would carry the client's secret along.
    pub async fn post(
        &self,
        gate: &Gate,
        headers: Vec<(String, String)>,
        body: Bytes,
    ) -> Result<Response, EgressError> {
        let request = Request {
            method: "POST".to_owned(),
            url: self.url.to_string(),
            headers,
            body: Some(body),
            retry: Retry::Never,
            ..Request::default()
        };
        let session = Session::of_host(gate.clone(), self.policy()?);
        session.send(request).await.map_err(in_our_words)
    }

    /// The grant is the plugin's to ask for nowhere: the manifest's hosts don't matter.
    fn policy(&self) -> Result<Policy, EgressError> {
        let shown = shown(&self.url);
        let Some(origin) = HostPattern::of_origin(&self.url) else {
            return Err(EgressError::invalid(format!(
                "{shown} has no host that can be granted"
            )));
        };
        if !self
            .granted
            .iter()
            .any(|granted| granted.matches(&self.url))
        {
            return Err(EgressError::Denied {
                missing: Missing::Grant,
                message: format!(
                    "the token endpoint {shown} is not allowed: its origin is not granted; the \
                     operator allows it with {}",
                    GrantFlag::TokenHost(origin)
                ),
            });
        }
        Ok(Policy {
            connection: self.connection.clone(),
            // Nothing outlasts the request.
            since: Timestamp(0),
            rate_limit: None,
            requested: vec![HostRequest::Pattern(origin.clone())],
            granted: vec![origin],
            private: self.private.clone(),
            base_url: self.url.clone(),
            credentials: None,
            secrets: SecretTexts::default(),
            limits: Limits {
                http_response_bytes: TOKEN_RESPONSE_BYTES,
                http_timeout_ms: TOKEN_TIMEOUT_MS,
                ..Limits::default()
            },
        })
    }
}

/// The limits of a token request have names of their own, and nobody can raise them.
fn in_our_words(error: EgressError) -> EgressError {
    match error {
        EgressError::Timeout { .. } => EgressError::Timeout {
            message: format!(
                "no complete answer within {TOKEN_TIMEOUT_MS} ms (limit token_timeout_ms)"
            ),
        },
        EgressError::TooLarge {
            limit: "http_response_bytes",
            blame,
            ..
        } => EgressError::TooLarge {
            limit: "token_response_bytes",
            blame,
            message: format!(
                "the answer is larger than {TOKEN_RESPONSE_BYTES} bytes (limit token_response_bytes)"
            ),
        },
        other => other,
    }
}
