//! Canned responses, and which requests they are for.

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use tidegate_rules::limits::Limits;
use tidegate_rules::request::broken_size;
use url::Url;

use super::request::Request;
use crate::host::{Answer, HttpError};

/// Which requests a response is for. What is not said is not looked at.
#[derive(Debug, Clone)]
#[must_use]
pub struct Matcher {
    method: Option<&'static str>,
    url: String,
    query: Vec<(String, Option<String>)>,
    headers: Vec<(String, String)>,
    body: Option<Value>,
}

/// GET requests for a path (under the base URL) or an absolute URL, both without a query.
pub fn get(url: impl Into<String>) -> Matcher {
    Matcher::new(Some("GET"), url.into())
}

/// POST requests.
pub fn post(url: impl Into<String>) -> Matcher {
    Matcher::new(Some("POST"), url.into())
}

/// PUT requests.
pub fn put(url: impl Into<String>) -> Matcher {
    Matcher::new(Some("PUT"), url.into())
}

/// PATCH requests.
pub fn patch(url: impl Into<String>) -> Matcher {
    Matcher::new(Some("PATCH"), url.into())
}

/// DELETE requests.
pub fn delete(url: impl Into<String>) -> Matcher {
    Matcher::new(Some("DELETE"), url.into())
}

/// Requests of any method.
pub fn any(url: impl Into<String>) -> Matcher {
    Matcher::new(None, url.into())
}

impl Matcher {
    fn new(method: Option<&'static str>, url: String) -> Self {
        Matcher {
            method,
            url,
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// With this query parameter.
    pub fn query(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.query.push((name.into(), Some(value.to_string())));
        self
    }

    /// Without a query parameter of this name.
    pub fn without_query(mut self, name: impl Into<String>) -> Self {
        self.query.push((name.into(), None));
        self
    }

    /// With this header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With this JSON body.
    pub fn json(mut self, body: impl Into<Value>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub(super) fn matches(&self, request: &Request) -> bool {
        let is_it = match Url::parse(&self.url) {
            Ok(url) => request.url.split('?').next() == Some(url.as_str()),
            Err(_) => request.path == self.url,
        };
        self.method.is_none_or(|method| method == request.method)
            && is_it
            && self
                .query
                .iter()
                .all(|(name, value)| request.query(name) == value.as_deref())
            && self
                .headers
                .iter()
                .all(|(name, value)| request.header(name) == Some(value))
            && self
                .body
                .as_ref()
                .is_none_or(|body| *body == request.json())
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.unwrap_or("any method"), self.url)?;
        for (name, value) in &self.query {
            match value {
                Some(value) => write!(f, ", {name}={value}")?,
                None => write!(f, ", no {name}")?,
            }
        }
        for (name, value) in &self.headers {
            write!(f, ", {name}: {value}")?;
        }
        match &self.body {
            Some(body) => write!(f, ", body {body}"),
            None => Ok(()),
        }
    }
}

/// What the outside API answers. A JSON value is a reply of status 200.
#[derive(Debug, Clone)]
#[must_use]
pub struct Reply {
    answer: Result<Answer, HttpError>,
    pub(super) delay_ms: u64,
}

impl Reply {
    /// An empty answer of this status.
    pub fn status(status: u16) -> Self {
        Reply {
            answer: Ok(Answer {
                status,
                headers: Vec::new(),
                body: Vec::new(),
                url: String::new(),
            }),
            delay_ms: 0,
        }
    }

    /// A JSON answer of status 200.
    pub fn json(body: impl Into<Value>) -> Self {
        Reply::status(200)
            .header("Content-Type", "application/json")
            .body(body.into().to_string())
    }

    /// No answer in time.
    pub fn timeout() -> Self {
        Self::error(HttpError::timeout(
            "no answer within 60 s (fake host)".to_owned(),
        ))
    }

    /// The connection was refused.
    pub fn connect_error() -> Self {
        Self::error(HttpError::connect(
            "connection refused (fake host)".to_owned(),
        ))
    }

    /// The host had no token for the connection: its token endpoint did not give one.
    pub fn no_token() -> Self {
        Self::error(HttpError::token(
            "the token endpoint gave no token (fake host)".to_owned(),
        ))
    }

    /// The answer was larger than the host allows.
    pub fn too_large() -> Self {
        Self::error(HttpError::too_large(
            "a body of more than 16 MiB (fake host)".to_owned(),
        ))
    }

    /// The run has used up its requests.
    pub fn exhausted() -> Self {
        Self::error(HttpError::exhausted(
            "the limit of requests a run (fake host)".to_owned(),
        ))
    }

    fn error(error: HttpError) -> Self {
        Reply {
            answer: Err(error),
            delay_ms: 0,
        }
    }

    /// Add a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Ok(answer) = &mut self.answer {
            answer.headers.push((name.into(), value.into()));
        }
        self
    }

    /// With these bytes as the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        if let Ok(answer) = &mut self.answer {
            answer.body = body.into();
        }
        self
    }

    /// It takes so long, on the virtual clock.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// The answer as the host hands it on: names of headers in lower case, and nothing that is too large.
    pub(super) fn into_answer(self, url: &str, limits: &Limits) -> Result<Answer, HttpError> {
        let mut answer = self.answer?;
        url.clone_into(&mut answer.url);
        for (name, _) in &mut answer.headers {
            name.make_ascii_lowercase();
        }
        let sizes = answer.headers.iter();
        let bytes = sizes.map(|(name, value)| name.len() + value.len()).sum();
        let broken = broken_size(answer.headers.len(), bytes, limits);
        let most = limits.http_response_bytes;
        let is_long = answer.body.len() as u64 > most;
        match broken.or(is_long.then_some(("http_response_bytes", most))) {
            None => Ok(answer),
            Some((limit, value)) => Err(HttpError::too_large(format!(
                "the response of {url} is beyond the limit {limit} = {value}"
            ))),
        }
    }
}

impl From<Value> for Reply {
    fn from(body: Value) -> Self {
        Reply::json(body)
    }
}
