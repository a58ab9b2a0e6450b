//! JSON Schemas of a manifest, which are code from outside: compiled within bounds, and each check of a
//! value within a number of steps.
//!
//! | module | its one job |
//! |---|---|
//! | `shape` | what a schema consists of, and how far its references unfold |
//! | `patterns` | its patterns |
//! | `steps` | what the check of one value costs, counted before it is done |
//! | `check` | the check itself, and what is said of a value that doesn't fit |
//!
//! What is refused and why is in `docs/decisions/0015-schemas-are-counted.md`.

mod check;
mod patterns;
mod shape;
mod steps;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::thread;

use jsonschema::{Keyword, PatternOptions, ValidationError, Validator};
use serde_json::Value;
use tidegate_engine::manifest::Manifest;

use crate::problem::{Kind, Problem, Result};
use patterns::{ONE_BYTES_MAX, ONE_CACHE_BYTES_MAX, Patterns};
use shape::{Refused, Shape};

/// Formats that the library knows and that are not asserted: they would cost more than they are worth
/// (`regex` compiles each text).
const OTHER_FORMATS: &[&str] = &[
    "idn-email",
    "idn-hostname",
    "iri",
    "iri-reference",
    "regex",
    "relative-json-pointer",
    "uri-template",
];

/// The stack on which schemas are compiled and large values are checked: some KiB for each level, of which there
/// are as many as the limits `schema_depth` and `schema_check_depth` say.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// What a compiled schema takes for each byte of its text, and for each schema in it, about.
const BYTES_A_BYTE: u64 = 4;
const BYTES_A_PART: u64 = 2048;

/// A schema of a manifest, compiled.
pub(crate) struct Schema {
    validator: Validator,
    shape: Shape,
    patterns: Arc<Patterns>,
    /// Patterns that are passed over, each with its place.
    passed_over: Vec<String>,
}

impl Schema {
    /// Compile one schema.
    pub(crate) fn compile(path: &str, schema: &Value) -> Result<Self> {
        Self::with(path, schema, &mut Patterns::default())
    }

    /// Compile one of a manifest's, whose patterns are bounded together.
    fn with(path: &str, schema: &Value, patterns: &mut Patterns) -> Result<Self> {
        let bad = |why: String| {
            Problem::new(
                Kind::Plugin,
                format!("the manifest is not valid at {path}: {why}"),
            )
        };
        let (shape, passed_over) =
            Shape::read(schema, patterns).map_err(|refused: Refused| bad(refused.to_string()))?;
        let patterns = Arc::new(patterns.clone());
        let known = Arc::clone(&patterns);
        let validator = on_own_stack(|| options(known).build(schema).map_err(|e| e.to_string()))?;
        let validator = validator.map_err(|error| bad(format!("not a JSON Schema: {error}")))?;
        Ok(Self {
            validator,
            shape,
            patterns,
            passed_over,
        })
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> u64 {
        let parts = self.shape.len() as u64 * BYTES_A_PART;
        self.shape.bytes * BYTES_A_BYTE + parts + self.patterns.bytes()
    }
}

/// Check that all schemas of a manifest are such, and within bounds; what whoever deploys it should know.
pub fn check_manifest(manifest: &Manifest) -> Result<Vec<String>> {
    let mut patterns = Patterns::default();
    let mut warnings = Vec::new();
    let mut check = |path: String, schema: &Value| {
        let schema = Schema::with(&path, schema, &mut patterns)?;
        warnings.extend(schema.passed_over.iter().map(|pattern| {
            format!(
                "{path}: the pattern {pattern:?} needs look-around or a back-reference and is not checked \
                 here; the plugin has to"
            )
        }));
        Ok::<_, Problem>(())
    };
    check("config".to_owned(), &manifest.config)?;
    for model in &manifest.models {
        check(format!("models.{}.schema", model.name), &model.schema)?;
    }
    for action in &manifest.actions {
        check(format!("actions.{}.input", action.name), &action.input)?;
        check(format!("actions.{}.output", action.name), &action.output)?;
    }
    Ok(warnings)
}

/// How schemas are read: they refer to nothing outside themselves, and no pattern is tried again and again.
fn options(patterns: Arc<Patterns>) -> jsonschema::ValidationOptions<'static> {
    let engine = PatternOptions::regex()
        .size_limit(ONE_BYTES_MAX)
        .dfa_size_limit(ONE_CACHE_BYTES_MAX);
    let options = jsonschema::options()
        .with_pattern_options(engine)
        .should_validate_formats(true)
        .with_keyword("pattern", move |_, value, _| {
            Pattern::keyword(value, &patterns)
        });
    OTHER_FORMATS.iter().fold(options, |options, name| {
        options.with_format(*name, |_: &str| true)
    })
}

/// The keyword `pattern`.
struct Pattern {
    pattern: String,
    patterns: Arc<Patterns>,
}

impl Pattern {
    fn keyword<'a>(
        value: &'a Value,
        patterns: &Arc<Patterns>,
    ) -> std::result::Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>> {
        Ok(Box::new(Self {
            // The metaschema has refused what is no text.
            pattern: value.as_str().unwrap_or_default().to_owned(),
            patterns: Arc::clone(patterns),
        }))
    }

    fn fits(&self, instance: &Value) -> bool {
        let text = instance.as_str();
        text.is_none_or(|text| self.patterns.fits(&self.pattern, text))
    }
}

impl<'i> Keyword<'i> for Pattern {
    fn validate(&self, instance: &'i Value) -> std::result::Result<(), ValidationError<'i>> {
        if self.fits(instance) {
            return Ok(());
        }
        let (text, pattern) = (check::short(instance), &self.pattern);
        Err(ValidationError::custom(format!(
            "{text} does not match {pattern:?}"
        )))
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        self.fits(instance)
    }
}

/// Do something on a stack that is large enough for the deepest schema.
fn on_own_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let own = thread::Builder::new().name("schema".to_owned());
        let own = own.stack_size(STACK_BYTES).spawn_scoped(scope, work);
        let done = own.map_err(Problem::internal)?.join();
        done.map_err(|_| Problem::internal("a schema could not be compiled: the library panicked"))
    })
}
