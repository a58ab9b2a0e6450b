//! How large a component may be inside, so that compiling it takes a bounded time and memory.
//!
//! A file of some megabytes can hold a hundred thousand functions, or declare a million local
//! variables in a few bytes: what compiling costs shows in these counts and not in the file's size.
//! They are taken in one pass over the file, before wasmtime sees it.

use tidegate_engine::limits::{self, FIXED};
use wasmparser::{BinaryReaderError, FunctionBody, Payload};

/// A component is larger inside than this host accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the component breaks the limit {name}: it has {value}, and the most is {most} ({reason})", reason = reason(name))]
pub struct TooLarge {
    /// Of the fixed bounds in [`tidegate_engine::limits`].
    pub name: &'static str,
    pub value: u64,
    pub most: u64,
}

fn reason(name: &str) -> &'static str {
    let bound = FIXED.iter().find(|bound| bound.name == name);
    bound.map_or("", |bound| bound.reason.trim_end_matches('.'))
}

/// What has been counted so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    functions: u64,
    code_bytes: u64,
    function_bytes: u64,
    locals: u64,
    types: u64,
    modules: u64,
    depth: u64,
    depth_most: u64,
}

impl Counts {
    /// Count the next part of the file. The file may be damaged there.
    pub(crate) fn take(&mut self, payload: &Payload<'_>) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::TypeSection(section) => self.types += u64::from(section.count()),
            Payload::CoreTypeSection(section) => self.types += u64::from(section.count()),
            Payload::ComponentTypeSection(section) => self.types += u64::from(section.count()),
            // An import costs a trampoline, like a small function.
            Payload::ImportSection(section) => self.functions += u64::from(section.count()),
            Payload::FunctionSection(section) => self.functions += u64::from(section.count()),
            Payload::ComponentCanonicalSection(section) => {
                self.functions += u64::from(section.count());
            }
            Payload::CodeSectionStart { size, .. } => self.code_bytes += u64::from(*size),
            Payload::CodeSectionEntry(body) => self.take_function(body)?,
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                self.modules += 1;
                self.depth += 1;
                self.depth_most = self.depth_most.max(self.depth);
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        Ok(())
    }

    fn take_function(&mut self, body: &FunctionBody<'_>) -> Result<(), BinaryReaderError> {
        let range = body.range();
        let bytes = range.end.saturating_sub(range.start) as u64;
        self.function_bytes = self.function_bytes.max(bytes);
        for group in body.get_locals_reader()? {
            self.locals += u64::from(group?.0);
        }
        Ok(())
    }

    /// Refuse what is beyond a bound, as soon as it is.
    pub(crate) fn check(&self) -> Result<(), TooLarge> {
        let rows = [
            ("component_depth", self.depth_most, limits::COMPONENT_DEPTH),
            ("component_modules", self.modules, limits::COMPONENT_MODULES),
            ("component_types", self.types, limits::COMPONENT_TYPES),
            (
                "component_functions",
                self.functions,
                limits::COMPONENT_FUNCTIONS,
            ),
            (
                "component_code_bytes",
                self.code_bytes,
                limits::COMPONENT_CODE_BYTES,
            ),
            (
                "component_function_bytes",
                self.function_bytes,
                limits::COMPONENT_FUNCTION_BYTES,
            ),
            ("component_locals", self.locals, limits::COMPONENT_LOCALS),
        ];
        match rows.into_iter().find(|(_, value, most)| value > most) {
            Some((name, value, most)) => Err(TooLarge { name, value, most }),
            None => Ok(()),
        }
    }
}
