//! The last answer of a request, as the caller gets it.

use url::Url;

use super::Inner;
use crate::body;
use crate::error::EgressError;
use crate::headers;
use crate::message::Response;

impl Inner {
    pub(super) async fn finish(
        &self,
        answer: reqwest::Response,
        url: Url,
    ) -> Result<Response, EgressError> {
        let limits = &self.policy.limits;
        let status = answer.status().as_u16();
        headers::check_incoming(answer.headers(), limits)?;
        let read = body::read(answer, &url, limits, &self.meter, &self.account);
        let (headers, body, share) = read.await?;
        let mut headers = headers::incoming(&headers);
        self.strip_location(&url, &mut headers);
        Ok(Response {
            status,
            headers,
            body,
            url,
            retry_after: None,
            share: Some(share),
        })
    }

    /// A server repeats the whole URL in a redirect, with the credentials that were put on it.
    fn strip_location(&self, url: &Url, headers: &mut [(String, String)]) {
        let locations = headers.iter_mut().filter(|(name, _)| name == "location");
        for (_, location) in locations {
            let Ok(target) = url.join(location) else {
                continue;
            };
            let mut stripped = target.clone();
            self.policy.strip(&mut stripped);
            if stripped != target {
                *location = stripped.into();
            }
        }
    }
}
