//! One run's requests: budgets, attempts and redirects around the gate.

mod answer;
pub(crate) mod deliver;

use futures::future::BoxFuture;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::StatusCode;
use reqwest::Client;
use tidegate_engine::redact::Secret;
use tidegate_engine::run::Blame;
use tokio::sync::Semaphore;
use tracing::Instrument;
use url::Url;

use crate::credentials::Credentials;
use crate::deadline::Deadline;
use crate::error::EgressError;
use crate::gate::{self, Gate};
use crate::held::Account;
use crate::hints::RateLimitHints;
use crate::message::{Request, Response, Retry};
use crate::meter::{Figures, Meter, WaitReason};
use crate::policy::Policy;
use crate::redirect::{self, Hop, REDIRECTS_MAX};
use crate::resolve::Guard;
use crate::retry;
use crate::sent::{self, Sent};
use crate::throttle::Permit;
use crate::{body, client, headers};
use tidegate_rules::request::{self, shown};

/// The requests of one run. Clones are the same session.
#[derive(Debug, Clone)]
pub struct Session(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    gate: Gate,
    policy: Policy,
    guard: Guard,
    meter: Meter,
    /// What the run may hold of calls that have not ended.
    account: Account,
    in_flight: Semaphore,
    /// How many redirects are followed; a request of the host's own follows none, and gets the
    /// redirect itself.
    redirects: usize,
    /// Whether open connections outlast it, for the next run of the same connection.
    is_kept: bool,
    /// Found or built for the first request of its kind: most of a client's cost is TLS.
    plain: OnceLock<Result<Client, String>>,
    secure: OnceLock<Result<Client, String>>,
}

impl Session {
    pub(crate) fn new(gate: Gate, policy: Policy) -> Self {
        let guard = gate.guard(&policy);
        Self::with(gate, policy, guard, REDIRECTS_MAX, true)
    }

    /// For requests of the host's own, to a token endpoint or a receiver of webhooks: in clear only to
    /// private addresses, and never anywhere else.
    pub(crate) fn of_host(gate: Gate, policy: Policy) -> Self {
        let mut guard = gate.guard(&policy);
        if policy.base_url.scheme() != "https" {
            guard.addresses = Arc::new((*guard.addresses).clone().only_private());
        }
        Self::with(gate, policy, guard, 0, false)
    }

    fn with(gate: Gate, policy: Policy, guard: Guard, redirects: usize, is_kept: bool) -> Self {
        let permits = usize::try_from(policy.limits.http_in_flight).unwrap_or(usize::MAX);
        Self(Arc::new(Inner {
            account: gate.held().account(policy.limits.host_held_bytes),
            guard,
            redirects,
            gate,
            meter: Meter::default(),
            in_flight: Semaphore::new(permits.min(Semaphore::MAX_PERMITS)),
            policy,
            is_kept,
            plain: OnceLock::new(),
            secure: OnceLock::new(),
        }))
    }

    /// What the session has sent and received so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.0.meter.figures()
    }

    /// What the run may hold of calls that have not ended; the bodies of answers count for it here, what
    /// else does is whoever's who calls.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.0.account
    }

    /// Send one request and wait for the whole response, whatever its status. Calls overlap up to
    /// `http_in_flight`; the rest wait. Dropping the future cancels the request.
    pub async fn send(&self, request: Request) -> Result<Response, EgressError> {
        self.send_noting(request, &Sent::default()).await
    }

    /// Like [`send`](Self::send), and note whether the request may have been done when no answer says so.
    pub async fn send_noting(
        &self,
        request: Request,
        sent: &Sent,
    ) -> Result<Response, EgressError> {
        self.0.meter.call(&self.0.policy.limits)?;
        let (mut first, time) = self.0.accept(&request)?;
        first.sent = sent.clone();
        let repeatable = retry::repeatable(
            request.retry,
            &first.method,
            request.idempotency_key.is_some(),
        );
        let _permit = self
            .0
            .in_flight
            .acquire()
            .await
            .map_err(|_| EgressError::Other {
                blame: Blame::Host,
                message: "the session is closed".to_owned(),
            })?;
        let timers = self.0.gate.timers();
        let integration = &self.0.policy.connection.integration;
        let budget = self.0.gate.budget(integration, &first.url);
        budget.earn(timers.instant());
        let mut attempt = 1;
        let mut renewals = 1;
        loop {
            let outcome = self.0.attempt(&first, time, &mut renewals).await;
            let wanted = repeatable
                .then(|| retry::wait(attempt, &outcome, timers))
                .flatten();
            let wait = wanted.filter(|_| budget.pay(timers.instant()));
            let Some(wait) = wait else {
                if wanted.is_some() {
                    self.0.meter.unpaid();
                }
                let response = outcome.map(|(response, _)| response);
                return response.map_err(|error| with_attempts(error, attempt, wanted.is_some()));
            };
            timers.sleep(wait.time).await;
            let why = match wait.is_asked {
                true => WaitReason::RetryAfter,
                false => WaitReason::Backoff,
            };
            self.0.meter.waited(why, wait.time);
            self.0.meter.retried();
            attempt += 1;
        }
    }
}

