//! One attempt of a delivery: signed, sent, and what came of it.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use ipnet::IpNet;
use lru::LruCache;
use parking_lot::Mutex;
use tidegate_egress::{EgressError, Gate, Receiver, Secret};
use tidegate_engine::redact::Redactor;
use tidegate_engine::webhook::{
    Attempt, DeliveryError, DeliveryErrorKind, Endpoint, EndpointId, Event, SigningSecret,
    kept_response, signature,
};
use tidegate_runtime::Clock;
use url::Url;

/// Receivers kept with their connections: more than there may be endpoints, so that only removed ones go.
const RECEIVERS_MAX: NonZeroUsize = match NonZeroUsize::new(200) {
    Some(most) => most,
    None => NonZeroUsize::MIN,
};

/// Receivers by endpoint, so that connections are used again.
#[derive(Debug)]
pub(crate) struct Receivers {
    gate: Gate,
    private: Vec<IpNet>,
    known: Mutex<LruCache<EndpointId, (Url, Receiver)>>,
}

impl Receivers {
    /// `private` are the ranges that the operator opened for webhooks.
    pub(crate) fn new(gate: Gate, private: Vec<IpNet>) -> Self {
        Self {
            gate,
            private,
            known: Mutex::new(LruCache::new(RECEIVERS_MAX)),
        }
    }

    fn get(&self, endpoint: &Endpoint) -> Result<Receiver, EgressError> {
        let mut known = self.known.lock();
        if let Some((url, receiver)) = known.get(&endpoint.id)
            && *url == endpoint.url
        {
            return Ok(receiver.clone());
        }
        let receiver =
            Receiver::of_webhooks(&self.gate, endpoint.id, &endpoint.url, self.private.clone())?;
        known.put(endpoint.id, (endpoint.url.clone(), receiver.clone()));
        Ok(receiver)
    }
}

/// Send an event to an endpoint, once.
pub(crate) async fn attempt(
    receivers: &Receivers,
    clock: &Clock,
    endpoint: &Endpoint,
    event: &Event,
    secrets: &[SigningSecret],
) -> Attempt {
    let at = clock.now();
    let (id, body) = (event.id.to_string(), event.body());
    let seconds = at.0 / 1000;
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", signature(secrets, &id, seconds, &body)),
        ("webhook-id", id),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value));
    let started = Instant::now();
    let answered = match receivers.get(endpoint) {
        Ok(receiver) => receiver.post(&headers, Bytes::from(body)).await,
        Err(error) => Err(error),
    };
    let mut attempt = Attempt {
        at,
        latency_ms: millis(started.elapsed()),
        status: None,
        no_answer: None,
        response: String::new(),
        retry_after_ms: None,
    };
    match answered {
        Ok(answer) => {
            attempt.latency_ms = millis(answer.latency);
            attempt.status = Some(answer.status);
            attempt.retry_after_ms = answer.retry_after.map(millis);
            let redactor = Redactor::new(&hidden(endpoint, secrets));
            attempt.response = kept_response(&answer.body, &redactor);
        }
        Err(error) => attempt.no_answer = Some(no_answer(&error)),
    }
    attempt
}

/// What no log may hold: the secrets, however an endpoint repeats them, and what its URL carries.
fn hidden(endpoint: &Endpoint, secrets: &[SigningSecret]) -> Vec<Secret> {
    let mut hidden: Vec<String> = Vec::new();
    for secret in secrets {
        let text = secret.text();
        if let Some(encoded) = text.strip_prefix("whsec_") {
            hidden.push(encoded.to_owned());
            hidden.push(encoded.trim_end_matches('=').to_owned());
            let bytes = base64::engine::general_purpose::STANDARD.decode(encoded);
            hidden.extend(bytes.ok().map(hex::encode));
        }
    }
    let url = &endpoint.url;
    let query = url.query().unwrap_or_default();
    hidden.push(query.to_owned());
    // Each value as it is sent, and as its receiver reads it.
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    hidden.extend(pairs.map(|(_, value)| value.to_owned()));
    hidden.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    hidden.into_iter().map(Secret::new).collect()
}

fn no_answer(error: &EgressError) -> DeliveryError {
    let kind = match error {
        EgressError::Timeout { .. } => DeliveryErrorKind::Timeout,
        EgressError::Connect { .. } => DeliveryErrorKind::Connect,
        EgressError::Denied { .. } => DeliveryErrorKind::Denied,
        _ => DeliveryErrorKind::Other,
    };
    let advice = match error {
        EgressError::Denied {
            missing: tidegate_egress::Missing::Private,
            ..
        } => {
            "; the operator opens private ranges for webhooks with serve --webhook-allow-private CIDR"
        }
        _ => "",
    };
    let message: String = format!("{}{advice}", error.message())
        .chars()
        .take(500)
        .collect();
    DeliveryError { kind, message }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
