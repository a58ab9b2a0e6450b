//! Building one request and sending it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::paginate::{Pages, Paginate};
use super::response::Response;
use super::{Multipart, form, query};
use crate::failure::of_http;
use crate::host::{Host, Request, Retry};
use crate::{Cx, Failure, Result};

/// Methods that mean the same when they come twice: those that IANA's registry of HTTP methods calls
/// idempotent, without CONNECT, TRACE and PRI, which a plugin can't send. The host has the same list.
const IDEMPOTENT: &str = " GET HEAD OPTIONS PUT DELETE ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY \
    LABEL LINK MERGE MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE ORDERPATCH PROPFIND \
    PROPPATCH QUERY REBIND REPORT SEARCH UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF \
    VERSION-CONTROL ";

/// How much of what was sent is kept beside its answer, which often repeats it.
const SENT_KEPT_MAX: usize = 64 * 1024;

/// A request being built. The host adds the connection's credentials to requests for the
/// connection's own origin, and repeats idempotent ones that failed for the moment.
#[derive(Clone)]
#[must_use = "a request does nothing before it is sent"]
pub struct RequestBuilder {
    cx: Cx,
    request: Request,
    /// Whether the run's idempotency key goes with it, if it has none of its own.
    derives_key: bool,
    /// The first thing that went wrong while building; `send` returns it.
    problem: Option<Failure>,
}

impl RequestBuilder {
    pub(crate) fn new(cx: Cx, method: &str, url: String) -> Self {
        RequestBuilder {
            cx,
            request: Request {
                method: method.to_owned(),
                url,
                headers: Vec::new(),
                body: None,
                timeout_ms: None,
                retry: Retry::Idempotent,
                idempotency_key: None,
            },
            derives_key: true,
            problem: None,
        }
    }

    /// Append a query parameter, percent-encoded, to those that the URL has.
    pub fn query(mut self, name: &str, value: impl fmt::Display) -> Self {
        query::append(&mut self.request.url, name, &value.to_string());
        self
    }

    /// Append a query parameter when there is a value.
    pub fn query_opt(self, name: &str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Add a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.headers.push((name.into(), value.into()));
        self
    }

    /// Send this value as the JSON body, with its `Content-Type`.
    pub fn json_body<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.header("Content-Type", "application/json").body(body),
            Err(error) => {
                let failure = Failure::other(format!("{}: the body: {error}", self.name()));
                self.problem.get_or_insert(failure);
                self
            }
        }
    }

    /// Send these fields as the body of a form, with its `Content-Type`: `application/x-www-form-urlencoded`
    /// of the URL standard, in UTF-8. A name may come several times.
    ///
    /// ```
    /// # use tidegate_sdk::prelude::*;
    /// # async fn note(cx: Cx) -> Result<()> {
    /// cx.post("/notes").form_body([("title", "a & b"), ("tag", "x")]).send().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn form_body<N: AsRef<str>, V: fmt::Display>(
        self,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut body = String::new();
        for (name, value) in fields {
            form::append(&mut body, name.as_ref(), &value.to_string());
        }
        self.header("Content-Type", form::CONTENT_TYPE).body(body)
    }

    /// Send these parts as the body, with its `Content-Type`: `multipart/form-data` (RFC 7578).
    pub fn multipart_body(mut self, parts: Multipart) -> Self {
        match parts.finish() {
            Ok((content_type, body)) => self.header("Content-Type", content_type).body(body),
            Err(problem) => {
                let failure = Failure::other(format!("{}: the body: {problem}", self.name()));
                self.problem.get_or_insert(failure);
                self
            }
        }
    }

    /// Send these bytes as the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request.body = Some(body.into());
        self
    }

    /// For one attempt, from connect to the last byte; default and limit 60 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.request.timeout_ms = Some(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// The host may not repeat this request: the plugin wants each answer.
    pub fn never_retry(mut self) -> Self {
        self.request.retry = Retry::Never;
        self
    }

    /// The host may repeat this request whatever its method: it changes nothing, such as a list that is
    /// asked for by POST.
    pub fn always_retry(mut self) -> Self {
        self.request.retry = Retry::Always;
        self
    }

    /// Send `Idempotency-Key`, so that the host may repeat a POST or PATCH too.
    ///
    /// Without it, and in an action that its caller invoked under a key, a POST or PATCH carries a key
    /// made of that one: the same each time the action is repeated. The host does not repeat such a
    /// request by itself, as the API may not know the header.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.request.idempotency_key = Some(key.into());
        self
    }

    /// Send no `Idempotency-Key`, even if the action was invoked under one.
    pub fn without_idempotency_key(mut self) -> Self {
        self.request.idempotency_key = None;
        self.derives_key = false;
        self
    }

    /// Send it. A status of 400 and more is a failure, which carries the status and the body:
    ///
    /// | status | kind |
    /// |---|---|
    /// | 408, 420, 425, 429, 430, 5xx | `transient`, with what `Retry-After` says in any form |
    /// | any other 4xx with `Retry-After`, but 401 | the same |
    /// | 403 whose headers say that a quota is used up, or whose body speaks of a rate limit | the same, with the quota's reset |
    /// | 401, any other 403 | `auth` |
    /// | any other | `rejected` |
    pub async fn send(self) -> Result<Response> {
        let cx = self.cx.clone();
        self.send_any().await?.or_failure(&cx)
    }

    /// Send it, and return the response whatever its status.
    pub async fn send_any(mut self) -> Result<Response> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let may_repeat = self.request.retry == Retry::Always;
        let once = !may_repeat && !is_idempotent(&self.request.method);
        if self.derives_key && once && self.request.idempotency_key.is_none() {
            self.request.idempotency_key = self.cx.next_idempotency_key();
            if self.request.idempotency_key.is_some() {
                self.request.retry = Retry::Never;
            }
        }
        let name = name(&self.request);
        let method = self.request.method.clone();
        let sent = self.request.body.as_ref();
        let sent = sent.filter(|body| body.len() <= SENT_KEPT_MAX).cloned();
        match self.cx.host().send(self.request).await {
            Ok(answer) => Ok(Response::new(method, may_repeat, answer, sent)),
            Err(error) => Err(of_http(&name, error)),
        }
    }

    /// Send it and decode the JSON body: [`send`](Self::send), then [`Response::json`].
    pub async fn json<T: DeserializeOwned>(self) -> Result<T> {
        self.send().await?.json()
    }

    /// Send it page by page.
    pub fn paginate(self, style: Paginate) -> Pages {
        Pages::new(self, style)
    }

    pub(super) fn set_url(&mut self, url: String) {
        self.request.url = url;
    }

    /// How messages name this request.
    pub(super) fn name(&self) -> String {
        name(&self.request)
    }
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request.fmt(f)
    }
}

fn is_idempotent(method: &str) -> bool {
    IDEMPOTENT
        .split(' ')
        .any(|known| !known.is_empty() && known == method)
}

fn name(request: &Request) -> String {
    format!("{} {}", request.method, request.url)
}
