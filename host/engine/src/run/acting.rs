//! Failures of runs that have acted: what may be done is not done again by itself.

use super::{Failure, FailureClass};

impl Failure {
    /// The code of a failure of which nobody knows whether what was asked for is done.
    pub const OUTCOME_UNKNOWN: &str = "outcome-unknown";

    /// Whether the same run may succeed later without anybody's help, and does no harm.
    #[must_use]
    pub fn retryable(&self) -> bool {
        self.class.retryable() && !self.may_be_done
    }

    /// The run has done, or may have done, what must not be done twice. What would be tried again as such
    /// has an unknown outcome instead.
    #[must_use]
    pub fn after_acting(mut self) -> Self {
        self.may_be_done = true;
        if self.class.retryable() {
            self.class = FailureClass::Other;
            self.code = Some(Self::OUTCOME_UNKNOWN.to_owned());
            self.retry_after_ms = None;
            self.message.push_str(
                "; the API may have done it, so it is not tried again by itself: look there first",
            );
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use crate::run::{Blame, Failure, FailureClass};

    #[test]
    fn what_may_be_done_is_not_tried_again() {
        use FailureClass::{Config, Internal, Limit, Other, Rejected, Transient};
        for (class, becomes) in [
            (Transient, Other),
            (Internal, Other),
            (Rejected, Rejected),
            (Config, Config),
            (Limit, Limit),
        ] {
            let before = Failure::new(class, Blame::Upstream, "no answer");
            assert_eq!(before.retryable(), class.retryable());
            let failure = before.after_acting();
            assert_eq!((failure.class, failure.may_be_done), (becomes, true));
            assert!(!failure.retryable());
            let code = class.retryable().then_some(Failure::OUTCOME_UNKNOWN);
            assert_eq!(failure.code.as_deref(), code);
        }
    }
}
