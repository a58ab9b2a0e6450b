//! JSON Schemas of a manifest: compiled, and every violation of one with its path.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::problem::{Kind, Problem, Result};

/// Most violations that are listed; more are counted.
const VIOLATIONS_MAX: usize = 100;
/// Longest text of one: it can quote the value.
const VIOLATION_CHARS_MAX: usize = 300;

/// A schema of the manifest, compiled. Its patterns are matched in linear time, and it refers to
/// nothing outside itself: a plugin's author wrote it.
pub(crate) fn compile(path: &str, schema: &Value) -> Result<Validator> {
    let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
    options.build(schema).map_err(|error| {
        Problem::new(
            Kind::Plugin,
            format!("the manifest is not valid at {path}: not a JSON Schema: {error}"),
        )
    })
}

/// Every violation as `PATH: what`, the path being a JSON pointer, or `(top)`.
pub(crate) fn violations(validator: &Validator, value: &Value) -> Vec<String> {
    let mut errors = validator.iter_errors(value);
    let shown = errors.by_ref().take(VIOLATIONS_MAX).map(|error| {
        let path = error.instance_path().to_string();
        let path = if path.is_empty() { "(top)" } else { &path };
        let text: String = error
            .to_string()
            .chars()
            .take(VIOLATION_CHARS_MAX)
            .collect();
        format!("{path}: {text}")
    });
    let mut shown: Vec<String> = shown.collect();
    let more = errors.count();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown
}
