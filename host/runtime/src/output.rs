//! What an action or event returned: within its limit, JSON, and as its schema says.

use std::fmt;

use futures::future::BoxFuture;
use serde_json::Value;
use tidegate_engine::limits::Limits;
use tidegate_engine::run::{Blame, Failure, FailureClass};

/// The limit on what goes back to a caller.
pub(crate) const LIMIT: &str = "action_output_bytes";

/// Says what is wrong with an output, for the plugin's author.
pub struct OutputCheck(Box<Check>);

type Check = dyn Fn(Value) -> BoxFuture<'static, Result<(), String>> + Send + Sync;

impl OutputCheck {
    /// A check by a function that knows the schema.
    pub fn new(
        check: impl Fn(Value) -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(check))
    }
}

impl fmt::Debug for OutputCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutputCheck")
    }
}

/// What is wrong with an output that the guest returned as a success, which is the guest's fault.
pub(crate) async fn fault(
    output: &str,
    limits: &Limits,
    check: Option<&OutputCheck>,
) -> Option<Failure> {
    let too_long = too_long("the output", output.len(), limits);
    if too_long.is_some() {
        return too_long;
    }
    let wrong = |code: &str, message: String| {
        let mut failure = Failure::new(FailureClass::Other, Blame::Guest, message);
        failure.code = Some(code.to_owned());
        Some(failure)
    };
    let value: Value = match serde_json::from_str(output) {
        Ok(value) => value,
        Err(error) => {
            let message = format!("the plugin returned no JSON: {error}");
            return wrong("output-not-json", message);
        }
    };
    let violations = (check?.0)(value).await.err()?;
    let message = format!("the output doesn't fit the output schema:\n  {violations}");
    wrong("output-invalid", message)
}

/// The failure of a guest that says more to its caller than it may.
pub(crate) fn too_long(what: &str, bytes: usize, limits: &Limits) -> Option<Failure> {
    let most = limits.action_output_bytes;
    (bytes as u64 > most).then(|| {
        let message = format!("{what} has {bytes} bytes; the limit {LIMIT} is {most}");
        Failure::limit(LIMIT, Blame::Guest, message)
    })
}
