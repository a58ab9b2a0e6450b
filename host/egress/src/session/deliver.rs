//! The host's own messages to who receives them, webhooks and traces: through the gate, under an
//! allowance of their own.
//!
//! The status of an answer decides, whatever its body is like; that is read for the log only, as far
//! as it comes in time and within a limit. No redirect is followed, nothing is repeated, and no pace
//! holds: when to try again is decided by who keeps the messages.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{Method, header};
use ipnet::IpNet;
use tidegate_engine::grant::{HostPattern, HostRequest};
use tidegate_engine::limits::{
    Limits, OTLP_TIMEOUT_MS, WEBHOOK_RESPONSE_BYTES, WEBHOOK_TIMEOUT_MS,
};
use tidegate_engine::redact::SecretTexts;
use tidegate_engine::webhook::EndpointId;
use tidegate_engine::{ConnectionKey, Timestamp};
use url::Url;

use super::Session;
use crate::deadline::Deadline;
use crate::error::EgressError;
use crate::gate::{self, Gate};
use crate::headers;
use crate::hints::RateLimitHints;
use crate::policy::Policy;
use crate::redirect::Hop;
use crate::sent::Sent;
use tidegate_rules::address::AddressPolicy;
use tidegate_rules::request::{self, shown};

/// The URL of a webhook endpoint or of a collector of traces, with connections that are kept for the
/// next message to it. Clones are the same receiver.
#[derive(Debug, Clone)]
pub struct Receiver {
    session: Session,
    url: Url,
    time: Time,
}

/// How long one message may take, and the limit that says so.
#[derive(Debug, Clone, Copy)]
struct Time {
    limit: &'static str,
    ms: u64,
}

/// What a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Until the status was there.
    pub latency: Duration,
    /// Its `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The beginning of the body: at most `webhook_response_bytes`, and what came in time.
    pub body: Bytes,
}

impl Receiver {
    /// A webhook endpoint. `private` are the ranges that the operator opened for webhooks. Only there a
    /// receiver may speak plain http.
    pub fn of_webhooks(
        gate: &Gate,
        endpoint: EndpointId,
        url: &Url,
        private: Vec<IpNet>,
    ) -> Result<Self, EgressError> {
        let time = Time {
            limit: "webhook_timeout_ms",
            ms: WEBHOOK_TIMEOUT_MS,
        };
        // An id is never given out again.
        let whose = ("webhooks", &*endpoint.to_string());
        Self::new(gate, whose, url, private, time)
    }

    /// The operator's collector of traces: by naming its URL they have opened every private range,
    /// and plain http there. Where clouds keep their secrets stays shut.
    pub fn of_traces(gate: &Gate, url: &Url) -> Result<Self, EgressError> {
        let time = Time {
            limit: "otlp_timeout_ms",
            ms: OTLP_TIMEOUT_MS,
        };
        let private = AddressPolicy::private_ranges();
        Self::new(gate, ("traces", "collector"), url, private, time)
    }

    fn new(
        gate: &Gate,
        (integration, connection): (&str, &str),
        url: &Url,
        private: Vec<IpNet>,
        time: Time,
    ) -> Result<Self, EgressError> {
        let no_host = || EgressError::invalid(format!("{} has no host", shown(url)));
        let origin = HostPattern::of_origin(url).ok_or_else(no_host)?;
        let named = |_| EgressError::invalid("a receiver's id is no name");
        let policy = Policy {
            connection: ConnectionKey {
                integration: integration.parse().map_err(named)?,
                connection: connection.parse().map_err(named)?,
            },
            // Nobody else gets this session's connections.
            since: Timestamp(0),
            rate_limit: None,
            requested: vec![HostRequest::Pattern(origin.clone())],
            granted: vec![origin],
            private,
            base_url: url.clone(),
            credentials: None,
            secrets: SecretTexts::default(),
            limits: Limits {
                http_timeout_ms: time.ms,
                ..Limits::default()
            },
        };
        Ok(Self {
            session: Session::of_host(gate.clone(), policy),
            url: url.clone(),
            time,
        })
    }

    /// Send one POST, once. An error means that no status came.
    pub async fn post(
        &self,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Result<Answer, EgressError> {
        let inner = &self.session.0;
        let started = Instant::now();
        let mut watch = Deadline::new(Duration::from_millis(self.time.ms));
        let check = gate::check(&self.url, &inner.policy, &inner.guard);
        watch.run(check).await.map_err(|_| self.late())??;
        let headers = request::headers(headers, None, &inner.policy.limits)?;
        let mut headers = headers::with_own(headers);
        // The answer is for the log only, where it stands as it came.
        headers.remove(header::ACCEPT_ENCODING);
        let hop = Hop {
            sent: Sent::default(),
            only_reads: false,
            method: Method::POST,
            url: self.url.clone(),
            headers,
            body,
            is_own: false,
        };
        let transmitted = watch.run(inner.transmit(&hop, None)).await;
        let mut answer = transmitted.map_err(|_| self.late())??;
        let latency = started.elapsed();
        let hints = RateLimitHints::read(answer.headers(), inner.gate.timers().now());
        let status = answer.status().as_u16();
        let mut body = BytesMut::new();
        // What comes too late or breaks off is not needed.
        let _ = watch.run(read(&mut answer, &mut body)).await;
        Ok(Answer {
            status,
            latency,
            retry_after: hints.retry_after,
            body: body.freeze(),
        })
    }

    fn late(&self) -> EgressError {
        let Time { limit, ms } = self.time;
        EgressError::Timeout {
            message: format!("no answer within {ms} ms (limit {limit})"),
        }
    }
}

/// Read until the end, an error or the limit, so that the connection can be used again after an
/// ordinary answer.
async fn read(answer: &mut reqwest::Response, body: &mut BytesMut) {
    let most = usize::try_from(WEBHOOK_RESPONSE_BYTES).unwrap_or(usize::MAX);
    while let Ok(Some(chunk)) = answer.chunk().await {
        let room = most - body.len();
        if chunk.len() >= room {
            body.extend_from_slice(chunk.get(..room).unwrap_or_default());
            return;
        }
        body.extend_from_slice(&chunk);
    }
}
