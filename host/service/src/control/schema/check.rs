//! The check of a value by a schema: how much it costs first, then whether it fits, then what is wrong.
//!
//! A small check is done where it is asked for, as it takes less than a millisecond. A larger one has a
//! thread and a stack of its own, of which there are few at once, so that whoever else is served goes
//! on. Nothing has to stop it: its steps are counted before it begins.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::thread;

use serde_json::Value;
use tidegate_engine::limits::{SCHEMA_CHECK_DEPTH, SCHEMA_CHECK_STEPS};
use tokio::sync::{Semaphore, oneshot};

use super::steps::{self, Cost};
use super::{STACK_BYTES, Schema};

/// Most violations that are listed; more are counted.
const VIOLATIONS_MAX: usize = 100;
/// Longest text of one: it can quote the value.
const VIOLATION_CHARS_MAX: usize = 300;

/// What a check may cost that is done where it is asked for.
const SMALL: Cost = Cost {
    steps: 20_000,
    depth: 100,
};
/// What any may.
const MOST: Cost = Cost {
    steps: SCHEMA_CHECK_STEPS,
    depth: SCHEMA_CHECK_DEPTH,
};
/// Up to so many steps all violations are listed: the library holds each in memory, with those of all
/// branches that were tried.
const LISTED_STEPS: u64 = 20_000;

/// Large checks that are done at the same time.
static LARGE: Semaphore = Semaphore::const_new(2);

impl Schema {
    /// What is wrong with a value, each as `PATH: what`, the path being a JSON pointer or `(top)`; nothing
    /// if it fits.
    pub(crate) async fn violations(self: &Arc<Self>, value: Value) -> Vec<String> {
        if let Ok(cost) = steps::count(&self.shape, &value, SMALL) {
            return self.evaluate(&value, cost);
        }
        let failed = |what: &str| vec![format!("(top): it could not be checked: {what}")];
        let Ok(turn) = LARGE.acquire().await else {
            return failed("nothing is checked any more");
        };
        let (tell, told) = oneshot::channel();
        let schema = Arc::clone(self);
        let work = move || {
            let _turn = turn;
            let violations = match steps::count(&schema.shape, &value, MOST) {
                Ok(cost) => schema.evaluate(&value, cost),
                Err(too_much) => vec![format!("(top): {too_much}")],
            };
            // Whoever asked may be gone.
            let _ = tell.send(violations);
        };
        let own = thread::Builder::new().name("schema".to_owned());
        if let Err(error) = own.stack_size(STACK_BYTES).spawn(work) {
            return failed(&error.to_string());
        }
        told.await
            .unwrap_or_else(|_| failed("the library panicked"))
    }

    fn evaluate(&self, value: &Value, cost: Cost) -> Vec<String> {
        // It holds nothing in memory, whatever the value.
        if self.validator.is_valid(value) {
            return Vec::new();
        }
        if cost.steps <= LISTED_STEPS {
            return self.all(value);
        }
        if !self.shape.has_branches
            && let Err(error) = self.validator.validate(value)
        {
            return vec![
                shown(&error),
                "and perhaps more: it is too large to list them".to_owned(),
            ];
        }
        vec![
            "(top): it doesn't fit, and is too large to say where: check a part of it alone"
                .to_owned(),
        ]
    }

    fn all(&self, value: &Value) -> Vec<String> {
        let mut errors = self.validator.iter_errors(value);
        let mut listed: Vec<String> = errors
            .by_ref()
            .take(VIOLATIONS_MAX)
            .map(|error| shown(&error))
            .collect();
        let more = errors.count();
        if more > 0 {
            listed.push(format!("and {more} more"));
        }
        listed
    }
}

fn shown(error: &jsonschema::ValidationError<'_>) -> String {
    let path = error.instance_path().to_string();
    let path = if path.is_empty() { "(top)" } else { &path };
    format!("{path}: {}", short(error))
}

/// The beginning of a text, which may be as long as a value.
pub(super) fn short(text: impl fmt::Display) -> String {
    let mut beginning = Beginning {
        text: String::new(),
        left: VIOLATION_CHARS_MAX,
    };
    // It fails where it is cut.
    let _ = write!(beginning, "{text}");
    beginning.text
}

struct Beginning {
    text: String,
    left: usize,
}

impl Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(char);
        }
        Ok(())
    }
}
