//! What an answer to a list's request means: by its status, by the rules of the config, by what it says.

use tidegate_sdk::prelude::*;
use tidegate_sdk::{Expected, Response, Verdict, default_verdict};

use crate::paging::Body;
use crate::plan::Plan;

/// How much of a body goes into a message.
const EXCERPT_CHARS: usize = 160;

impl Plan {
    /// The answer, unless its status is that of a failure. Rules of the config come first, for any.
    pub(crate) fn by_status(&self, cx: &Cx, response: Response) -> Result<Response> {
        if self.responses.is_empty() {
            return response.or_failure(cx);
        }
        match self.responses.ruled(cx, &response) {
            Some(Verdict::Failed(failure)) => Err(failure),
            Some(Verdict::Gone) => Err(Failure::rejected(format!(
                "{}: a rule of `models.{}.responses` says that the list is gone",
                response.url(),
                self.model
            ))
            .code("answer-gone")),
            Some(Verdict::Success | Verdict::Empty) => Ok(response),
            None => response.or_failure(cx),
        }
    }

    /// Whether a rule of the config calls the answer an empty list.
    pub(crate) fn is_empty_by_rule(&self, cx: &Cx, response: &Response) -> bool {
        !self.responses.is_empty() && self.responses.ruled(cx, response) == Some(Verdict::Empty)
    }

    /// The list of an answer, and what it says of the list.
    pub(crate) fn read<'r>(&self, cx: &Cx, response: &'r Response) -> Result<Body<'r>> {
        let text = response.text()?;
        let problem = match self.paging.read(text) {
            Ok(body) => {
                self.judge(cx, response, &body)?;
                if body.records.is_some() || self.records_may_be_absent {
                    self.answers.page(response, &body);
                    return Ok(body);
                }
                "there is nothing at this place".to_owned()
            }
            Err(failure) if failure.kind == FailureKind::Config => return Err(failure),
            Err(failure) => {
                // What is not JSON at all is the SDK's to say: that may pass.
                response.json::<serde::de::IgnoredAny>()?;
                self.judge_whole(cx, response)?;
                failure.message
            }
        };
        let begins: String = text.chars().take(EXCERPT_CHARS).collect();
        let failure = Failure::other(format!(
            "{} answered with JSON that does not fit `models.{}.records`: {problem} (it begins: \
             {begins})",
            response.url(),
            self.model
        ));
        Err(response.with_upstream(failure.code("response-invalid")))
    }

    /// Whether an answer says that it failed, although its status does not. The whole body is looked
    /// at only when something in it may say so, or when it has no records.
    fn judge(&self, cx: &Cx, response: &Response, body: &Body<'_>) -> Result<()> {
        let any = body
            .records
            .as_ref()
            .is_some_and(|records| !records.is_empty());
        if any && !body.is_suspect {
            return Ok(());
        }
        self.judge_whole(cx, response)
    }

    fn judge_whole(&self, cx: &Cx, response: &Response) -> Result<()> {
        // A rule that calls it a success, or empty, has been asked first.
        if self.responses.ruled(cx, response).is_some() {
            return Ok(());
        }
        match default_verdict(cx, response, Expected::List) {
            Verdict::Failed(failure) => Err(failure),
            _ => Ok(()),
        }
    }
}
