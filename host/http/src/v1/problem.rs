//! Problem details (RFC 9457): what went wrong, as every answer that is no success says it.
//!
//! Handlers return a [`Failed`]; it travels as a [`Details`] in the response's extensions, and
//! `trace` writes the body, as it knows the request's id. `docs/api.md` lists the types.

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tidegate_engine::command_line::CommandLine;
use tidegate_engine::run::Failure;
use tidegate_service::problem::{Kind, Problem};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaFormat, Type as SchemaType};

use crate::views::{self, text};

/// What the types' URIs begin with.
const TYPES: &str = "https://tidegate.dev/problems/";

macro_rules! types {
    ($($type:ident $slug:literal $status:literal $title:literal;)*) => {
        /// What kind of problem. The slug is for programs and never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Type { $($type,)* }

        impl Type {
            pub(crate) const ALL: &[Self] = &[$(Self::$type,)*];

            pub(crate) fn slug(self) -> &'static str {
                match self { $(Self::$type => $slug,)* }
            }

            pub(crate) fn status(self) -> StatusCode {
                let code: u16 = match self { $(Self::$type => $status,)* };
                StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }

            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$type => $title,)* }
            }
        }
    };
}

types! {
    InvalidRequest "invalid-request" 400 "The request is not valid";
    Unauthenticated "unauthenticated" 401 "No valid API key";
    NarrowScope "narrow-scope" 403 "The API key is not for this";
    Forbidden "forbidden" 403 "This server does not do that";
    NoRoute "no-such-route" 404 "There is no such route";
    NotFound "not-found" 404 "What the request names is not there";
    WrongMethod "wrong-method" 405 "The route does not have this method";
    SlowRequest "slow-request" 408 "The body did not come in time";
    Conflict "conflict" 409 "It contradicts what is there";
    Refused "refused" 409 "The configuration, grants or credentials don't allow it";
    Cancelled "cancelled" 409 "The run was cancelled";
    CursorExpired "cursor-expired" 410 "The cursor can't be used any more";
    TooLarge "too-large" 413 "The request is too large";
    WrongMedia "wrong-media-type" 415 "The body is of another type than the route takes";
    Misdirected "misdirected" 421 "The request is for another server";
    LongHead "long-head" 431 "The request's line and headers are too large";
    BadPlugin "bad-plugin" 422 "The component can't be deployed";
    Rejected "rejected" 422 "The action, or the outside API, said no";
    RateLimited "rate-limited" 429 "Too much is asked at once";
    Internal "internal" 500 "Tidegate or the machine failed";
    Damaged "damaged" 500 "The data directory is damaged";
    RunFailed "run-failed" 500 "The plugin failed, or a limit stopped it";
    UpstreamFailed "upstream-failed" 502 "The outside API failed";
    Full "full" 503 "The server has no room for it now";
    Stopping "stopping" 503 "The server is about to stop";
    Slow "timeout" 504 "It took too long";
}

/// The types as they are sent.
fn type_schema() -> Object {
    let types = Type::ALL.iter();
    ObjectBuilder::new()
        .schema_type(SchemaType::String)
        .format(Some(SchemaFormat::Custom("uri".to_owned())))
        .enum_values(Some(types.map(|kind| format!("{TYPES}{}", kind.slug()))))
        .description(Some("What kind of problem it is"))
        .build()
}

/// A problem as it is sent.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Details {
    #[serde(rename = "type")]
    #[schema(schema_with = type_schema)]
    kind: String,
    title: &'static str,
    status: u16,
    /// What is wrong here, in words.
    detail: String,
    /// The request's id, as in the header `x-request-id` and the server's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// Everything that is wrong, where it is more than one thing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
    /// The run that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<text::RunId>)]
    run: Option<String>,
    /// Why it failed: class, blame, message and, if the outside API answered, what.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<views::Failure>,
    /// Whether the hint lists what is there.
    #[serde(skip)]
    lists: bool,
}

impl Details {
    /// For somebody who may not read: without a hint that lists what is there.
    pub(super) fn keep_lists_back(&mut self) {
        if self.lists {
            self.hint = None;
        }
    }
}

/// A problem on its way to being an answer.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    details: Box<Details>,
    headers: HeaderMap,
}

/// What handlers return.
pub(crate) type Answer<T> = std::result::Result<T, Failed>;

impl Failed {
    pub(crate) fn new(kind: Type, detail: impl std::fmt::Display) -> Self {
        Self {
            details: Box::new(Details {
                kind: format!("{TYPES}{}", kind.slug()),
                title: kind.title(),
                status: kind.status().as_u16(),
                detail: detail.to_string(),
                instance: None,
                hint: None,
                errors: Vec::new(),
                run: None,
                failure: None,
                lists: false,
            }),
            headers: HeaderMap::new(),
        }
    }

    pub(crate) fn invalid(detail: impl std::fmt::Display) -> Self {
        Self::new(Type::InvalidRequest, detail)
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl std::fmt::Display) -> Self {
        self.details.hint = Some(hint.to_string());
        self.details.lists = false;
        self
    }

