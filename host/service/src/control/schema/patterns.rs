//! The patterns of a manifest's schemas: matched in linear time, and bounded in what they compile to.
//!
//! JSON Schema's patterns are those of ECMA-262, which has look-around and back-references. These can
//! only be matched by trying, for a time that nobody can tell, so a `pattern` with them is passed over,
//! and whoever deploys is told. Nothing is lost that a plugin can't check itself.

use std::collections::BTreeMap;

use regex_automata::meta::{BuildError, Config, Regex};
use regex_syntax::ast::ErrorKind as AstError;
use regex_syntax::hir::ErrorKind as HirError;
use tidegate_engine::limits::{SCHEMA_PATTERN_BYTES, SCHEMA_PATTERNS};

use super::shape::Refused;

/// What one pattern may compile to, and what it may remember while it is matched.
pub(super) const ONE_BYTES_MAX: usize = 1024 * 1024;
pub(super) const ONE_CACHE_BYTES_MAX: usize = 256 * 1024;

/// Compiled bytes that make a KiB of text cost one more step.
const BYTES_A_STEP: u64 = 64;

/// Patterns by their text. Those that are passed over are there without a matcher.
#[derive(Debug, Clone, Default)]
pub(super) struct Patterns {
    known: BTreeMap<String, Option<Regex>>,
    bytes: u64,
}

impl Patterns {
    /// Know a pattern; `false` if it is one that can't be matched in linear time.
    pub(super) fn add(&mut self, pattern: &str) -> Result<bool, Refused> {
        if let Some(known) = self.known.get(pattern) {
            return Ok(known.is_some());
        }
        if self.known.len() as u64 >= SCHEMA_PATTERNS {
            return Err(Refused::new(format!(
                "the manifest's schemas have more patterns than the limit schema_patterns = {SCHEMA_PATTERNS}"
            )));
        }
        let regex = compile(pattern)?;
        self.bytes += regex.as_ref().map_or(0, bytes);
        if self.bytes > SCHEMA_PATTERN_BYTES {
            return Err(too_large());
        }
        let is_matched = regex.is_some();
        self.known.insert(pattern.to_owned(), regex);
        Ok(is_matched)
    }

    /// Whether the text fits; any does if the pattern is passed over.
    pub(super) fn fits(&self, pattern: &str, text: &str) -> bool {
        match self.known.get(pattern) {
            Some(Some(regex)) => regex.is_match(text),
            _ => true,
        }
    }

    /// What matching a KiB of text costs.
    pub(super) fn steps(&self, pattern: &str) -> u64 {
        match self.known.get(pattern) {
            Some(Some(regex)) => 16 + bytes(regex) / BYTES_A_STEP,
            _ => 1,
        }
    }

    /// What they have compiled to.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn bytes(regex: &Regex) -> u64 {
    regex.memory_usage() as u64
}

fn too_large() -> Refused {
    Refused::new(format!(
        "the patterns of the manifest's schemas compile to more than the limit schema_pattern_bytes = {SCHEMA_PATTERN_BYTES}"
    ))
}

fn compile(pattern: &str) -> Result<Option<Regex>, Refused> {
    let shown: String = pattern.chars().take(200).collect();
    let refuse = |why: &str| Err(Refused::new(format!("the pattern {shown:?} {why}")));
    let Ok(translated) = jsonschema_regex::to_rust_regex(pattern) else {
        return refuse("is none of ECMA-262");
    };
    if let Err(error) = regex_syntax::Parser::new().parse(&translated) {
        return match needs_more(&error) && jsonschema_regex::is_valid_ecma_regex(pattern) {
            true => Ok(None),
            false => refuse("is none of ECMA-262"),
        };
    }
    let config = Config::new()
        .nfa_size_limit(Some(ONE_BYTES_MAX))
        .hybrid_cache_capacity(ONE_CACHE_BYTES_MAX);
    let built = Regex::builder().configure(config).build(&translated);
    match built {
        Ok(regex) => Ok(Some(regex)),
        Err(error) if is_too_large(&error) => Err(too_large()),
        Err(_) => refuse("can't be compiled"),
    }
}

fn is_too_large(error: &BuildError) -> bool {
    error.size_limit().is_some()
}

/// Whether a pattern is a good one, only not for a matcher that needs linear time.
fn needs_more(error: &regex_syntax::Error) -> bool {
    match error {
        regex_syntax::Error::Parse(error) => matches!(
            error.kind(),
            AstError::UnsupportedLookAround | AstError::UnsupportedBackreference
        ),
        regex_syntax::Error::Translate(error) => matches!(
            error.kind(),
            HirError::UnicodePropertyNotFound | HirError::UnicodePropertyValueNotFound
        ),
        _ => false,
    }
}
