//! Staged imports of the memory store.

use crate::store::StoreError;
use crate::transfer::{ImportId, ImportPart, Imported};

use super::State;

/// What an import has brought so far.
#[derive(Debug, Default)]
pub(super) struct Staged {
    parts: Vec<ImportPart>,
}

impl State {
    pub(super) fn stage_import(
        &mut self,
        import: ImportId,
        _number: u64,
        part: ImportPart,
    ) -> Result<(), StoreError> {
        self.imports.entry(import).or_default().parts.push(part);
        Ok(())
    }

    pub(super) fn finish_import(&mut self, import: ImportId) -> Result<Imported, StoreError> {
        self.imports.remove(&import);
        Ok(Imported::default())
    }
}