    /// Say with which command it is done.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "it is made for this")]
    pub(crate) fn advise(self, what: &str, command: CommandLine) -> Self {
        self.hint(format_args!("{what}: {command}"))
    }

    #[must_use]
    pub(crate) fn errors(mut self, errors: Vec<String>) -> Self {
        self.details.errors = errors;
        self
    }

    #[must_use]
    pub(crate) fn run(mut self, run: impl std::fmt::Display, failure: Option<&Failure>) -> Self {
        self.details.run = Some(run.to_string());
        self.details.failure = failure.map(Into::into);
        self
    }

    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Say when to come back, in whole seconds, at least one.
    #[must_use]
    pub(crate) fn retry_after(self, time: std::time::Duration) -> Self {
        let seconds = time.as_millis().div_ceil(1000).max(1);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        self.header(RETRY_AFTER, seconds.into())
    }

    /// The status that it is answered with.
    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.details.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The body, where it is not the whole answer.
    pub(super) fn into_details(self) -> Details {
        *self.details
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.headers_mut().extend(self.headers);
        response.extensions_mut().insert(*self.details);
        response
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        let kind = match problem.kind {
            Kind::Invalid => Type::InvalidRequest,
            Kind::NotFound => Type::NotFound,
            Kind::Conflict => Type::Conflict,
            Kind::Expired => Type::CursorExpired,
            Kind::RunFailed | Kind::Secrets => Type::Refused,
            Kind::Plugin => Type::BadPlugin,
            Kind::Rejected => Type::Rejected,
            Kind::Upstream => Type::UpstreamFailed,
            Kind::DataDirectory => Type::Damaged,
            Kind::Internal => Type::Internal,
        };
        if matches!(kind, Type::Internal | Type::Damaged) {
            // What it says may name files and keys: it is for the operator.
            tracing::error!(problem = %problem, "a request failed");
            return Self::new(kind, "the server's log says more, under this request's id");
        }
        if problem.kind == Kind::Secrets {
            // It is for the operator to mend, who may not see the answer.
            tracing::warn!(problem = %problem, "secrets can't be opened");
        }
        // The first line says what, the others list it.
        let mut lines = problem.message.lines();
        let first = lines.next().unwrap_or_default();
        let errors: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
        let detail = match errors.is_empty() {
            true => first,
            false => first.trim_end_matches(':'),
        };
        let mut failed = Self::new(kind, detail).errors(errors);
        failed.details.hint = problem.hint;
        failed.details.lists = problem.lists;
        failed
    }
}

impl From<std::io::Error> for Failed {
    /// An answer that can't be written into its buffer.
    fn from(error: std::io::Error) -> Self {
        Problem::internal(error).into()
    }
}

/// No route matches.
pub(super) async fn no_route() -> Failed {
    Failed::new(Type::NoRoute, "no route has this path")
        .hint("the routes are listed at /v1/openapi.json, for people at /v1/docs")
}

/// A route matches, and does not have the method. The header `Allow` says which it has.
pub(super) async fn wrong_method() -> Failed {
    Failed::new(Type::WrongMethod, "the route does not have this method")
        .hint("the header Allow lists those it has")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_documented_with_its_status() {
        let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md");
        let document = std::fs::read_to_string(document).unwrap();
        let documented: Vec<(&str, &str)> = document
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
            .filter_map(|(slug, rest)| Some((slug, rest.split(' ').next()?)))
            .filter(|(_, status)| status.len() == 3 && status.parse::<u16>().is_ok())
            .collect();
        let known: Vec<(&str, String)> = Type::ALL
            .iter()
            .map(|kind| (kind.slug(), kind.status().as_u16().to_string()))
            .collect();
        let known: Vec<(&str, &str)> = known.iter().map(|(a, b)| (*a, b.as_str())).collect();
        assert_eq!(documented, known);
    }

    #[test]
    fn what_internal_problems_say_is_not_told() {
        let problem = Problem::internal("/var/lib/secret: permission denied");
        let details = Failed::from(problem).into_details();
        assert!(!details.detail.contains("secret"), "{details:?}");
    }

    #[test]
    fn lists_become_errors() {
        let problem = Problem::invalid("the config doesn't fit:\n  /a: no\n  /b: no");
        let details = Failed::from(problem).into_details();
        assert_eq!(details.detail, "the config doesn't fit");
        assert_eq!(details.errors, ["/a: no", "/b: no"]);
    }

    #[test]
    fn only_hints_that_list_are_kept_back() {
        let problem = Problem::not_found("no such thing");
        let rows = [
            (problem.clone().hint("look again"), Some("look again")),
            (
                problem.clone().listing("things", ["a", "b"].into_iter()),
                None,
            ),
            (
                problem
                    .listing("things", ["a"].into_iter())
                    .hint("look again"),
                Some("look again"),
            ),
        ];
        for (problem, hint) in rows {
            let mut details = Failed::from(problem).into_details();
            assert!(details.hint.is_some());
            details.keep_lists_back();
            assert_eq!(details.hint.as_deref(), hint);
        }
    }
}
