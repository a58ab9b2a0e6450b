//! Webhooks to their receivers: through the gate, under an allowance of their own.
//!
//! The status of an answer decides, whatever its body is like; that is read for the log only, as far
//! as it comes in time and within a limit. No redirect is followed, nothing is repeated, and no pace
//! holds: when to try again is decided by who keeps the deliveries.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::Method;
use ipnet::IpNet;
use tidegate_engine::grant::{HostPattern, HostRequest};
use tidegate_engine::limits::{Limits, WEBHOOK_RESPONSE_BYTES, WEBHOOK_TIMEOUT_MS};
use tidegate_engine::webhook::EndpointId;
use tidegate_engine::{ConnectionKey, Timestamp};
use url::Url;

use super::Session;
use crate::error::EgressError;
use crate::gate::{self, Gate};
use crate::headers;
use crate::policy::Policy;
use crate::redirect::Hop;
use crate::said::Said;
use crate::stopwatch::Stopwatch;
use crate::target::shown;

/// The URL of a webhook endpoint, with connections that are kept for the next delivery to it. Clones
/// are the same receiver.
#[derive(Debug, Clone)]
pub struct Receiver {
    session: Session,
    url: Url,
}

/// What a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Until the status was there.
    pub latency: Duration,
    /// Its `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The beginning of the body, decompressed: at most `webhook_response_bytes`, and what came in
    /// time.
    pub body: Bytes,
}

impl Receiver {
    /// `private` are the ranges that the operator opened for webhooks. Only there a receiver may
    /// speak plain http.
    pub fn new(
        gate: &Gate,
        endpoint: EndpointId,
        url: &Url,
        private: Vec<IpNet>,
    ) -> Result<Self, EgressError> {
        let no_host = || EgressError::invalid(format!("{} has no host", shown(url)));
        let origin = HostPattern::of_origin(url).ok_or_else(no_host)?;
        let named = |_| EgressError::invalid("an endpoint's id is no name");
        let policy = Policy {
            connection: ConnectionKey {
                integration: "webhooks".parse().map_err(named)?,
                connection: endpoint.to_string().parse().map_err(named)?,
            },
            // An id is never given out again.
            since: Timestamp(0),
            rate_limit: None,
            requested: vec![HostRequest::Pattern(origin.clone())],
            granted: vec![origin],
            private,
            base_url: url.clone(),
            credentials: None,
            limits: Limits {
                http_timeout_ms: WEBHOOK_TIMEOUT_MS,
                ..Limits::default()
            },
        };
        Ok(Self {
            session: Session::of_host(gate.clone(), policy),
            url: url.clone(),
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
        let mut watch = Stopwatch::new(Duration::from_millis(WEBHOOK_TIMEOUT_MS));
        let check = gate::check(&self.url, &inner.policy, &inner.guard);
        watch.run(check).await.map_err(|_| late())??;
        let hop = Hop {
            method: Method::POST,
            url: self.url.clone(),
            headers: headers::outgoing(headers, None, &inner.policy.limits)?,
            body,
        };
        let transmitted = watch.run(inner.transmit(&hop, None)).await;
        let mut answer = transmitted.map_err(|_| late())??;
        let latency = started.elapsed();
        let said = Said::read(answer.headers(), inner.gate.timers().now());
        let status = answer.status().as_u16();
        let mut body = BytesMut::new();
        // What comes too late or breaks off is not needed.
        let _ = watch.run(read(&mut answer, &mut body)).await;
        Ok(Answer {
            status,
            latency,
            retry_after: said.retry_after,
            body: body.freeze(),
        })
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

fn late() -> EgressError {
    EgressError::Timeout {
        message: format!("no answer within {WEBHOOK_TIMEOUT_MS} ms (limit webhook_timeout_ms)"),
    }
}