impl Inner {
    /// The guest's request, checked, and the time for each attempt.
    fn accept(&self, request: &Request) -> Result<(Hop, Duration), EgressError> {
        let body = request.body.clone().unwrap_or_default();
        let asked = request::Request {
            method: &request.method,
            url: &request.url,
            headers: &request.headers,
            body_bytes: body.len(),
            timeout_ms: request.timeout_ms,
            idempotency_key: request.idempotency_key.as_deref(),
        };
        let checked = request::check(&asked, &self.policy.base_url, &self.policy.limits)?;
        let request::Checked { method, url, .. } = checked;
        Ok((
            Hop {
                is_own: self.policy.is_own_origin(&url),
                only_reads: redirect::is_safe(&method) || request.retry == Retry::Always,
                method,
                url,
                headers: headers::with_own(checked.headers),
                body,
                sent: Sent::default(),
            },
            Duration::from_millis(checked.timeout_ms),
        ))
    }

    /// The request and its redirects, once. A token that the server refuses is renewed as often as
    /// `renewals` still says; time for tokens is not the request's.
    fn attempt<'a>(
        &'a self,
        first: &'a Hop,
        time: Duration,
        renewals: &'a mut u32,
    ) -> BoxFuture<'a, Result<(Response, RateLimitHints), EgressError>> {
        Box::pin(async move {
            let mut watch = Deadline::new(time);
            let late = |_| late(&first.url, time);
            let check =
                |url: Url| async move { gate::check(&url, &self.policy, &self.guard).await };
            watch.run(check(first.url.clone())).await.map_err(late)??;
            let mut hop = first.clone();
            for _ in 0..=self.redirects {
                let mut token = self.token(&hop).await?;
                let (answer, hints) = loop {
                    let permit = self.turn(&hop.url).await?;
                    let exchange = self.exchange(&hop, permit, token.as_ref());
                    let (answer, hints) = watch.run(exchange).await.map_err(late)??;
                    // The server has done nothing, so that any method may be repeated.
                    if answer.status() != StatusCode::UNAUTHORIZED || *renewals == 0 {
                        break (answer, hints);
                    }
                    let Some(newer) = self.renewed(token.as_ref()).await? else {
                        break (answer, hints);
                    };
                    *renewals -= 1;
                    token = Some(newer);
                };
                let next = match self.redirects {
                    0 => None,
                    _ => redirect::next(&hop, answer.status(), answer.headers(), |url| {
                        self.policy.strip(url);
                    })?,
                };
                let Some(next) = next else {
                    let finish = self.finish(answer, hop.url);
                    let mut response = watch.run(finish).await.map_err(late)??;
                    response.retry_after = hints.wait();
                    return Ok((response, hints));
                };
                let checked = watch.run(check(next.url.clone())).await.map_err(late)?;
                checked.map_err(|error| redirect::explain(error, &hop.url))?;
                hop = next;
            }
            Err(redirect::too_many(&first.url))
        })
    }

    /// The connection's token of the moment, if it has one and it belongs on this request.
    async fn token(&self, hop: &Hop) -> Result<Option<Secret>, EgressError> {
        match &self.policy.credentials {
            Some(Credentials::Token(source)) if hop.is_own => source.current().await.map(Some),
            _ => Ok(None),
        }
    }

    /// Another token than the one that was refused.
    async fn renewed(&self, refused: Option<&Secret>) -> Result<Option<Secret>, EgressError> {
        match (&self.policy.credentials, refused) {
            (Some(Credentials::Token(source)), Some(refused)) => source.renewed(refused).await,
            _ => Ok(None),
        }
    }

    /// Wait until the connection may send one more request to this origin.
    async fn turn(&self, url: &Url) -> Result<Permit, EgressError> {
        let Policy {
            connection,
            rate_limit,
            ..
        } = &self.policy;
        let timers = self.gate.timers();
        let throttle = self.gate.throttle();
        let permit = throttle.permit(connection, url, *rate_limit, timers, &self.meter);
        permit.await
    }

    /// Send one request that the gate has let through and whose turn it is, and wait for the
    /// answer's head.
    async fn exchange(
        &self,
        hop: &Hop,
        permit: Permit,
        token: Option<&Secret>,
    ) -> Result<(reqwest::Response, RateLimitHints), EgressError> {
        let span = tracing::debug_span!(
            "egress",
            otel.kind = "client",
            otel.name = hop.method.as_str(),
            otel.status_code = tracing::field::Empty,
            http.request.method = hop.method.as_str(),
            http.response.status_code = tracing::field::Empty,
            server.address = hop.url.host_str(),
            server.port = hop.url.port_or_known_default(),
            url.full = %self.policy.secrets.redactor().text(&shown(&hop.url)),
        );
        let answer = self.transmit(hop, token).instrument(span.clone()).await;
        match &answer {
            Ok(answer) => span.record("http.response.status_code", answer.status().as_u16()),
            Err(_) => span.record("otel.status_code", "ERROR"),
        };
        self.count(answer.as_ref().ok().map(reqwest::Response::status));
        let answer = answer?;
        let timers = self.gate.timers();
        let hints = RateLimitHints::read(answer.headers(), timers.now());
        permit.heard(answer.status(), &hints, timers.instant());
        Ok((answer, hints))
    }

    /// Count a request of a run, by the status of its answer if there is one.
    fn count(&self, status: Option<StatusCode>) {
        if let Some(status) = status {
            self.meter.answered(status);
        }
        let labels = [
            (
                "integration",
                self.policy.connection.integration.to_string(),
            ),
            (
                "status",
                status.map_or("none".to_owned(), |status| status.as_str().to_owned()),
            ),
        ];
        metrics::counter!("tidegate_egress_requests_total", &labels).increment(1);
    }

    /// Send a request that the gate has let through. This is the only place that sends.
    fn transmit<'a>(
        &'a self,
        hop: &'a Hop,
        token: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<reqwest::Response, EgressError>> {
        Box::pin(async move {
            let mut url = hop.url.clone();
            let mut headers = hop.headers.clone();
            if let Some(credentials) = &self.policy.credentials
                && hop.is_own
            {
                credentials.apply(&mut url, &mut headers)?;
            }
            if let Some(token) = token {
                Credentials::Bearer(token.clone()).apply(&mut url, &mut headers)?;
            }
            let client = self.client(url.scheme() == "https")?;
            let mut request = reqwest::Request::new(hop.method.clone(), url);
            *request.headers_mut() = headers;
            if !hop.body.is_empty() {
                *request.body_mut() = Some(hop.body.clone().into());
            }
            self.meter.sent(hop.body.len());
            let idle = Duration::from_millis(self.policy.limits.http_idle_timeout_ms);
            let before = hop.sent.set(true);
            let answered = client.execute(request);
            let answered = match hop.only_reads {
                true => tokio::time::timeout(idle, answered)
                    .await
                    .map_err(|_| body::idle(&hop.url, idle))?,
                // A server may work on what changes something for as long as the whole attempt may take.
                false => answered.await,
            };
            let answer = answered.map_err(|error| {
                if error.is_connect() {
                    hop.sent.set(before);
                }
                body::failure(&error, &hop.url, &self.policy.limits)
            })?;
            if sent::is_refusal(answer.status()) {
                hop.sent.set(before);
            }
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                let shown = shown(&hop.url);
                return Err(EgressError::Other {
                    blame: Blame::Upstream,
                    message: format!(
                        "{shown} switches to another protocol, which nobody asked for"
                    ),
                });
            }
            Ok(answer)
        })
    }

    fn client(&self, https: bool) -> Result<&Client, EgressError> {
        let slot = if https { &self.secure } else { &self.plain };
        let make = || {
            client::client(
                self.gate.tls(https)?,
                self.guard.clone(),
                &self.policy.limits,
            )
        };
        let made = slot.get_or_init(|| match self.is_kept {
            true => self.gate.clients().get(&self.policy, https, make),
            false => make(),
        });
        made.as_ref().map_err(|message| EgressError::Other {
            blame: Blame::Host,
            message: message.clone(),
        })
    }
}

fn late(url: &Url, time: Duration) -> EgressError {
    let message = format!(
        "{}: no complete answer within {} ms, which the plugin or the limit http_timeout_ms sets",
        shown(url),
        time.as_millis()
    );
    EgressError::Timeout { message }
}

/// The error of the last attempt; `unpaid` if there would have been another one.
fn with_attempts(error: EgressError, attempts: u32, unpaid: bool) -> EgressError {
    let with = |message: String| match (attempts, unpaid) {
        (1, false) => message,
        (n, false) => format!("{message} ({n} attempts)"),
        (1, true) => format!("{message} (1 attempt: the retry budget of this API is spent)"),
        (n, true) => format!("{message} ({n} attempts: the retry budget of this API is spent)"),
    };
    match error {
        EgressError::Timeout { message } => EgressError::Timeout {
            message: with(message),
        },
        EgressError::Connect { message } => EgressError::Connect {
            message: with(message),
        },
        other => other,
    }
}
